// One shard's view of its node's simulated disk. Internal to io/sim.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "io/sim/process.h"

namespace klamm::io::sim {

// One disk operation under way: `PendingOperation op(...); co_await op; if (auto failed = op.failure()) ...`. The
// effect comes after the wait, so operations of different coroutines interleave by their drawn latencies. An operation
// of a dead process waits for one turn of the loop and fails.
class PendingOperation final : public Underway {
 public:
  PendingOperation(SimShard& shard, DiskOperation operation, std::string path, std::uint64_t size = 0);
  ~PendingOperation() override;
  PendingOperation(const PendingOperation&) = delete;
  PendingOperation& operator=(const PendingOperation&) = delete;

  // What a crash in the midst of the operation may leave of it.
  void at_crash(std::function<void(Random&)> effect) { at_crash_ = std::move(effect); }

  bool await_ready();
  void await_suspend(std::coroutine_handle<> handle);
  void await_resume() const noexcept {}
  // None, the injected error, or Errc::cancelled.
  std::optional<Error> failure();

  void crash(Random& random) override;

 private:
  SimShard& shard_;
  std::string path_;
  int error_number_ = 0;
  bool cancelled_ = false;
  bool inline_ = false;
  Duration latency_{0};
  std::function<void(Random&)> at_crash_;
  std::optional<EventQueue::Key> event_;
  Wakeup wakeup_;
};

// try_read() that finds all pages in memory.
Result<std::size_t> read_now(File& file, std::uint64_t offset, MutableBytes into);

std::unique_ptr<FileSystem> make_file_system(SimShard& shard);

}  // namespace klamm::io::sim
