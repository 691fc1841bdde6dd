#include "io/sim/process.h"

#include <algorithm>

#include "io/sim/fabric.h"
#include "io/sim/file_system.h"

namespace klamm::io::sim {

void Wakeup::cancel() noexcept {
  handle_ = {};
  if (queue_ != nullptr) queue_->unqueue(*this);
}

SimShard::SimShard(Process& process, unsigned index, std::uint64_t seed)
    : Shard(index, seed), process_(process), files_(make_file_system(*this)) {}

SimShard::~SimShard() {
  while (first_ != nullptr) unqueue(*first_);
}

Simulation& SimShard::simulation() noexcept { return process_.simulation(); }
Instant SimShard::now() const { return process_.simulation().now(); }
TimestampMs SimShard::wall_ms() const { return process_.simulation().wall_ms() + process_.node().clock_skew_ms(); }

Task<Result<std::unique_ptr<Stream>>> SimShard::connect(Endpoint to, Duration timeout, SocketBuffers) {
  ConnectOperation operation(*this, std::move(to), timeout);
  co_await operation;
  co_return operation.take();
}

Result<std::unique_ptr<Listener>> SimShard::listen(Endpoint at, int backlog, SocketBuffers) {
  return simulation().network().fabric().listen(*this, std::move(at), backlog);
}

void SimShard::enqueue(Wakeup& wakeup) {
  if (!wakeup.waiting() || wakeup.queued()) return;
  wakeup.queue_ = this;
  wakeup.previous_ = last_;
  (last_ ? last_->next_ : first_) = &wakeup;
  last_ = &wakeup;
}

void SimShard::unqueue(Wakeup& wakeup) noexcept {
  (wakeup.previous_ ? wakeup.previous_->next_ : first_) = wakeup.next_;
  (wakeup.next_ ? wakeup.next_->previous_ : last_) = wakeup.previous_;
  wakeup.previous_ = wakeup.next_ = nullptr;
  wakeup.queue_ = nullptr;
}

bool SimShard::runnable() const {
  if (process_.paused_until() > now()) return false;
  if (!posted_.empty() || has_ready() || first_ != nullptr) return true;
  return const_cast<SimShard*>(this)->next_timer() <= now();
}

void SimShard::run_one(Random& random, Trace& trace) {
  enum class Kind { posted, ready, completion, timer };
  Kind kinds[4];
  std::size_t count = 0;
  if (!posted_.empty()) kinds[count++] = Kind::posted;
  if (has_ready()) kinds[count++] = Kind::ready;
  if (first_ != nullptr) kinds[count++] = Kind::completion;
  if (next_timer() <= now()) kinds[count++] = Kind::timer;
  const Kind kind = kinds[count == 1 ? 0 : random.below(count)];
  trace.note(now(), "run", (std::uint64_t{process_.node().index()} << 32) | index(), static_cast<std::uint64_t>(kind),
             process_.number());
  switch (kind) {
    case Kind::posted: {
      const Posted item = posted_.front();
      posted_.pop_front();
      item.run(item.argument);
      break;
    }
    case Kind::ready: drain_ready(); break;
    case Kind::completion: {
      Wakeup& wakeup = *first_;
      unqueue(wakeup);
      std::exchange(wakeup.handle_, {}).resume();
      break;
    }
    case Kind::timer: timers().run_due(now()); break;
  }
}

Process::Process(Node& node, unsigned shards, std::uint64_t number, Random& random) : node_(node), number_(number) {
  for (unsigned index = 0; index < shards; ++index)
    shards_.push_back(std::make_unique<SimShard>(*this, index, random.next()));
}

Process::~Process() = default;

void Process::add(Underway& operation) { operations_.push_back(&operation); }

void Process::remove(Underway& operation) { std::erase(operations_, &operation); }

void Process::die(bool silent, Random& random) {
  dead_ = true;
  silent_ = silent;
  paused_until_ = {};
  for (Underway* operation : operations_) operation->crash(random);
}

}  // namespace klamm::io::sim
