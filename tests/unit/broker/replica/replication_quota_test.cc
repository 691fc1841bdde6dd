#include "broker/replica/replication_quota.h"

#include <doctest/doctest.h>

#include "broker/metadata/delta.h"
#include "broker/metadata/image_writer.h"

namespace klamm::replica {
namespace {

constexpr Uuid kTopic{10, 1};

Instant at(Duration since_start) { return Instant{since_start}; }

// A topic of three partitions, led by brokers 1, 2 and 1; broker 2 is outside of the ISR of the last one.
metadata::ImageRef image_with(const std::map<std::string, std::string>& configs) {
  const metadata::ImageRef none = metadata::MetadataImage::none();
  metadata::MetadataDelta delta(none);
  metadata::messages::TopicRecord topic;
  topic.name = "t";
  topic.topic_id = kTopic;
  REQUIRE(delta.replay({std::move(topic), 0}).has_value());
  for (std::int32_t index = 0; index < 3; ++index) {
    metadata::PartitionRegistration registration;
    registration.replicas = {1, 2};
    registration.isr = index == 2 ? std::vector<std::int32_t>{1} : std::vector<std::int32_t>{1, 2};
    registration.directories.assign(2, metadata::kUnassignedDirectory);
    registration.leader = index == 1 ? 2 : 1;
    REQUIRE(delta.replay(metadata::partition_record(kTopic, index, registration, {})).has_value());
  }
  for (const auto& [name, value] : configs) {
    REQUIRE(delta.replay(metadata::config_record({metadata::ConfigResourceType::topic, "t"}, name, value)).has_value());
  }
  return delta.apply({10, 1, 0});
}

ThrottledReplicas throttled(const std::string& leaders, const std::string& followers, std::int32_t broker) {
  const metadata::ImageRef image = image_with(
      {{"leader.replication.throttled.replicas", leaders}, {"follower.replication.throttled.replicas", followers}});
  CHECK(has_throttled_replicas(*image, "t"));
  return throttled_replicas(*image, {"t", "gone"}, broker, 0, 1);
}

}  // namespace

TEST_CASE("what is copied beyond the rate is paid for by waiting") {
  ReplicationQuota quota;
  quota.record(1'000'000'000, at(0s));
  CHECK_FALSE(quota.exceeded(at(0s)));  // without a rate
  quota.set_rate(1000, at(10s));
  CHECK_FALSE(quota.exceeded(at(10s)));
  quota.record(3000, at(10s));
  CHECK(quota.free_at(at(10s)) == at(13s));
  CHECK(quota.exceeded(at(12999ms)));
  CHECK_FALSE(quota.exceeded(at(13s)));
}

TEST_CASE("what was not copied is kept for one second") {
  ReplicationQuota quota;
  quota.set_rate(1000, at(0s));
  quota.record(1000, at(100s));
  CHECK_FALSE(quota.exceeded(at(100s)));
  quota.record(1000, at(100s));
  CHECK(quota.free_at(at(100s)) == at(101s));
}

TEST_CASE("what is owed is paid for at the new rate") {
  ReplicationQuota quota;
  quota.set_rate(1000, at(0s));
  quota.record(10'000, at(0s));
  quota.set_rate(4000, at(2s));
  CHECK(quota.free_at(at(2s)) == at(4s));
  quota.set_rate(0, at(3s));
  CHECK(quota.free_at(at(3s)) == Instant::never());
  quota.set_rate(ReplicationQuota::kUnlimited, at(3s));
  CHECK_FALSE(quota.exceeded(at(3s)));
}

TEST_CASE("the lists name partitions with the broker that they are throttled on") {
  using Keys = std::set<ThrottledReplicas::Key>;
  const ThrottledReplicas one = throttled("0:1,1:1,2:2", "0:1, 1:1,2:2", 1);
  CHECK(one.as_leader == Keys{{kTopic, 0}});
  CHECK(one.as_follower == Keys{{kTopic, 1}});
  const ThrottledReplicas two = throttled("*", "*", 2);
  CHECK(two.as_leader == Keys{{kTopic, 1}});
  CHECK(two.as_follower == Keys{{kTopic, 0}, {kTopic, 2}});
  CHECK(two.received.all == 1);  // the one that is not in the ISR
  CHECK(two.received.here == 1);
  CHECK(two.sent.all == 0);
  CHECK_FALSE(has_throttled_replicas(*image_with({{"retention.ms", "1"}}), "t"));
}

TEST_CASE("shards have the part of the rate that they have of the copies") {
  using Copies = ThrottledReplicas::Copies;
  CHECK(Copies{1, 4}.share_of(1000) == 250);
  CHECK(Copies{4, 4}.share_of(1000) == 1000);
  CHECK(Copies{0, 4}.share_of(1000) == 250);
  CHECK(Copies{0, 0}.share_of(1000) == 1000);
  CHECK(Copies{1, 4}.share_of(2) == 1);
  CHECK(Copies{1, 4}.share_of(0) == 0);
  CHECK(Copies{1, 4}.share_of(ReplicationQuota::kUnlimited) == ReplicationQuota::kUnlimited);
}

}  // namespace klamm::replica
