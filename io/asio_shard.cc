#include "io/asio_shard.h"

#include <asio/post.hpp>

#include <chrono>

namespace klamm::io {

void OpenSockets::add(Member& member) {
  const std::lock_guard lock(mutex_);
  member.next_ = first_;
  if (first_ != nullptr) first_->previous_ = &member;
  first_ = &member;
  member.listed_ = true;
}

void OpenSockets::remove(Member& member) {
  const std::lock_guard lock(mutex_);
  if (!member.listed_) return;
  member.listed_ = false;
  (member.previous_ == nullptr ? first_ : member.previous_->next_) = member.next_;
  if (member.next_ != nullptr) member.next_->previous_ = member.previous_;
}

void OpenSockets::cut_all() {
  const std::lock_guard lock(mutex_);
  for (Member* member = first_; member != nullptr; member = member->next_) member->cut();
}

AsioShard::AsioShard(asio::any_io_executor executor, unsigned index, std::uint64_t seed,
                     std::shared_ptr<DiskThreads> threads, std::shared_ptr<MemoryTree> memory)
    : Shard(index, seed),
      executor_(std::move(executor)),
      timer_(executor_),
      threads_(std::move(threads)),
      files_(memory ? make_memory_file_system(*this, threads_, std::move(memory)) : make_file_system(*this, threads_)) {
}

AsioShard::~AsioShard() = default;

Instant AsioShard::now() const { return {std::chrono::steady_clock::now().time_since_epoch()}; }

TimestampMs AsioShard::wall_ms() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void AsioShard::post(void (*run)(void*), void* argument) {
  asio::post(executor_, [run, argument] { run(argument); });
}

void AsioShard::ready_pending() {
  asio::post(executor_, [this] { drain_ready(); });
}

void AsioShard::timers_changed() {
  if (timer_waiting_) {
    timer_.cancel();  // its handler waits again, for the new deadline
  } else {
    wait_for_timer();
  }
}

void AsioShard::timers_emptied() {
  if (timer_waiting_) timer_.cancel();
}

void AsioShard::wait_for_timer() {
  const Instant earliest = timers().earliest();
  timer_waiting_ = earliest != Instant::never();
  if (!timer_waiting_) return;
  timer_.expires_at(
      asio::steady_timer::time_point(std::chrono::duration_cast<asio::steady_timer::duration>(earliest.since_start)));
  timer_.async_wait([this](const std::error_code&) {
    timers().run_due(now());
    wait_for_timer();
  });
}

}  // namespace klamm::io
