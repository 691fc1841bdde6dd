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

// A pool of threads that run jobs in order of submission. Shared by the shards of a machine.
class DiskThreads {
 public:
  explicit DiskThreads(unsigned threads);
  ~DiskThreads();
  void submit(void (*run)(void*), void* argument);

  // Bytes written to the page cache by shards since they were last written back. Over the bound, writes wait on a disk
  // thread instead of risking the kernel's throttling on a shard.
  static constexpr std::int64_t kInlineDirtyBound = 512LL << 20;
  std::atomic<std::int64_t> dirty_bytes{0};

  // Runs `function` (no coroutine) on a disk thread and returns its result on `home`.
  template <typename Function>
  auto run(Shard& home, Function function) -> Task<std::invoke_result_t<Function&>> {
    using T = std::invoke_result_t<Function&>;
    struct Job {
      Shard& home;
      DiskThreads& threads;
      Function function;
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
            this);
      }
      void await_resume() const noexcept {}
    };
    Job job{home, *this, std::move(function), {}, {}};
    co_await job;
    co_return std::move(*job.result);
  }

 private:
  struct Entry {
    void (*run)(void*);
    void* argument;
  };
  void work();

  std::mutex mutex_;
  std::condition_variable pending_;
  std::deque<Entry> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
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
