// Replication under faults that are drawn from a seed: brokers crash and lose what they had not synced, connections
// break, leaders change, the controller's answers get lost. What was acknowledged with acks=all stays, all replicas end
// with the same log, and at no time is something committed that an in-sync replica lacks.
#include <fmt/ranges.h>

#include "replication_lab.h"

namespace klamm::handler::testing {
namespace {

constexpr std::int32_t kPartitions = 3;
constexpr Duration kRuns = 20s;

const SettingsMap kSettings{{"replica.lag.time.max.ms", "1500"}, {"replica.fetch.backoff.ms", "200"}};

class Workload {
 public:
  Workload(std::uint64_t seed, Bugs bugs)
      : cluster_(seed, 3, kSettings, io::sim::Options::draw(seed), bugs), client_(cluster_), random_(seed) {}

  // What is wrong; empty if nothing is.
  std::vector<std::string> run() {
    cluster_.create_topic(kPartitions, {1, 2, 3}, {{"min.insync.replicas", "2"}});
    end_ = cluster_.simulation().now() + kRuns;
    watch();
    next_fault();
    cluster_.controller().lost_requests = 0.1;
    cluster_.controller().lost_answers = 0.1;
    for (int worker = 0; worker < 4; ++worker) {
      ++working_;
      auto start = [](void* self) { io::spawn_detached(static_cast<Workload*>(self)->produce()); };
      client_.shard().post(start, this);
    }
    const bool worked = cluster_.until([this] { return working_ == 0 && faults_ == 0; });
    if (!worked) complain("the workload did not end");
    cluster_.simulation().network().heal_all();
    cluster_.controller().lost_requests = cluster_.controller().lost_answers = 0;
    const bool settled = cluster_.until([this] { return cluster_.all_serve() && cluster_.settled(kPartitions); }, 120s);
    watching_ = false;
    if (!settled) {
      complain("the replicas did not come together");
      for (std::int32_t index = 0; index < kPartitions; ++index) complain(state_of(index));
      return complaints_;
    }
    for (std::int32_t index = 0; index < kPartitions; ++index) check_logs(index);
    return complaints_;
  }
  std::size_t acknowledged() const { return acknowledged_.size(); }
  int crashes() const { return crashes_; }
  int elections() const { return elections_; }

 private:
  struct Acknowledged {
    std::int32_t index;
    std::int64_t offset;
    std::string value;
  };

  void complain(std::string what) {
    if (complaints_.size() < 10) complaints_.push_back(std::move(what));
  }

  io::Task<void> produce() {
    while (cluster_.simulation().now() < end_) {
      const auto index = static_cast<std::int32_t>(random_.below(kPartitions));
      const std::string value = "value " + std::to_string(next_value_++);
      Result<std::int64_t> produced = co_await client_.produce(index, value);
      if (produced) acknowledged_.push_back({index, *produced, value});
      co_await client_.shard().sleep(std::chrono::milliseconds(random_.between(0, produced ? 10 : 100)));
    }
    --working_;
  }

  // ---- Faults, one after the other; each ends by itself.
  void next_fault() {
    if (cluster_.simulation().now() >= end_) return;
    ++faults_;
    cluster_.simulation().after(std::chrono::milliseconds(random_.between(200, 2000)), [this] {
      --faults_;
      if (cluster_.simulation().now() < end_) fault();
      next_fault();
    });
  }
  void later(Duration delay, std::function<void()> action) {
    ++faults_;
    cluster_.simulation().after(delay, [this, action = std::move(action)] {
      action();
      --faults_;
    });
  }
  std::int32_t any_broker() { return static_cast<std::int32_t>(random_.between(1, 3)); }

  void fault() {
    io::sim::Network& network = cluster_.simulation().network();
    const std::int32_t id = any_broker();
    const std::int32_t other = id % 3 + 1;
    const Duration length = std::chrono::milliseconds(random_.between(50, 4000));
    switch (random_.below(5)) {
      case 0: crash(id, length); break;
      case 1:
        network.partition(cluster_.machine(id), cluster_.machine(other));
        later(length, [this, id, other] {
          cluster_.simulation().network().heal(cluster_.machine(id), cluster_.machine(other));
        });
        break;
      case 2: network.cut(cluster_.machine(id), cluster_.machine(other)); break;
      default: elect(static_cast<std::int32_t>(random_.below(kPartitions)), id); break;
    }
  }
  // Only when all replicas are in sync: two losses at a time are more than two copies survive.
  void crash(std::int32_t id, Duration length) {
    if (!cluster_.all_serve()) return;
    for (std::int32_t index = 0; index < kPartitions; ++index) {
      const metadata::PartitionRegistration& partition = cluster_.controller().partition(index);
      if (partition.isr.size() != 3) return;
    }
    ++crashes_;
    cluster_.crash(id);
    later(length, [this, id] { cluster_.restart(id); });
  }
  void elect(std::int32_t index, std::int32_t leader) {
    const metadata::PartitionRegistration& partition = cluster_.controller().partition(index);
    if (!partition.in_isr(leader) || !cluster_.controller().image()->cluster.broker(leader)->active()) return;
    ++elections_;
    cluster_.controller().elect(index, leader);
  }

  std::string state_of(std::int32_t index) {
    const metadata::PartitionRegistration& partition = cluster_.controller().partition(index);
    std::string text =
        fmt::format("t-{}: leader {} epochs {} {} isr {} elr {}", index, partition.leader, partition.leader_epoch,
                    partition.partition_epoch, fmt::join(partition.isr, ","), fmt::join(partition.elr, ","));
    for (std::int32_t id = 1; id <= 3; ++id) {
      text += fmt::format("; {} serves: {}, end {}, mark {}", id, cluster_.broker(id).serving(),
                          cluster_.end_of(id, index), cluster_.mark_of(id, index));
    }
    return text;
  }

  // ---- Checks
  void watch() {
    cluster_.simulation().after(5ms, [this] {
      if (!watching_) return;
      for (std::int32_t index = 0; index < kPartitions; ++index) check_committed(index);
      watch();
    });
  }
  // Whoever may become leader has all that the leader calls committed.
  void check_committed(std::int32_t index) {
    const metadata::PartitionRegistration& partition = cluster_.controller().partition(index);
    if (partition.leader < 0 || !cluster_.broker(partition.leader).serving()) return;
    const std::int64_t mark = cluster_.mark_of(partition.leader, index);
    for (const std::int32_t member : partition.isr) {
      if (!cluster_.broker(member).serving()) continue;
      const std::int64_t end = cluster_.end_of(member, index);
      if (end < 0 || end >= mark) continue;
      complain(fmt::format("t-{}: {} is committed, but {} has {} only", index, mark, member, end));
    }
  }
  void check_logs(std::int32_t index) {
    const std::string content = cluster_.content(1, index);
    for (std::int32_t id = 2; id <= 3; ++id) {
      if (cluster_.content(id, index) != content) complain(fmt::format("t-{}: {} differs from 1", index, id));
    }
    std::map<std::int64_t, std::string> values;
    compress::Codecs codecs;
    record::BatchCursor cursor(Slice::copy(content));
    while (cursor.next()) {
      Result<record::BatchView> view = record::BatchView::parse(cursor.entry());
      REQUIRE(view.has_value());
      Result<Slice> plain = record::plain_records(*view, codecs, 1 << 20);
      REQUIRE(plain.has_value());
      record::RecordIterator records(*view, plain->bytes());
      for (record::RecordView record; records.next(record);) {
        values[record.offset] = record.value.text();
      }
    }
    for (const Acknowledged& each : acknowledged_) {
      if (each.index != index) continue;
      const auto found = values.find(each.offset);
      if (found != values.end() && found->second == each.value) continue;
      complain(fmt::format("t-{}: '{}' was acknowledged at {}, where there is {}", index, each.value, each.offset,
                           found == values.end() ? "nothing" : "'" + found->second + "'"));
    }
  }

  Cluster cluster_;
  Client client_;
  Random random_;
  Instant end_;
  int working_ = 0;
  int faults_ = 0;
  int crashes_ = 0;
  int elections_ = 0;
  int next_value_ = 0;
  bool watching_ = true;
  std::vector<Acknowledged> acknowledged_;
  std::vector<std::string> complaints_;
};

// Seeds until one finds something.
bool is_found(Bugs bugs) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Workload workload(seed, bugs);
    if (!workload.run().empty()) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("what was acknowledged survives crashes, broken connections and changes of leaders") {
  int crashes = 0;
  int elections = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    Workload workload(seed, {});
    for (const std::string& complaint : workload.run()) FAIL_CHECK(complaint);
    CHECK(workload.acknowledged() > 100);
    crashes += workload.crashes();
    elections += workload.elections();
  }
  CHECK(crashes > 10);
  CHECK(elections > 30);
}

TEST_CASE("planted bug: followers that do not tell their epochs keep what their leader never had") {
  Bugs bugs;
  bugs.no_truncation = true;
  CHECK(is_found(bugs));
}

TEST_CASE("planted bug: an acknowledgement before the in-sync replicas have it") {
  Bugs bugs;
  bugs.early_ack = true;
  CHECK(is_found(bugs));
}

}  // namespace klamm::handler::testing
