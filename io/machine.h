// The real environment: threads with an Asio event loop each, the machine's network and files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/shard.h"

namespace klamm::io {

struct MachineOptions {
  unsigned shards = 0;        // 0: one a core (num.shards)
  std::uint64_t seed = 0;     // 0: drawn from the system
  unsigned disk_threads = 4;  // threads for file calls that may block
  bool memory_files = false;  // files live in memory and end with the machine
};

// One process's shards. The threads run from construction until stop().
class Machine final : public Shards {
 public:
  explicit Machine(MachineOptions options = {});
  ~Machine() override;
  std::size_t size() const override;
  Shard& at(std::size_t index) override;

  // Runs a task on shard `index` and blocks the calling thread (which must not be a shard) until it is done.
  template <typename T>
  T run(std::size_t index, Task<T> task) {
    std::optional<T> result;
    run_blocking(index, [](std::optional<T>* into, Task<T> owned) -> Task<void> {
      T value = co_await owned;
      into->emplace(std::move(value));
    }(&result, std::move(task)));
    return std::move(*result);
  }
  void run(std::size_t index, Task<void> task) { run_blocking(index, std::move(task)); }

  // As SIGKILL would end the process, for those that it talks to and for its files: every connection is reset, nothing
  // is listened on or connected to, and no file changes any more; what was written stays. All of that fails with
  // Errc::cancelled. The objects on the shards live on, for their owner to end. From any thread but a shard's.
  void kill();
  bool killed() const;
  // Another process may begin on the same files. When all objects of the killed one have ended.
  void revive();

  // Ends the loops and joins the threads. Whoever uses the shards must have closed its objects before.
  void stop();

 private:
  void run_blocking(std::size_t index, Task<void> task);
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Calls `action` on `shard` when the process gets one of the signals (SIGTERM, SIGINT), each time. The object must live
// on that shard's machine.
class SignalWatch {
 public:
  SignalWatch(Machine& machine, std::size_t shard, std::initializer_list<int> signals, std::function<void(int)> action);
  ~SignalWatch();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// True if the name (or address) has an address to connect to. Asks the system's resolver and waits for it: not on a
// shard.
bool has_address(const std::string& host);

// The machine's name, for addresses that others are told.
std::string host_name();

// Gives memory that is free but still held by the allocator back to the system. Takes milliseconds.
void release_free_memory();

// Raises the soft limit of open descriptors to the hard one; returns the limit in force.
std::uint64_t raise_descriptor_limit();

}  // namespace klamm::io
