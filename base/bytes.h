// Refcounted bytes. A Slice is a view that keeps its Buffer alive; taking a part of it copies nothing.
#pragma once

#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace klamm {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// A block of memory with an owner count. Counts are atomic: slices cross shards. The content may be written only by
// the one that made the buffer, before it is shared (or in a part that nobody else looks at).
class Buffer {
 public:
  // A handle that owns one count. Empty handles are valid.
  class Ref {
   public:
    Ref() = default;
    Ref(const Ref& other) noexcept : buffer_(other.buffer_) {
      if (buffer_) buffer_->owners_.fetch_add(1, std::memory_order_relaxed);
    }
    Ref(Ref&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
    Ref& operator=(Ref other) noexcept {
      std::swap(buffer_, other.buffer_);
      return *this;
    }
    ~Ref() {
      if (buffer_ && buffer_->owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) Buffer::destroy(buffer_);
    }
    explicit operator bool() const noexcept { return buffer_ != nullptr; }
    Buffer* operator->() const noexcept { return buffer_; }
    Buffer& operator*() const noexcept { return *buffer_; }

   private:
    friend class Buffer;
    explicit Ref(Buffer* buffer) noexcept : buffer_(buffer) {}
    Buffer* buffer_ = nullptr;
  };

  // Uninitialized memory of `capacity` bytes, one allocation with the count in front. The process keeps some MiB of
  // large buffers that were let go, and gives them out again (docs/decisions/0003): one may be twice as large as asked
  // for.
  static Ref allocate(std::size_t capacity);

  std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  std::size_t capacity() const noexcept { return capacity_; }
  // True if this handle is the only one: the content may be changed.
  bool unique() const noexcept { return owners_.load(std::memory_order_acquire) == 1; }

 private:
  friend class SpareBuffers;
  Buffer(std::size_t capacity, std::uint32_t pages) : owners_(1), pages_(pages), capacity_(capacity) {}
  static void destroy(Buffer* buffer) noexcept;

  std::atomic<std::uint32_t> owners_;
  std::uint32_t pages_;  // of 4 KiB, allocated for a large buffer with this header; 0: a small one
  std::size_t capacity_;
};

// A range of bytes and the buffer that holds them. Copying adds a count; the bytes stay where they are.
class Slice {
 public:
  Slice() = default;
  Slice(Buffer::Ref buffer, const std::byte* data, std::size_t size)
      : buffer_(std::move(buffer)), data_(data), size_(size) {}
  // The first `size` bytes of the buffer.
  Slice(Buffer::Ref buffer, std::size_t size) : data_(buffer ? buffer->data() : nullptr), size_(size) {
    KLAMM_CHECK(size == 0 || (buffer && size <= buffer->capacity()));
    buffer_ = std::move(buffer);
  }
  // A buffer of its own with a copy of `bytes`.
  static Slice copy(Bytes bytes);
  static Slice copy(std::string_view text) { return copy(as_bytes(text)); }
  // A view without owner: the caller keeps the bytes alive (string literals, static tables, tests).
  static Slice borrow(Bytes bytes) { return {Buffer::Ref(), bytes.data(), bytes.size()}; }

  const std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const std::byte* begin() const noexcept { return data_; }
  const std::byte* end() const noexcept { return data_ + size_; }
  std::byte operator[](std::size_t index) const noexcept { return data_[index]; }
  Bytes bytes() const noexcept { return {data_, size_}; }
  operator Bytes() const noexcept { return bytes(); }
  std::string_view text() const noexcept { return as_text(bytes()); }
  const Buffer::Ref& buffer() const noexcept { return buffer_; }

  // The part [offset, offset + size); it must lie inside.
  Slice part(std::size_t offset, std::size_t size) const {
    KLAMM_CHECK(offset <= size_ && size <= size_ - offset);
    return {buffer_, data_ + offset, size};
  }
  Slice from(std::size_t offset) const { return part(offset, size_ - offset); }
  void remove_prefix(std::size_t size) {
    KLAMM_CHECK(size <= size_);
    data_ += size;
    size_ -= size;
  }
  // The bytes for patching in place (a batch's base offset and leader epoch). Only the owner of the only use of this
  // range may call it: the frame was read into the buffer for this request alone.
  std::byte* mutable_data() const noexcept { return const_cast<std::byte*>(data_); }

  friend bool operator==(const Slice& left, const Slice& right) noexcept {
    return left.size_ == right.size_ && (left.size_ == 0 || std::memcmp(left.data_, right.data_, left.size_) == 0);
  }

 private:
  Buffer::Ref buffer_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Big-endian fixed-width integers, as Kafka has them on the wire and on disk.
template <typename Int>
inline Int load_big_endian(const std::byte* from) noexcept {
  std::make_unsigned_t<Int> value;
  std::memcpy(&value, from, sizeof value);
  if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
  if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
  if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
  return static_cast<Int>(value);
}
template <typename Int>
inline void store_big_endian(std::byte* to, Int number) noexcept {
  auto value = static_cast<std::make_unsigned_t<Int>>(number);
  if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
  if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
  if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
  std::memcpy(to, &value, sizeof value);
}

}  // namespace klamm
