#include "base/bytes.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KLAMM_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KLAMM_SANITIZED 1
#endif
#endif
#ifndef KLAMM_SANITIZED
#define KLAMM_SANITIZED 0
#endif

namespace klamm {

// Large buffers come and go with every fetch and batch. Given back to the allocator they go back to the system, and
// each page of the next one is a page fault: more work than everything else that is done with its bytes. So a few are
// kept, for the whole process: a buffer often ends on another thread than the one that needs the next. The lock is
// taken once for 64 KiB or more. The sanitizers get buffers back at once, to see who uses what is gone.
class SpareBuffers {
 public:
  static constexpr std::size_t kPageBytes = 4 << 10;
  static constexpr std::size_t kLeastBytes = 64 << 10;
  static constexpr std::size_t kMostPages = (4 << 20) / kPageBytes;  // of one buffer
#if KLAMM_SANITIZED
  static constexpr std::size_t kKeptPages = 0;
#else
  static constexpr std::size_t kKeptPages = (16 << 20) / kPageBytes;  // of all
#endif

  static std::size_t pages_for(std::size_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

  // The smallest one that holds `pages` and not more than twice of it; null if there is none.
  void* take(std::size_t pages, std::uint32_t& taken_pages) noexcept {
    const std::lock_guard lock(mutex_);
    Kept* best = nullptr;
    for (Kept& one : std::span(kept_.data(), count_)) {
      if (one.pages >= pages && one.pages <= 2 * pages && (best == nullptr || one.pages < best->pages)) best = &one;
    }
    if (best == nullptr) return nullptr;
    taken_pages = best->pages;
    pages_ -= best->pages;
    void* memory = best->memory;
    *best = kept_[--count_];
    return memory;
  }
  // False: not wanted.
  bool keep(void* memory, std::uint32_t pages) noexcept {
    const std::lock_guard lock(mutex_);
    if (count_ == kept_.size() || pages_ + pages > kKeptPages) return false;
    kept_[count_++] = {memory, pages};
    pages_ += pages;
    return true;
  }

  // Never ends: static objects may hold buffers.
  static SpareBuffers& of_process() noexcept {
    alignas(SpareBuffers) static std::byte place[sizeof(SpareBuffers)];
    static SpareBuffers& spare = *new (place) SpareBuffers;
    return spare;
  }

 private:
  struct Kept {
    void* memory;
    std::uint32_t pages;
  };

  std::mutex mutex_;
  std::array<Kept, 64> kept_{};
  std::size_t count_ = 0;
  std::size_t pages_ = 0;
};

Buffer::Ref Buffer::allocate(std::size_t capacity) {
  std::size_t bytes = sizeof(Buffer) + capacity;
  std::uint32_t pages = 0;
  void* memory = nullptr;
  if (bytes >= SpareBuffers::kLeastBytes && SpareBuffers::pages_for(bytes) <= SpareBuffers::kMostPages) {
    pages = static_cast<std::uint32_t>(SpareBuffers::pages_for(bytes));
    memory = SpareBuffers::of_process().take(pages, pages);
    if constexpr (SpareBuffers::kKeptPages > 0) bytes = pages * SpareBuffers::kPageBytes;
  }
  if (memory == nullptr) memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return Ref(new (memory) Buffer(capacity, pages));
}

void Buffer::destroy(Buffer* buffer) noexcept {
  const std::uint32_t pages = buffer->pages_;
  buffer->~Buffer();
  if (pages == 0 || !SpareBuffers::of_process().keep(buffer, pages)) std::free(buffer);
}

Slice Slice::copy(Bytes bytes) {
  if (bytes.empty()) return {};
  Buffer::Ref buffer = Buffer::allocate(bytes.size());
  std::memcpy(buffer->data(), bytes.data(), bytes.size());
  return {std::move(buffer), bytes.size()};
}

}  // namespace klamm
