// A node's process in the simulator: its shards and what they have under way. Internal to io/sim.
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "io/shard.h"
#include "io/sim/simulation.h"

namespace klamm::io::sim {

class Process;
class SimShard;

// One coroutine that waits for the simulated machine. Queued on a shard when it is to go on; lives in the awaiting
// frame (or in what it waits for) and leaves every queue when destroyed.
class Wakeup {
 public:
  Wakeup() = default;
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;
  ~Wakeup() { cancel(); }

  bool waiting() const noexcept { return static_cast<bool>(handle_); }
  bool queued() const noexcept { return queue_ != nullptr; }
  void set(std::coroutine_handle<> handle) noexcept { handle_ = handle; }
  void cancel() noexcept;

 private:
  friend class SimShard;
  std::coroutine_handle<> handle_;
  SimShard* queue_ = nullptr;
  Wakeup* previous_ = nullptr;
  Wakeup* next_ = nullptr;
};

// What a process has under way in the machine, in the frame of the coroutine that waits for it.
class Underway {
 public:
  virtual ~Underway() = default;
  // The process dies: have a part of the effect and end with Errc::cancelled.
  virtual void crash(Random& random) = 0;
};

class SimShard final : public Shard {
 public:
  SimShard(Process& process, unsigned index, std::uint64_t seed);
  ~SimShard() override;

  Instant now() const override;
  TimestampMs wall_ms() const override;
  FileSystem& files() override { return *files_; }
  Task<Result<std::unique_ptr<Stream>>> connect(Endpoint to, Duration timeout, SocketBuffers buffers = {}) override;
  Result<std::unique_ptr<Listener>> listen(Endpoint at, int backlog, SocketBuffers buffers = {}) override;
  void post(void (*run)(void*), void* argument) override { posted_.push_back({run, argument}); }

  Process& process() noexcept { return process_; }
  Simulation& simulation() noexcept;

  // Resumes the wakeup's coroutine from the loop. Nothing if it waits for nobody or is queued already.
  void enqueue(Wakeup& wakeup);

  // For the scheduler.
  bool runnable() const;
  Instant next_timer() { return timers().earliest(); }
  // Runs one item, drawn among the kinds that are there. The shard must be runnable.
  void run_one(Random& random, Trace& trace);

 protected:
  void timers_changed() override {}
  void ready_pending() override {}

 private:
  friend class Wakeup;
  struct Posted {
    void (*run)(void*);
    void* argument;
  };
  void unqueue(Wakeup& wakeup) noexcept;

  Process& process_;
  std::unique_ptr<FileSystem> files_;
  std::deque<Posted> posted_;
  Wakeup* first_ = nullptr;
  Wakeup* last_ = nullptr;
};

class Process final : public Shards {
 public:
  Process(Node& node, unsigned shards, std::uint64_t number, Random& random);
  ~Process() override;

  std::size_t size() const override { return shards_.size(); }
  Shard& at(std::size_t index) override { return *shards_.at(index); }
  SimShard& shard(std::size_t index) { return *shards_.at(index); }

  Node& node() noexcept { return node_; }
  Simulation& simulation() noexcept { return node_.simulation(); }
  std::uint64_t number() const noexcept { return number_; }
  bool dead() const noexcept { return dead_; }
  // Peers of a machine that died hear nothing (see PeersSee).
  bool silent() const noexcept { return silent_; }
  Instant paused_until() const noexcept { return paused_until_; }
  void pause_until(Instant when) noexcept { paused_until_ = when; }

  // I/O has no effect from now on; what is under way is cancelled, after it had a part of its effect.
  void die(bool silent, Random& random);

  void add(Underway& operation);
  void remove(Underway& operation);

 private:
  Node& node_;
  std::uint64_t number_;
  bool dead_ = false;
  bool silent_ = false;
  Instant paused_until_;
  std::vector<Underway*> operations_;  // in order of their begin
  std::vector<std::unique_ptr<SimShard>> shards_;
};

}  // namespace klamm::io::sim
