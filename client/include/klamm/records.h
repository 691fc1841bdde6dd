// What a consumer's poll returns.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "klamm/record.h"

namespace klamm {

namespace detail {
struct RecordsBlock;
}

// What one poll returned. Keeps the fetched buffers alive that its records lie in; copies nothing. Move it, or keep it
// as long as the records are used. May outlive the consumer.
class Records {
 public:
  Records() noexcept;
  ~Records();
  Records(Records&&) noexcept;
  Records& operator=(Records&&) noexcept;
  explicit Records(std::shared_ptr<detail::RecordsBlock> block) noexcept;

  // In the order of their offsets within each partition; partition after partition.
  const RecordView* begin() const noexcept { return records_.data(); }
  const RecordView* end() const noexcept { return records_.data() + records_.size(); }
  std::size_t size() const noexcept { return records_.size(); }
  bool empty() const noexcept { return records_.empty(); }
  const RecordView& operator[](std::size_t index) const noexcept { return records_[index]; }

  // The same, by partition.
  struct Run {
    std::string_view topic;
    std::int32_t partition = 0;
    std::span<const RecordView> records;
    std::int64_t next_offset = 0;  // where the partition goes on after these
  };
  std::span<const Run> runs() const noexcept;

 private:
  std::shared_ptr<detail::RecordsBlock> block_;
  std::span<const RecordView> records_;
};

// The answer of async_offsets_for_times for one partition.
struct OffsetAndTimestamp {
  std::int64_t offset = -1;
  TimestampMs timestamp = kNoTimestamp;
  std::int32_t leader_epoch = -1;
};

}  // namespace klamm
