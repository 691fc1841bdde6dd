// Several RaftCores in one thread and virtual time, with disks that lose what was not flushed and a network that
// delays, loses and cuts, all drawn from one seed. It watches what must always hold, and says what did not.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/random.h"
#include "broker/raft/raft_core.h"

namespace klamm::raft::testing {

// Mistakes that a quorum can be made with, to see that they are found.
enum class PlantedBug { none, forget_vote, skip_truncation, count_stale_epoch };

struct NetworkOptions {
  int nodes = 3;
  int observers = 0;
  bool dynamic = false;  // kraft.version 1: voters in the log, with directory ids
  bool auto_join = false;
  PlantedBug bug = PlantedBug::none;
  double loss = 0.02;
  bool snapshots = true;
};

class CoreNetwork {
 public:
  CoreNetwork(std::uint64_t seed, NetworkOptions options);

  // Lets `duration` pass, with appends by whoever leads.
  void run(Duration duration);
  bool run_until(const std::function<bool()>& done, Duration limit);

  void crash(int id);
  void restart(int id);
  // The disk is lost as well.
  void wipe(int id);
  void cut(int from, int to) { cuts_.insert({from, to}); }
  void isolate(int id);
  void heal() { cuts_.clear(); }
  // Something bad, drawn by the seed.
  void disturb();
  void restore_all();

  bool alive(int id) const { return nodes_.at(static_cast<std::size_t>(id)).core != nullptr; }
  RaftCore& core(int id) { return *nodes_.at(static_cast<std::size_t>(id)).core; }
  int count() const { return static_cast<int>(nodes_.size()); }
  // The one that leads, as a majority sees it; -1 if there is none.
  int leader() const;
  void call(int id, const std::function<void(RaftCore&)>& function);
  Now now() const { return {Instant{now_}, 1'000'000 + now_.count() / 1'000'000}; }
  Random& random() { return random_; }
  std::int64_t appended() const { return appended_; }
  std::int64_t committed_end() const { return committed_end_; }
  std::int32_t newest_epoch() const { return leaders_.empty() ? 0 : leaders_.rbegin()->first; }
  int snapshots_installed() const { return installs_; }
  int truncations() const { return truncations_; }
  // What was broken first; empty if nothing.
  const std::string& violation() const { return violation_; }
  void append(int id);
  Voter voter_of(int id) const;
  // Everybody follows the one leader, and knows that all below the offset is committed.
  bool all_follow(std::int64_t end_offset = 1) const;

 private:
  struct Stored {
    Slice bytes;
    std::int64_t base = 0;
    std::int64_t last = 0;
    std::int32_t epoch = 0;
  };
  struct Disk {
    std::optional<QuorumState> state;
    std::vector<Stored> log;
    std::size_t flushed = 0;  // batches
    std::int64_t start = 0;
    std::map<SnapshotId, Slice> snapshots;
    bool fresh = false;
  };
  using Step = std::variant<Action, std::function<void()>>;
  struct Node {
    int id = 0;
    std::unique_ptr<RaftCore> core;
    Disk disk;
    std::deque<Step> steps;
    bool busy = false;
    std::uint64_t life = 0;
    std::map<SnapshotId, std::string> parts;
    Duration woken_at{Duration::max()};
  };
  struct Event {
    Duration at;
    std::uint64_t number;
    std::function<void()> action;
    bool operator<(const Event& other) const { return at != other.at ? at > other.at : number > other.number; }
  };

  void at(Duration delay, std::function<void()> action) {
    events_.push({now_ + delay, ++event_number_, std::move(action)});
  }
  Duration draw(Duration most) { return Duration(random_.between(0, most.count())); }
  void step();
  Node& node(int id) { return nodes_.at(static_cast<std::size_t>(id)); }
  void after_call(Node& node);
  void wake(Node& node);
  void work(Node& node);
  void perform(Node& node, Action& action);
  void told(Node& node, const LeaderChanged& changed);
  void check_committed(Node& node, std::int64_t high_watermark);
  void maybe_snapshot(Node& node);
  std::int64_t end_of(const Node& node) const {
    return node.disk.log.empty() ? node.disk.start : node.disk.log.back().last + 1;
  }
  Slice records_from(const Node& node, std::int64_t offset) const;
  void break_invariant(std::string what) {
    if (violation_.empty()) violation_ = std::move(what);
  }
  int id_at(const Endpoint& address) const { return address.port - 9000; }
  template <typename Send, typename A>
  void send(Node& from, const Send& sent, std::function<void(Node&, std::function<void(A)>)> serve,
            std::function<void(RaftCore&, const A&)> take);
  void serve_fetch(Node& node, FetchAsk ask, Duration deadline, bool again, std::function<void(FetchAnswer)> reply);
  RaftConfig config_of(int id);
  LocalState local_state(Node& node);

  NetworkOptions options_;
  Random random_;
  Duration now_{0};
  std::uint64_t event_number_ = 0;
  std::priority_queue<Event> events_;
  std::vector<Node> nodes_;
  std::set<std::pair<int, int>> cuts_;
  std::map<std::int32_t, int> leaders_;  // by epoch
  struct Fact {
    std::int64_t last = 0;
    std::int32_t epoch = 0;
    Slice bytes;
  };
  std::map<std::int64_t, Fact> committed_;  // by base offset
  std::int64_t committed_end_ = 0;
  std::int64_t appended_ = 0;
  int installs_ = 0;
  int truncations_ = 0;
  std::string violation_;
};

}  // namespace klamm::raft::testing
