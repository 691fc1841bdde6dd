#include "protocol/wire/records.h"

#include <algorithm>

#include "base/check.h"

namespace klamm::wire {
namespace {

bool same(const io::Piece& left, const io::Piece& right) {
  if (left.index() != right.index()) return false;
  if (const auto* slice = std::get_if<Slice>(&left)) return *slice == std::get<Slice>(right);
  const auto& a = std::get<io::FileRegion>(left);
  const auto& b = std::get<io::FileRegion>(right);
  return a.file == b.file && a.offset == b.offset && a.size == b.size;
}

}  // namespace

bool Records::in_memory() const noexcept {
  return std::all_of(pieces_.begin(), pieces_.end(),
                     [](const io::Piece& piece) { return std::holds_alternative<Slice>(piece); });
}

Slice Records::slice() const {
  if (is_single()) return slice_;
  if (pieces_.size() == 1 && in_memory()) return std::get<Slice>(pieces_.front());
  const auto size = static_cast<std::size_t>(this->size());
  Buffer::Ref buffer = Buffer::allocate(size);
  copy_to(buffer->data());
  return {std::move(buffer), size};
}

void Records::append_to(io::Pieces& to) const {
  if (form_ == Form::slice) {
    if (!slice_.empty()) to.emplace_back(slice_);
    return;
  }
  for (const io::Piece& piece : pieces_) {
    if (io::size_of(piece) != 0) to.push_back(piece);
  }
}

void Records::copy_to(std::byte* to) const {
  KLAMM_CHECK(in_memory(), "records in a file cannot be copied into a frame");
  if (!slice_.empty()) std::memcpy(to, slice_.data(), slice_.size());
  for (const io::Piece& piece : pieces_) {
    const auto& slice = std::get<Slice>(piece);
    if (!slice.empty()) std::memcpy(to, slice.data(), slice.size());
    to += slice.size();
  }
}

bool operator==(const Records& left, const Records& right) {
  if (left.is_null() != right.is_null() || left.size() != right.size()) return false;
  if (left.in_memory() && right.in_memory()) return left.slice() == right.slice();
  return std::equal(left.pieces_.begin(), left.pieces_.end(), right.pieces_.begin(), right.pieces_.end(), same);
}

}  // namespace klamm::wire
