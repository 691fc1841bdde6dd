#include "klamm/records.h"

#include "client/consume/chunk_reader.h"

namespace klamm {

Records::Records() noexcept = default;
Records::~Records() = default;
Records::Records(std::shared_ptr<detail::RecordsBlock> block) noexcept : block_(std::move(block)) {
  if (block_) records_ = block_->records;
}
Records::Records(Records&& other) noexcept
    : block_(std::move(other.block_)), records_(std::exchange(other.records_, {})) {}
Records& Records::operator=(Records&& other) noexcept {
  block_ = std::move(other.block_);
  records_ = std::exchange(other.records_, {});
  return *this;
}
std::span<const Records::Run> Records::runs() const noexcept {
  if (!block_) return {};
  return block_->runs;
}

}  // namespace klamm
