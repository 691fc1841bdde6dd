#include "io/sim/simulation.h"

#include <fmt/format.h>

#include "io/sim/fabric.h"
#include "io/sim/process.h"

namespace klamm::io::sim {

Options Options::draw(std::uint64_t seed) {
  Random random(seed ^ 0x6F7074696F6E73ULL);
  Options options;
  constexpr std::size_t kBuffers[] = {512, 4 << 10, 64 << 10, 1 << 20};
  options.network.socket_buffer_bytes = kBuffers[random.below(4)];
  options.network.latency.low = Duration(random.between(10'000, 500'000));
  options.network.latency.high = options.network.latency.low * random.between(1, 100);
  options.network.partial_chance = random.chance(0.5) ? random.unit() : 0.1;
  options.disk.sync.high = options.disk.sync.low * random.between(1, 200);
  options.disk.write.high = options.disk.write.low * random.between(1, 200);
  options.disk.inline_chance = random.unit();
  options.disk.not_resident_chance = random.chance(0.5) ? 0.05 : random.unit() * 0.9;
  options.disk.writeback_chance = random.unit();
  options.step.high = options.step.low * random.between(1, 100);
  return options;
}

// ---------------------------------------------------------------------------------------------------------- Node

Node::Node(Simulation& simulation, std::uint32_t index, std::string name, NodeOptions options, std::uint64_t seed)
    : simulation_(simulation),
      index_(index),
      name_(std::move(name)),
      address_(fmt::format("10.0.{}.{}", index >> 8, (index & 0xff) + 1)),
      shard_count_(options.shards),
      skew_ms_(options.clock_skew_ms),
      random_(seed) {
  KLAMM_CHECK(shard_count_ > 0, "a node needs a shard");
  const DiskOptions disk_options = options.disk ? *options.disk : simulation.options().disk;
  DiskImage image = options.image ? std::move(*options.image) : DiskImage();
  disk_ = std::make_unique<Disk>(disk_options, random_.next(), std::move(image), simulation.trace(), simulation.clock(),
                                 index);
  processes_.push_back(std::make_unique<Process>(*this, shard_count_, 1, random_));
}

Node::~Node() = default;

Shards& Node::shards() { return process(); }

bool Node::alive() const { return !processes_.back()->dead(); }

void Node::crash(CrashOptions options) {
  if (!alive()) return;
  simulation_.trace().note(simulation_.now(), "crash", std::uint64_t{index_} << 32,
                           static_cast<std::uint64_t>(options.unsynced), static_cast<std::uint64_t>(options.peers));
  lost_power_ = options.unsynced != Unsynced::keep_all;
  PeersSee peers = options.peers;
  if (peers == PeersSee::draw && random_.chance(0.5)) peers = PeersSee::silence;
  Process& dying = process();
  dying.die(peers == PeersSee::silence, random_);
  disk_->crash(options.unsynced);
  simulation_.network().fabric().process_died(dying, peers);
}

void Node::restart() {
  KLAMM_CHECK(!alive(), "restart of a living node");
  simulation_.trace().note(simulation_.now(), "restart", std::uint64_t{index_} << 32, processes_.size());
  processes_.push_back(std::make_unique<Process>(*this, shard_count_, processes_.size() + 1, random_));
  simulation_.network().fabric().process_started(index_);
}

void Node::pause(Duration duration) { process().pause_until(simulation_.now() + duration); }

// ---------------------------------------------------------------------------------------------------------- Simulation

Simulation::Simulation(std::uint64_t seed, Options options)
    : seed_(seed),
      options_(std::move(options)),
      trace_(options_.trace),
      random_(seed),
      harness_random_(random_.next()) {
  network_ = std::make_unique<Network>(*this, options_.network, random_.next());
}

Simulation::~Simulation() = default;

TimestampMs Simulation::wall_ms() const noexcept {
  return options_.wall_start_ms + std::chrono::duration_cast<std::chrono::milliseconds>(now_.since_start).count();
}

Logger Simulation::logger(const Node& node, LogLevel threshold) {
  if (!trace_.has_sink()) return {};
  LogSink sink = [this, name = node.name()](LogLevel level, std::string_view component, std::string_view message) {
    constexpr std::string_view kNames[] = {"DEBUG", "INFO", "WARN", "ERROR", "OFF"};
    trace_.line(now_, fmt::format("{} {} {} ({})", name, kNames[static_cast<std::size_t>(level)], message, component));
  };
  return {std::move(sink), threshold};
}

Node& Simulation::add_node(std::string name, NodeOptions options) {
  KLAMM_CHECK(find_node(name) == nullptr, "two nodes of one name");
  const auto index = static_cast<std::uint32_t>(nodes_.size());
  nodes_.push_back(std::make_unique<Node>(*this, index, std::move(name), std::move(options), random_.next()));
  return *nodes_.back();
}

Node* Simulation::find_node(std::string_view name_or_address) {
  for (const std::unique_ptr<Node>& node : nodes_) {
    if (node->name() == name_or_address || node->address() == name_or_address) return node.get();
  }
  return nullptr;
}

Node& Simulation::node(std::string_view name) {
  Node* found = find_node(name);
  KLAMM_CHECK(found != nullptr, name);
  return *found;
}

void Simulation::at(Instant when, std::function<void()> action) { events_.add(when, std::move(action)); }

bool Simulation::run_one_item() {
  runnable_.clear();
  for (const std::unique_ptr<Node>& node : nodes_) {
    for (const std::unique_ptr<Process>& process : node->processes_) {
      if (process->paused_until() > now_) continue;
      for (std::size_t index = 0; index < process->size(); ++index) {
        SimShard& shard = process->shard(index);
        if (shard.runnable()) runnable_.push_back(&shard);
      }
    }
  }
  if (runnable_.empty()) return false;
  SimShard& chosen = *runnable_[runnable_.size() == 1 ? 0 : random_.below(runnable_.size())];
  chosen.run_one(random_, trace_);
  now_ = now_ + options_.step.draw(random_);
  return true;
}

Instant Simulation::next_deadline() {
  Instant next = events_.earliest();
  for (const std::unique_ptr<Node>& node : nodes_) {
    for (const std::unique_ptr<Process>& process : node->processes_) {
      if (process->paused_until() > now_) {
        next = std::min(next, process->paused_until());
        continue;
      }
      for (std::size_t index = 0; index < process->size(); ++index)
        next = std::min(next, process->shard(index).next_timer());
    }
  }
  return next;
}

bool Simulation::step(Instant until) {
  for (;;) {
    if (events_.run_one(now_)) return true;
    if (run_one_item()) {
      ++items_;
      KLAMM_CHECK(items_ < options_.max_items, "the simulation ran away (Options::max_items)");
      return true;
    }
    const Instant next = next_deadline();
    if (next == Instant::never() || next > until) return false;
    now_ = std::max(now_, next);
  }
}

bool Simulation::run_until(const std::function<bool()>& done, Duration limit) {
  const Instant deadline = now_ + limit;
  while (!done()) {
    if (now_ > deadline) return false;
    if (step(deadline)) continue;
    if (next_deadline() != Instant::never()) now_ = std::max(now_, deadline);
    return done();
  }
  return true;
}

void Simulation::run_for(Duration duration) {
  const Instant end = now_ + duration;
  while (now_ < end && step(end)) {
  }
  now_ = std::max(now_, end);
}

bool Simulation::run_idle(Duration limit) {
  const Instant deadline = now_ + limit;
  while (now_ <= deadline && step(deadline)) {
  }
  return now_ <= deadline && next_deadline() == Instant::never();
}

void Simulation::stuck(Duration limit) {
  const double seconds = static_cast<double>(limit.count()) / 1e9;
  const char* why = next_deadline() == Instant::never() ? "nothing is left to happen" : "the time limit has passed";
  check_failed(__FILE__, __LINE__, "task finished",
               fmt::format("seed {}: {} (limit {} s, now {} s)", seed_, why, seconds,
                           static_cast<double>(now_.since_start.count()) / 1e9));
}

}  // namespace klamm::io::sim
