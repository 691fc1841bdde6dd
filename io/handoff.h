// Between threads that have no event loop and a shard: a call that waits, and a stream of bytes handed over in bulk.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "io/shard.h"
#include "io/sync.h"
#include "io/task.h"

namespace klamm::io {

// Runs a task on a shard and blocks the calling thread (which must not be the shard's) until it is done.
void run_and_wait(Shard& shard, Task<void> task);
template <typename T>
T run_and_wait(Shard& shard, Task<T> task) {
  std::optional<T> result;
  run_and_wait(shard, [](std::optional<T>* into, Task<T> owned) -> Task<void> {
    T value = co_await owned;
    into->emplace(std::move(value));
  }(&result, std::move(task)));
  return std::move(*result);
}

// Messages of bytes from one thread to one shard, in order. Writing costs no lock, system call or wake-up as long as
// the shard is awake: the reader takes what is there in bulk, and is woken only after it has gone to sleep.
class Handoff {
 public:
  // At most about `limit_bytes` wait to be read.
  Handoff(Shard& shard, std::size_t limit_bytes);
  ~Handoff();
  Handoff(const Handoff&) = delete;
  Handoff& operator=(const Handoff&) = delete;

  // ---- the writing thread ----

  // Room for a message of `bytes`, aligned to 8; blocks while too much is unread, at most until `timeout` has passed:
  // null then, and after close().
  std::byte* reserve(std::size_t bytes, Duration timeout) {
    bytes = padded(bytes);
    if (static_cast<std::size_t>(limit_ - at_) < bytes) [[unlikely]] {
      if (!next_chunk(bytes, timeout)) return nullptr;
    }
    return at_;
  }
  // The message at reserve()'s result is complete, with its real size (at most what was reserved).
  void commit(std::size_t bytes) {
    at_ += padded(bytes);
    written_ += padded(bytes);
    current_->committed.store(static_cast<std::size_t>(at_ - current_->begin()), std::memory_order_release);
    if (asleep_.load(std::memory_order_relaxed)) [[unlikely]]
      wake_reader();
  }
  // Bytes committed so far; read_bytes() reaches this once all of it is consumed.
  std::uint64_t written_bytes() const noexcept { return written_; }

  // ---- the shard ----

  // Complete messages that lie together; empty if there are none now.
  Bytes peek();
  // The first `bytes` of peek() are done with.
  void consume(std::size_t bytes);
  std::uint64_t read_bytes() const noexcept { return read_; }
  // Until there is something to read, or closed. With `patience` the reader looks again after that time instead of
  // asking for a wake-up at once, so that a writer that is only a little slower is not slowed down by waking it.
  Task<void> wait(Duration patience);
  // Notified whenever consume() has emptied the channel, and at close.
  Signal& emptied() noexcept { return emptied_; }
  void close();
  bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kChunkBytes = 64 << 10;
  static std::size_t padded(std::size_t bytes) noexcept { return (bytes + 7) & ~std::size_t{7}; }

  struct Chunk {
    explicit Chunk(std::size_t capacity) : buffer(Buffer::allocate(capacity)), size(capacity) {}
    std::byte* begin() noexcept { return buffer->data(); }
    Buffer::Ref buffer;
    std::size_t size;
    std::atomic<std::size_t> committed{0};
    std::atomic<Chunk*> next{nullptr};
  };

  bool next_chunk(std::size_t bytes, Duration timeout);
  void wake_reader();

  Shard& shard_;
  const std::size_t limit_bytes_;
  // The writer's.
  Chunk* current_;
  std::byte* at_;
  std::byte* limit_;
  std::uint64_t written_ = 0;
  // The reader's.
  Chunk* reading_;
  std::size_t read_in_chunk_ = 0;
  std::uint64_t read_ = 0;
  Signal arrived_;
  Signal emptied_;
  // Both.
  std::atomic<bool> asleep_{false};
  std::atomic<bool> closed_{false};
  std::mutex mutex_;
  std::condition_variable room_;
  std::size_t unread_chunk_bytes_ = 0;  // of whole chunks handed over and not yet read; under mutex_
  std::unique_ptr<Chunk> spare_;        // under mutex_
  std::shared_ptr<Handoff*> self_;      // for wake-ups that arrive after destruction
};

}  // namespace klamm::io
