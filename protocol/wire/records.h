// The value of a `records` field: null, or bytes that lie in memory or in files and are never copied on their way.
#pragma once

#include <cstdint>
#include <utility>

#include "base/bytes.h"
#include "io/piece.h"

namespace klamm::wire {

// Decoding gives one Slice of the frame. To encode, hand in a Slice (a produced batch) or pieces (a fetched partition:
// file regions, slices). Copying copies references.
class Records {
 public:
  // Null.
  Records() = default;
  // One run of bytes; also what decoding gives.
  Records(Slice slice) : form_(Form::slice), slice_(std::move(slice)) {}
  // Several pieces, one after the other. No pieces means empty, not null.
  Records(io::Pieces pieces) : form_(Form::pieces), pieces_(std::move(pieces)) {}

  bool is_null() const noexcept { return form_ == Form::null; }
  // Bytes in all; 0 if null.
  std::uint64_t size() const noexcept { return form_ == Form::slice ? slice_.size() : io::size_of(pieces_); }
  bool empty() const noexcept { return size() == 0; }

  // True if the bytes are one Slice (or none), so that slice() costs nothing.
  bool is_single() const noexcept { return form_ != Form::pieces || pieces_.empty(); }
  // True if all the bytes are in memory.
  bool in_memory() const noexcept;
  // The bytes as one Slice: without a copy if is_single(), else copied together. Needs in_memory(). Empty if null.
  Slice slice() const;
  // Appends the pieces to `to` without copying bytes.
  void append_to(io::Pieces& to) const;
  // Copies the bytes to `to`, which has room for size() of them. Needs in_memory().
  void copy_to(std::byte* to) const;

  // Equal if both are null or both hold the same bytes; file regions are equal if they are the same range of the same
  // file, and never equal to bytes in memory.
  friend bool operator==(const Records& left, const Records& right);

 private:
  enum class Form : std::uint8_t { null, slice, pieces };

  Form form_ = Form::null;
  Slice slice_;
  io::Pieces pieces_;
};

}  // namespace klamm::wire
