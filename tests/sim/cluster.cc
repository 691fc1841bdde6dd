#include "cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "io/file.h"

namespace klamm::simtest {

namespace {

// All segments of a replica in the order of offsets, as one string; nothing if it is not there.
io::Task<std::optional<std::string>> read_replica(io::Shard& shard, TopicPartition partition) {
  const std::string directory =
      fmt::format("{}/{}-{}", BrokerHost::kDataDirectory, partition.topic, partition.partition);
  Result<std::vector<std::string>> names = co_await shard.files().list(directory);
  if (!names) co_return std::nullopt;
  std::sort(names->begin(), names->end());
  std::string content;
  for (const std::string& name : *names) {
    if (!name.ends_with(".log")) continue;
    Result<Slice> segment = co_await io::read_file(shard.files(), io::join_path(directory, name));
    KLAMM_CHECK(segment, segment ? std::string() : segment.error().message());
    content.append(segment->text());
  }
  co_return content;
}

}  // namespace

Cluster::Cluster(io::sim::Simulation& simulation, const Scenario& scenario, const Settings& settings,
                 const Listener& listener)
    : simulation_(simulation) {
  const std::vector<std::string> names = broker_names(scenario.brokers);
  for (std::size_t index = 0; index < names.size(); ++index) {
    Member member;
    member.machine = &simulation.add_node(names[index], {.shards = scenario.shards});
    member.host = std::make_unique<BrokerHost>(
        simulation, *member.machine,
        HostOptions{names, index, settings, scenario.dynamic_voters, scenario.sync_errors, listener});
    members_.push_back(std::move(member));
  }
}

BrokerHost& Cluster::host_of(const io::sim::Node& machine) {
  const auto found =
      std::find_if(members_.begin(), members_.end(), [&](const Member& member) { return member.machine == &machine; });
  KLAMM_CHECK(found != members_.end(), "a machine without a broker died");
  return *found->host;
}

void Cluster::set_on_power_cut(const std::function<void()>& action) {
  for (const Member& member : members_) member.host->set_on_power_cut(action);
}

Result<void> Cluster::format() {
  for (const Member& member : members_) {
    Result<void> formatted = member.host->format();
    KLAMM_TRY(formatted);
  }
  return {};
}

void Cluster::start() {
  for (const Member& member : members_) member.host->start();
}

void Cluster::stop() {
  for (const Member& member : members_) member.host->stop();
}

void Cluster::restart_machines(bool power_fails) {
  for (const Member& member : members_) {
    if (power_fails) {
      member.machine->crash();
    } else {
      member.machine->kill();
    }
    member.machine->restart();
    member.host->start();
  }
}

void Cluster::replace_disk(std::size_t index, Duration away) {
  Member& member = members_[index];
  if (member.machine->alive()) {
    member.machine->crash();
    member.host->died();
  }
  member.host->wipe();
  simulation_.after(away, [&member] {
    if (member.machine->alive()) return;
    member.machine->restart();
    member.host->start();
  });
}

void Cluster::restart_one_in_order(Random& random) { members_[random.below(members_.size())].host->restart_in_order(); }

bool Cluster::all_serving() const {
  return std::all_of(members_.begin(), members_.end(), [](const Member& member) { return member.host->serving(); });
}

bool Cluster::all_ended() const {
  return std::all_of(members_.begin(), members_.end(), [](const Member& member) { return member.host->all_ended(); });
}

std::size_t Cluster::gave_up() const {
  std::size_t sum = 0;
  for (const Member& member : members_) sum += member.host->gave_up();
  return sum;
}

std::size_t Cluster::starts() const {
  std::size_t sum = 0;
  for (const Member& member : members_) sum += member.host->starts();
  return sum;
}

std::size_t Cluster::orderly_restarts() const {
  std::size_t sum = 0;
  for (const Member& member : members_) sum += member.host->orderly_restarts();
  return sum;
}

std::string Cluster::last_error() const {
  std::string text;
  for (const Member& member : members_) {
    if (member.host->last_error().empty()) continue;
    if (!text.empty()) text += "; ";
    text += member.machine->name() + ": " + member.host->last_error();
  }
  return text;
}

std::vector<std::string> Cluster::compare_replicas(const std::vector<TopicPartition>& partitions) {
  std::vector<std::string> differences;
  for (const TopicPartition& partition : partitions) {
    std::optional<std::string> first;
    std::string first_name;
    for (const Member& member : members_) {
      std::optional<std::string> content =
          simulation_.run(member.machine->shard(), read_replica(member.machine->shard(), partition));
      if (!content) continue;  // it has no replica
      if (!first) {
        first = std::move(content);
        first_name = member.machine->name();
        continue;
      }
      if (*content == *first) continue;
      const auto [left, right] = std::mismatch(first->begin(), first->end(), content->begin(), content->end());
      differences.push_back(fmt::format("{}-{}: {} has {} bytes, {} has {}; they differ from byte {}", partition.topic,
                                        partition.partition, first_name, first->size(), member.machine->name(),
                                        content->size(), left - first->begin()));
    }
  }
  return differences;
}

}  // namespace klamm::simtest
