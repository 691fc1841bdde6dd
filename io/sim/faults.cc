#include "io/sim/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

namespace klamm::io::sim {
namespace {

double seconds(Duration duration) { return static_cast<double>(duration.count()) / 1e9; }

bool between_two(FaultKind kind) {
  switch (kind) {
    case FaultKind::partition:
    case FaultKind::one_way:
    case FaultKind::delay:
    case FaultKind::cut_all:
    case FaultKind::drop: return true;
    default: return false;
  }
}

std::optional<DiskOperation> failing_operation(FaultKind kind) {
  switch (kind) {
    case FaultKind::read_errors: return DiskOperation::read;
    case FaultKind::write_errors: return DiskOperation::write;
    case FaultKind::sync_errors: return DiskOperation::sync;
    default: return std::nullopt;
  }
}

bool kills(FaultKind kind) { return kind == FaultKind::crash || kind == FaultKind::kill; }

// The faults that are in force while a plan runs. Several may hit the same thing: it is set right when the last ends.
class Running {
 public:
  Running(Simulation& simulation, FaultHooks hooks) : simulation_(simulation), hooks_(std::move(hooks)) {
    for (std::size_t index = 0; index < simulation.node_count(); ++index)
      skews_ms_.push_back(simulation.node_at(index).clock_skew_ms());
  }

  void begin(const Fault& fault) {
    active_.push_back(&fault);
    Node& node = simulation_.node(fault.node);
    simulation_.trace().note(simulation_.now(), "fault", std::uint64_t{node.index()} << 32, 1, 0, fault.text());
    switch (fault.kind) {
      case FaultKind::cut: simulation_.network().cut_one(node); break;
      case FaultKind::cut_all: simulation_.network().cut(node, simulation_.node(fault.other)); break;
      case FaultKind::drop: simulation_.network().drop(node, simulation_.node(fault.other)); break;
      case FaultKind::crash:
      case FaultKind::kill: die(node, fault.kind); break;
      case FaultKind::pause: node.pause(fault.length); break;
      case FaultKind::read_errors:
      case FaultKind::write_errors:
      case FaultKind::sync_errors:
        node.disk().inject({.operation = *failing_operation(fault.kind),
                            .path = fault.path,
                            .error_number = EIO,
                            .times = static_cast<std::uint64_t>(fault.amount)});
        break;
      case FaultKind::disk_full:
        full_.push_back({&node, node.disk().options().capacity_bytes});
        node.disk().options().capacity_bytes = node.disk().image().used_bytes();
        break;
      default: break;
    }
    settle();
  }

  void end(const Fault& fault) {
    std::erase(active_, &fault);
    Node& node = simulation_.node(fault.node);
    simulation_.trace().note(simulation_.now(), "fault", std::uint64_t{node.index()} << 32, 0, 0, fault.text());
    if (kills(fault.kind) && !node.alive()) {
      node.restart();
      if (hooks_.restarted) hooks_.restarted(node);
    }
    if (failing_operation(fault.kind)) node.disk().clear_faults();
    if (fault.kind == FaultKind::disk_full) {
      const auto found = std::find_if(full_.begin(), full_.end(), [&](const Full& full) { return full.node == &node; });
      node.disk().options().capacity_bytes = found->capacity_bytes;
      full_.erase(found);
    }
    settle();
  }

 private:
  struct Full {
    Node* node;
    std::uint64_t capacity_bytes;
  };

  void die(Node& node, FaultKind kind) {
    if (!node.alive()) return;
    if (kind == FaultKind::crash) {
      node.crash();
    } else {
      node.kill();
    }
    if (hooks_.crashed) hooks_.crashed(node);
  }

  // Makes links, disks and clocks what the faults in force make of them.
  void settle() {
    Network& network = simulation_.network();
    const std::size_t count = skews_ms_.size();
    for (std::size_t left = 0; left < count; ++left) {
      Node& from = simulation_.node_at(left);
      double slowdown = 1;
      std::int64_t skew_ms = skews_ms_[left];
      for (const Fault* fault : active_) {
        if (fault->node != from.name()) continue;
        if (fault->kind == FaultKind::slow_disk) slowdown = std::max(slowdown, static_cast<double>(fault->amount));
        if (fault->kind == FaultKind::clock_skew) skew_ms += fault->amount;
      }
      from.disk().set_slowdown(slowdown);
      from.set_clock_skew_ms(skew_ms);
      for (std::size_t right = 0; right < count; ++right) {
        if (left == right) continue;
        Node& to = simulation_.node_at(right);
        const bool wanted = blocks(from, to);
        if (wanted && !network.blocked(from, to)) network.block(from, to);
        if (!wanted && network.blocked(from, to)) network.allow(from, to);
        if (left < right) network.set_extra_delay(from, to, delay(from, to));
      }
    }
  }

  static bool concerns(const Fault& fault, const Node& left, const Node& right) {
    return (fault.node == left.name() && fault.other == right.name()) ||
           (fault.node == right.name() && fault.other == left.name());
  }

  bool blocks(const Node& from, const Node& to) const {
    for (const Fault* fault : active_) {
      if (fault->kind == FaultKind::partition && concerns(*fault, from, to)) return true;
      if (fault->kind == FaultKind::one_way && fault->node == from.name() && fault->other == to.name()) return true;
      if (fault->kind == FaultKind::isolate && (fault->node == from.name() || fault->node == to.name())) return true;
    }
    return false;
  }

  Duration delay(const Node& left, const Node& right) const {
    Duration total{0};
    for (const Fault* fault : active_) {
      if (fault->kind == FaultKind::delay && concerns(*fault, left, right)) total += Duration(fault->amount);
    }
    return total;
  }

  Simulation& simulation_;
  FaultHooks hooks_;
  std::vector<std::int64_t> skews_ms_;  // of each node, without faults
  std::vector<const Fault*> active_;
  std::vector<Full> full_;
};

// True if nodes of other faults make it impossible for `fault` to kill its node then.
bool too_many_dead(const std::vector<Fault>& faults, const Fault& fault, std::size_t most_dead) {
  std::size_t dead = 0;
  for (const Fault& other : faults) {
    if (!kills(other.kind) || other.at + other.length <= fault.at || fault.at + fault.length <= other.at) continue;
    if (other.node == fault.node) return true;
    ++dead;
  }
  return dead >= most_dead;
}

bool breaks_disk(FaultKind kind) { return kind == FaultKind::disk_full || failing_operation(kind); }

// Disk faults of one node do not overlap: the end of one would end the other.
bool overlaps_same(const std::vector<Fault>& faults, const Fault& fault) {
  if (!breaks_disk(fault.kind)) return false;
  for (const Fault& other : faults) {
    if (breaks_disk(other.kind) && other.node == fault.node && other.at < fault.at + fault.length &&
        fault.at < other.at + other.length)
      return true;
  }
  return false;
}

}  // namespace

std::string_view name_of(FaultKind kind) {
  constexpr std::string_view kNames[] = {
      "partition", "one_way", "isolate",   "delay",       "cut",          "cut_all",     "drop",      "crash",
      "kill",      "pause",   "slow_disk", "read_errors", "write_errors", "sync_errors", "disk_full", "clock_skew"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string Fault::text() const {
  return fmt::format("{:.3f}s +{:.3f}s {} {} {} {}{}", seconds(at), seconds(length), name_of(kind), node, other, amount,
                     path.empty() ? "" : " on " + path);
}

FaultPlan FaultPlan::draw(std::uint64_t seed, const FaultPlanOptions& options) {
  KLAMM_CHECK(!options.victims.empty() && !options.kinds.empty(), "a fault plan needs victims and kinds");
  Random random(seed ^ 0x6661756C7473ULL);
  std::vector<std::string> others = options.victims;
  others.insert(others.end(), options.bystanders.begin(), options.bystanders.end());
  FaultPlan plan;
  for (Duration at{0};;) {
    at += Duration(random.between(0, 2 * options.mean_interval.count()));
    if (at >= options.duration) break;
    Fault fault;
    fault.at = at;
    const std::int64_t longest = std::min(options.longest, options.duration - at).count();
    fault.length = Duration(random.between(0, random.chance(0.5) ? longest : longest / 10));
    fault.kind = options.kinds[random.below(options.kinds.size())];
    fault.node = options.victims[random.below(options.victims.size())];
    if (between_two(fault.kind)) {
      fault.other = others[random.below(others.size())];
      if (fault.other == fault.node) continue;
      if (fault.kind == FaultKind::one_way && random.chance(0.5)) std::swap(fault.node, fault.other);
    }
    if (fault.kind == FaultKind::delay) fault.amount = random.between(1'000'000, 2'000'000'000);
    if (fault.kind == FaultKind::slow_disk) fault.amount = random.between(2, 500);
    if (fault.kind == FaultKind::clock_skew) fault.amount = random.between(-3'600'000, 3'600'000);
    if (failing_operation(fault.kind)) {
      fault.path = options.paths[random.below(options.paths.size())];
      fault.amount = random.chance(0.5) ? 1 : random.between(2, 1000);
    }
    if (kills(fault.kind) && too_many_dead(plan.faults_, fault, options.most_dead)) continue;
    if (overlaps_same(plan.faults_, fault)) continue;
    plan.faults_.push_back(std::move(fault));
  }
  return plan;
}

Duration FaultPlan::end() const {
  Duration last{0};
  for (const Fault& fault : faults_) last = std::max(last, fault.at + fault.length);
  return last;
}

std::string FaultPlan::text() const {
  std::string text;
  for (const Fault& fault : faults_) text += fault.text() + "\n";
  return text;
}

void FaultPlan::install(Simulation& simulation, FaultHooks hooks) const {
  struct Installed {
    Installed(Simulation& simulation, FaultHooks hooks, std::vector<Fault> list)
        : faults(std::move(list)), running(simulation, std::move(hooks)) {}
    std::vector<Fault> faults;
    Running running;
  };
  auto installed = std::make_shared<Installed>(simulation, std::move(hooks), faults_);
  for (const Fault& fault : installed->faults) {
    simulation.after(fault.at, [installed, &fault] { installed->running.begin(fault); });
    simulation.after(fault.at + fault.length, [installed, &fault] { installed->running.end(fault); });
  }
}

}  // namespace klamm::io::sim
