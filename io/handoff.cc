#include "io/handoff.h"

#include <chrono>

namespace klamm::io {

void run_and_wait(Shard& shard, Task<void> task) {
  struct State {
    Task<void> task;
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    static Task<void> drive(State* state) {
      co_await state->task;
      // Under the lock to the end: the waiter frees the state once it has the lock and sees `done`.
      const std::lock_guard lock(state->mutex);
      state->done = true;
      state->changed.notify_all();
    }
  } state{std::move(task), {}, {}};
  shard.post([](void* argument) { spawn_detached(State::drive(static_cast<State*>(argument))); }, &state);
  std::unique_lock lock(state.mutex);
  state.changed.wait(lock, [&] { return state.done; });
}

Handoff::Handoff(Shard& shard, std::size_t limit_bytes)
    : shard_(shard),
      limit_bytes_(limit_bytes),
      current_(new Chunk(kChunkBytes)),
      at_(current_->begin()),
      limit_(at_ + current_->size),
      reading_(current_),
      arrived_(shard),
      emptied_(shard),
      self_(std::make_shared<Handoff*>(this)) {}

Handoff::~Handoff() {
  *self_ = nullptr;
  while (reading_ != nullptr) {
    Chunk* next = reading_->next.load(std::memory_order_acquire);
    delete reading_;
    reading_ = next;
  }
}

bool Handoff::next_chunk(std::size_t bytes, Duration timeout) {
  if (closed()) return false;
  std::unique_ptr<Chunk> chunk;
  {
    std::unique_lock lock(mutex_);
    const auto fits = [&] {
      return unread_chunk_bytes_ + bytes <= limit_bytes_ || unread_chunk_bytes_ == 0 || closed();
    };
    if (!fits()) {
      // The reader may sleep on what it has not seen.
      if (asleep_.load()) wake_reader();
      const auto most = std::chrono::hours(24 * 365);
      if (!room_.wait_for(lock, timeout < most ? timeout : Duration(most), fits)) return false;
    }
    if (closed()) return false;
    unread_chunk_bytes_ += current_->size;
    if (spare_ && spare_->size >= bytes) chunk = std::move(spare_);
  }
  if (!chunk) chunk = std::make_unique<Chunk>(std::max(bytes, kChunkBytes));
  Chunk* const before = current_;
  current_ = chunk.release();
  at_ = current_->begin();
  limit_ = at_ + current_->size;
  before->next.store(current_, std::memory_order_release);
  return true;
}

void Handoff::wake_reader() {
  if (!asleep_.exchange(false)) return;
  auto* weak = new std::shared_ptr<Handoff*>(self_);
  shard_.post(
      [](void* argument) {
        const std::unique_ptr<std::shared_ptr<Handoff*>> handoff(static_cast<std::shared_ptr<Handoff*>*>(argument));
        if (**handoff != nullptr) (**handoff)->arrived_.notify_all();
      },
      weak);
}

Bytes Handoff::peek() {
  for (;;) {
    // `next` before `committed`: what was committed before the chunk was left must be seen.
    Chunk* const next = reading_->next.load(std::memory_order_acquire);
    const std::size_t committed = reading_->committed.load(std::memory_order_acquire);
    if (read_in_chunk_ < committed) return {reading_->begin() + read_in_chunk_, committed - read_in_chunk_};
    if (next == nullptr) return {};
    std::unique_ptr<Chunk> done(reading_);
    reading_ = next;
    read_in_chunk_ = 0;
    const std::lock_guard lock(mutex_);
    unread_chunk_bytes_ -= done->size;
    if (!spare_ && done->size == kChunkBytes) {
      done->committed.store(0, std::memory_order_relaxed);
      done->next.store(nullptr, std::memory_order_relaxed);
      spare_ = std::move(done);
    }
    room_.notify_all();
  }
}

void Handoff::consume(std::size_t bytes) {
  read_in_chunk_ += bytes;
  read_ += bytes;
}

Task<void> Handoff::wait(Duration patience) {
  constexpr int kLooks = 20;
  emptied_.notify_all();
  if (patience > 0ns) {
    for (int look = 0; look < kLooks && !closed(); ++look) {
      co_await arrived_.wait_until(shard_.now() + patience);
      if (!peek().empty()) co_return;
    }
  }
  asleep_.store(true);
  // A commit that has not seen the flag becomes visible within a moment: look once more before sleeping for good.
  Duration rest = 1ms;
  while (!closed() && peek().empty()) {
    if (!asleep_.load()) asleep_.store(true);
    if (rest > 0ns) {
      co_await arrived_.wait_until(shard_.now() + rest);
      rest = 0ns;
    } else {
      co_await arrived_.wait();
    }
  }
  asleep_.store(false);
}

void Handoff::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_.store(true);
    room_.notify_all();
  }
  arrived_.notify_all();
  emptied_.notify_all();
}

}  // namespace klamm::io
