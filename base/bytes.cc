#include "base/bytes.h"

#include <algorithm>
#include <array>
#include <cstdlib>
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
// each page of the next one is a page fault: more work than everything else that is done with its bytes. So a thread
// keeps a few. The sanitizers get them back at once, to see who uses what is gone.
class SpareBuffers {
 public:
  static constexpr std::size_t kPageBytes = 4 << 10;
  static constexpr std::size_t kLeastBytes = 64 << 10;
  static constexpr std::size_t kMostPages = (4 << 20) / kPageBytes;  // of one buffer
#if KLAMM_SANITIZED
  static constexpr std::size_t kKeptPages = 0;
#else
  static constexpr std::size_t kKeptPages = (8 << 20) / kPageBytes;  // of a thread
#endif

  static std::size_t pages_for(std::size_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

  // The smallest one that holds `pages` and not more than twice of it; null if there is none.
  void* take(std::size_t pages, std::uint32_t& taken_pages) noexcept {
    Kept* best = nullptr;
    for (Kept& one : kept()) {
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
    if (closed_ || count_ == kept_.size() || pages_ + pages > kKeptPages) return false;
    kept_[count_++] = {memory, pages};
    pages_ += pages;
    return true;
  }
  void close() noexcept {
    closed_ = true;
    for (const Kept& one : kept()) std::free(one.memory);
    count_ = pages_ = 0;
  }

  static SpareBuffers& of_thread() noexcept {
    // The buffers of other thread-local and static objects may end later than `closer`: the pool itself has no end.
    static thread_local SpareBuffers spare;
    struct Closer {
      ~Closer() { spare.close(); }
    };
    static thread_local const Closer closer;
    (void)closer;
    return spare;
  }

 private:
  struct Kept {
    void* memory;
    std::uint32_t pages;
  };
  std::span<Kept> kept() noexcept { return {kept_.data(), count_}; }

  std::array<Kept, 32> kept_{};
  std::size_t count_ = 0;
  std::size_t pages_ = 0;
  bool closed_ = false;
};

Buffer::Ref Buffer::allocate(std::size_t capacity) {
  std::size_t bytes = sizeof(Buffer) + capacity;
  std::uint32_t pages = 0;
  void* memory = nullptr;
  if (bytes >= SpareBuffers::kLeastBytes && SpareBuffers::pages_for(bytes) <= SpareBuffers::kMostPages) {
    pages = static_cast<std::uint32_t>(SpareBuffers::pages_for(bytes));
    memory = SpareBuffers::of_thread().take(pages, pages);
    if constexpr (SpareBuffers::kKeptPages > 0) bytes = pages * SpareBuffers::kPageBytes;
  }
  if (memory == nullptr) memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return Ref(new (memory) Buffer(capacity, pages));
}

void Buffer::destroy(Buffer* buffer) noexcept {
  const std::uint32_t pages = buffer->pages_;
  buffer->~Buffer();
  if (pages == 0 || !SpareBuffers::of_thread().keep(buffer, pages)) std::free(buffer);
}

Slice Slice::copy(Bytes bytes) {
  if (bytes.empty()) return {};
  Buffer::Ref buffer = Buffer::allocate(bytes.size());
  std::memcpy(buffer->data(), bytes.data(), bytes.size());
  return {std::move(buffer), bytes.size()};
}

}  // namespace klamm
