// The controller of the replication lab: decides with the real controller's rules, and keeps its metadata in memory.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "broker/controller/brokers.h"
#include "broker/controller/features.h"
#include "broker/controller/partitions.h"
#include "broker/metadata/image_writer.h"
#include "io/sim/simulation.h"
#include "tests/unit/why.h"

namespace klamm::handler::testing {

using Ids = std::vector<std::int32_t>;

inline constexpr std::uint16_t kPort = 9092;
inline constexpr Uuid kTopic{10, 1};
inline const std::string kTopicName = "t";

// The cluster's metadata and who decides on it. Everything is in one thread: brokers call it as it is.
class FakeController {
 public:
  explicit FakeController(io::sim::Simulation& simulation) : simulation_(simulation), random_(simulation.seed()) {
    settings_.node_id = 100;
    settings_.cluster_id = "cluster";
    append(controller::bootstrap_transaction(controller::feature_records({}, metadata::served_features({})), nullptr));
  }

  struct Step {
    metadata::ImageRef image;
    std::shared_ptr<const metadata::MetadataDelta> delta;
  };
  const std::vector<Step>& steps() const { return steps_; }
  const metadata::ImageRef& image() const { return image_; }
  const metadata::PartitionRegistration& partition(std::int32_t index = 0) const {
    const metadata::PartitionRegistration* found = image_->topics.partition(kTopic, index);
    REQUIRE(found != nullptr);
    return *found;
  }

  void append(const metadata::Records& records) {
    if (records.empty()) return;
    metadata::MetadataDelta delta(image_);
    for (const metadata::Record& record : records) {
      Result<void> replayed = delta.replay(record);
      REQUIRE_MESSAGE(replayed.has_value(), why_of(replayed));
    }
    offset_ += static_cast<std::int64_t>(records.size());
    image_ = delta.apply({offset_ - 1, 1, 0});
    steps_.push_back({image_, std::make_shared<const metadata::MetadataDelta>(std::move(delta))});
  }

  void create_topic(std::int32_t partitions, const Ids& replicas, const std::map<std::string, std::string>& configs) {
    metadata::Records records;
    metadata::messages::TopicRecord topic;
    topic.name = kTopicName;
    topic.topic_id = kTopic;
    records.push_back({std::move(topic), 0});
    for (std::int32_t index = 0; index < partitions; ++index) {
      metadata::PartitionRegistration registration;
      registration.replicas = registration.isr = replicas;
      registration.directories.assign(replicas.size(), metadata::kUnassignedDirectory);
      registration.leader = replicas[static_cast<std::size_t>(index) % replicas.size()];
      records.push_back(metadata::partition_record(kTopic, index, registration, {}));
    }
    for (const auto& [name, value] : configs) {
      records.push_back(metadata::config_record({metadata::ConfigResourceType::topic, kTopicName}, name, value));
    }
    append(records);
  }
  // Another leader by an operator's hand.
  void elect(std::int32_t index, std::int32_t leader) {
    metadata::messages::PartitionChangeRecord change;
    change.topic_id = kTopic;
    change.partition_id = index;
    change.leader = leader;
    append({{std::move(change), 1}});
  }

  // The broker's epoch. It is fenced and out of every ISR but those where it is the last.
  std::int64_t join(std::int32_t id, const std::string& address, std::optional<std::string> rack) {
    protocol::BrokerRegistrationRequest request;
    request.broker_id = id;
    request.cluster_id = "cluster";
    request.incarnation_id = Uuid::random(random_);
    request.rack = std::move(rack);
    auto& listener = request.listeners.emplace_back();
    listener.name = "PLAINTEXT";
    listener.host = address;
    listener.port = kPort;
    for (const auto& [name, range] : metadata::supported_features()) {
      auto& feature = request.features.emplace_back();
      feature.name = name;
      feature.min_supported_version = range.min;
      feature.max_supported_version = range.max;
    }
    request.log_dirs = {Uuid{300, static_cast<std::uint64_t>(id)}};
    fence(id);  // its session has run out
    auto decision = controller::register_broker(compute(), request);
    REQUIRE(decision.response.error_code == 0);
    append(decision.records);
    return decision.response.broker_epoch;
  }
  void unfence(std::int32_t id) {
    protocol::BrokerHeartbeatRequest request;
    request.broker_id = id;
    request.broker_epoch = image_->cluster.broker(id)->epoch;
    request.current_metadata_offset = offset_ - 1;
    controller::HeartbeatDecision decision = controller::broker_heartbeat(compute(), request);
    REQUIRE(decision.response.error_code == 0);
    REQUIRE_FALSE(decision.response.is_fenced);
    append(decision.records);
  }
  void fence(std::int32_t id) {
    const metadata::BrokerRegistration* broker = image_->cluster.broker(id);
    if (broker == nullptr || broker->fenced) {
      sessions_.erase(id);
      return;
    }
    metadata::Records records;
    controller::fence_broker(compute(), id, records);
    append(records);
    sessions_.erase(id);
  }

  io::Task<Result<protocol::AlterPartitionResponse>> alter_partition(io::Shard& shard,
                                                                     protocol::AlterPartitionRequest request) {
    co_await shard.sleep(std::chrono::microseconds(random_.between(200, 20'000)));
    while (held_back) co_await shard.sleep(1ms);
    if (random_.unit() < lost_requests) co_return fail(Error(Errc::unavailable, "no controller", true));
    if (forget_epochs) {
      for (auto& topic : request.topics) {
        for (auto& partition : topic.partitions) {
          for (auto& member : partition.new_isr_with_epochs) member.broker_epoch = -1;
        }
      }
    }
    auto decision = controller::alter_partition(compute(), request, 3);
    append(decision.records);
    ++alterations;
    co_await shard.sleep(std::chrono::microseconds(random_.between(200, 20'000)));
    if (random_.unit() < lost_answers) co_return fail(Error(Errc::timed_out, "no answer", true));
    co_return std::move(decision.response);
  }

  bool held_back = false;      // requests wait on their way
  bool forget_epochs = false;  // a planted bug: nobody says which process of a broker is meant
  double lost_requests = 0;
  double lost_answers = 0;
  int alterations = 0;

 private:
  controller::Compute compute() { return {*image_, settings_, sessions_, random_, simulation_.now(), offset_}; }

  io::sim::Simulation& simulation_;
  Random random_;
  controller::Settings settings_;
  controller::Sessions sessions_;
  metadata::ImageRef image_ = metadata::MetadataImage::none();
  std::vector<Step> steps_;
  std::int64_t offset_ = 0;
};

}  // namespace klamm::handler::testing
