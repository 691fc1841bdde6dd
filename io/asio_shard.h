// A shard on an Asio executor. Only io/*.cc and the SDK's adapters include this: Asio is heavy.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

#include <memory>
#include <mutex>

#include "io/disk.h"
#include "io/shard.h"

namespace klamm::io {

// What is open towards the network on one shard, so that all of it can be cut at once.
class OpenSockets {
 public:
  class Member {
   public:
    explicit Member(OpenSockets& all) : all_(all) { all_.add(*this); }
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    // Closes; the peer of a connection sees a reset.
    virtual void cut() = 0;

   protected:
    ~Member() { leave(); }
    // Before anything that cut() uses ends.
    void leave() { all_.remove(*this); }

   private:
    friend class OpenSockets;
    OpenSockets& all_;
    Member* previous_ = nullptr;
    Member* next_ = nullptr;
    bool listed_ = false;
  };

  void cut_all();

 private:
  void add(Member& member);
  void remove(Member& member);

  std::mutex mutex_;  // a stream that moves to another shard is made, and may end, on the one that it leaves
  Member* first_ = nullptr;
};

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
  Task<Result<std::unique_ptr<Stream>>> connect(Endpoint to, Duration timeout, SocketBuffers buffers = {}) override;
  Result<std::unique_ptr<Listener>> listen(Endpoint at, int backlog, SocketBuffers buffers = {}) override;
  void post(void (*run)(void*), void* argument) override;

  const asio::any_io_executor& executor() const { return executor_; }
  DiskThreads& disk() { return *threads_; }
  OpenSockets& sockets() { return sockets_; }

 private:
  void timers_changed() override;
  void timers_emptied() override;
  void ready_pending() override;
  void wait_for_timer();

  OpenSockets sockets_;
  asio::any_io_executor executor_;
  asio::steady_timer timer_;
  bool timer_waiting_ = false;
  std::shared_ptr<DiskThreads> threads_;
  std::unique_ptr<FileSystem> files_;
};

}  // namespace klamm::io
