// A shard on an Asio executor. Only io/*.cc and the SDK's adapters include this: Asio is heavy.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

#include <memory>

#include "io/disk.h"
#include "io/shard.h"

namespace klamm::io {

class AsioShard final : public Shard {
 public:
  // `executor` must run one handler at a time (an io_context with one thread, or a strand).
  // Files are the machine's, or those of `memory` if given.
  AsioShard(asio::any_io_executor executor, unsigned index, std::uint64_t seed, std::shared_ptr<DiskThreads> threads,
            std::shared_ptr<MemoryTree> memory = nullptr);
  ~AsioShard() override;

  Instant now() const override;
  TimestampMs wall_ms() const override;
  FileSystem& files() override { return *files_; }
  Task<Result<std::unique_ptr<Stream>>> connect(Endpoint to, Duration timeout) override;
  Result<std::unique_ptr<Listener>> listen(Endpoint at, int backlog) override;
  void post(void (*run)(void*), void* argument) override;

  const asio::any_io_executor& executor() const { return executor_; }
  DiskThreads& disk() { return *threads_; }

 private:
  void timers_changed() override;
  void timers_emptied() override;
  void ready_pending() override;
  void wait_for_timer();

  asio::any_io_executor executor_;
  asio::steady_timer timer_;
  bool timer_waiting_ = false;
  std::shared_ptr<DiskThreads> threads_;
  std::unique_ptr<FileSystem> files_;
};

}  // namespace klamm::io
