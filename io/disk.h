// Threads for file calls that may block, and the real FileSystem on them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "io/shard.h"

namespace klamm::io {

// Threads that begin jobs in order of submission; started as jobs wait, up to a number.
class ThreadPool {
 public:
  explicit ThreadPool(unsigned most);
  ~ThreadPool();
  void submit(void (*run)(void*), void* argument);

 private:
  struct Entry {
    void (*run)(void*);
    void* argument;
  };
  void work();
  void grow();

  const unsigned most_;
  std::mutex mutex_;
  std::condition_variable pending_;
  std::deque<Entry> queue_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// What a job does on the disk: syncs wait for the device, and nothing else should wait behind them.
enum class DiskLane { call, sync };

// Where the shards of a machine have their blocking calls done. Syncs have many threads: the kernel joins those that
// wait at one time into one commit of its journal and one flush of the device, so that many partitions are synced in
// little more time than one.
class DiskThreads {
 public:
  explicit DiskThreads(unsigned threads) : calls_(threads), syncs_(threads == 0 ? 0 : kSyncThreads) {}
  void submit(void (*run)(void*), void* argument, DiskLane lane = DiskLane::call) {
    (lane == DiskLane::call ? calls_ : syncs_).submit(run, argument);
  }

  // Bytes written to the page cache by shards since they were last written back. Over the bound, writes wait on a disk
  // thread instead of risking the kernel's throttling on a shard.
  static constexpr std::int64_t kInlineDirtyBound = 512LL << 20;
  std::atomic<std::int64_t> dirty_bytes{0};

  // The machine was killed (Machine::kill): nothing may change its files any more, nor connect or listen.
  bool dead() const noexcept { return dead_.load(std::memory_order_acquire); }
  void set_dead(bool dead) noexcept { dead_.store(dead, std::memory_order_release); }
  // What a change of `path` comes to then.
  Result<void> alive(const std::string& path) const {
    if (dead()) return fail(Errc::cancelled, path);
    return {};
  }

  // Runs `function` (no coroutine) on a disk thread and returns its result on `home`.
  template <typename Function>
  auto run(Shard& home, Function function, DiskLane lane = DiskLane::call) -> Task<std::invoke_result_t<Function&>> {
    using T = std::invoke_result_t<Function&>;
    struct Job {
      Shard& home;
      DiskThreads& threads;
      Function function;
      DiskLane lane;
      std::coroutine_handle<> handle;
      std::optional<T> result;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> awaiter) {
        handle = awaiter;
        threads.submit(
            [](void* self) {
              Job& job = *static_cast<Job*>(self);
              job.result.emplace(job.function());
              job.home.post([](void* done) { static_cast<Job*>(done)->handle.resume(); }, &job);
            },
            this, lane);
      }
      void await_resume() const noexcept {}
    };
    Job job{home, *this, std::move(function), lane, {}, {}};
    co_await job;
    co_return std::move(*job.result);
  }

 private:
  static constexpr unsigned kSyncThreads = 64;

  std::atomic<bool> dead_{false};
  ThreadPool calls_;
  ThreadPool syncs_;
};

// A shard's view of the machine's files.
std::unique_ptr<FileSystem> make_file_system(Shard& home, std::shared_ptr<DiskThreads> threads);
// A File on a descriptor, which it takes over.
std::shared_ptr<File> make_file(Shard& home, std::shared_ptr<DiskThreads> threads, std::string path, int descriptor);

// Files that live in memory and end with the last holder of the tree: for brokers inside of tests. Shared by the shards
// of a machine.
class MemoryTree;
std::shared_ptr<MemoryTree> make_memory_tree();
std::unique_ptr<FileSystem> make_memory_file_system(Shard& home, std::shared_ptr<DiskThreads> threads,
                                                    std::shared_ptr<MemoryTree> tree);

}  // namespace klamm::io
