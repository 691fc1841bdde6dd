// Partitions come and go with the metadata, on a disk that fills.
#include "broker/replica/replica_manager.h"

#include <doctest/doctest.h>

#include "broker/metadata/image_writer.h"
#include "broker/storage/log_dirs.h"
#include "io/sim/simulation.h"
#include "protocol/error.h"
#include "protocol/record/batch_builder.h"
#include "tests/unit/why.h"

namespace klamm::replica {
namespace {

constexpr Uuid kTopic{10, 1};

config::BrokerConfig broker_config() {
  Result<config::BrokerConfig> config =
      config::BrokerConfig::parse({{"node.id", "1"},
                                   {"process.roles", "broker,controller"},
                                   {"controller.listener.names", "CONTROLLER"},
                                   {"listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"},
                                   {"controller.quorum.voters", "1@localhost:9093"},
                                   {"log.dirs", "/data"}});
  REQUIRE_MESSAGE(config.has_value(), why_of(config));
  return *config;
}

Slice batch_of(std::string_view value) {
  compress::Codecs codecs;
  record::BatchBuilder builder{record::BatchOptions{}};
  builder.append(1'750'000'000'000, "key", value);
  Result<Slice> built = builder.build(codecs);
  REQUIRE(built.has_value());
  return *built;
}

// One shard of a node with one log directory.
class Lab {
 public:
  Lab() : node_(simulation_.add_node("n")), config_(broker_config()) {
    io::Shard& shard = node_.shard();
    REQUIRE(run(shard.files().make_directories("/data")).has_value());
    const storage::MetaProperties meta{"cluster", 1, Uuid::random(shard.random())};
    REQUIRE(run(storage::save_meta_properties(shard.files(), "/data", meta, 0)).has_value());
    storage::LogDirsOptions options;
    options.directories = {"/data"};
    options.node_id = 1;
    Result<std::unique_ptr<storage::LogDirs>> opened = run(storage::LogDirs::open(shard, options));
    REQUIRE(opened.has_value());
    dirs_ = std::move(*opened);
    logs_ = std::make_unique<storage::LogManager>(shard, *dirs_, storage::LogManagerOptions{});
    dirs_->start({logs_.get()});
    replicas_ = std::make_unique<ReplicaManager>(shard, 1, config_, *logs_, Logger());
  }
  ~Lab() {
    run(replicas_->close());
    simulation_.run(node_.shard(), logs_->close());
    static_cast<void>(run(dirs_->close(-1)));
  }

  template <typename T>
  T run(io::Task<T> task) {
    return simulation_.run(node_.shard(), std::move(task));
  }
  // The topic with one partition, led by this broker.
  void publish(std::int32_t leader_epoch) {
    metadata::MetadataDelta delta(image_);
    if (leader_epoch == 0) {
      metadata::messages::TopicRecord topic;
      topic.name = "t";
      topic.topic_id = kTopic;
      REQUIRE(delta.replay({std::move(topic), 0}).has_value());
    }
    metadata::PartitionRegistration registration;
    registration.replicas = registration.isr = {1};
    registration.directories = {metadata::kUnassignedDirectory};
    registration.leader = 1;
    registration.leader_epoch = registration.partition_epoch = leader_epoch;
    REQUIRE(delta.replay(metadata::partition_record(kTopic, 0, registration, metadata::MetadataVersion{})).has_value());
    const metadata::ImageRef previous = image_;
    image_ = delta.apply({leader_epoch + 1, 1, 0});
    run(replicas_->apply({image_, previous, std::make_shared<const metadata::MetadataDelta>(delta)}));
  }
  void fill_disk() { node_.disk().options().capacity_bytes = node_.disk().image().used_bytes(); }
  void make_room() { node_.disk().options().capacity_bytes = 1 << 30; }
  Result<Partition::Lease> lease() { return replicas_->lease(kTopic, 0); }
  bool served() { return lease().has_value(); }
  io::Shard& shard() { return node_.shard(); }
  io::sim::Simulation& simulation() { return simulation_; }

 private:
  io::sim::Simulation simulation_{1};
  io::sim::Node& node_;
  config::BrokerConfig config_;
  metadata::ImageRef image_ = metadata::MetadataImage::none();
  std::unique_ptr<storage::LogDirs> dirs_;
  std::unique_ptr<storage::LogManager> logs_;
  std::unique_ptr<ReplicaManager> replicas_;
};

}  // namespace

TEST_CASE("a partition whose log found no room on the disk is served as soon as there is some") {
  Lab lab;
  lab.fill_disk();
  lab.publish(0);
  Result<Partition::Lease> refused = lab.lease();
  REQUIRE_FALSE(refused.has_value());
  CHECK(protocol::code_of(refused.error()) == protocol::ErrorCode::kafka_storage_error);
  lab.simulation().run_for(10s);
  CHECK_FALSE(lab.served());
  lab.make_room();
  CHECK(lab.simulation().run_until([&] { return lab.served(); }, 10s));
  Result<Partition::Lease> lease = lab.lease();
  REQUIRE(lease.has_value());
  CHECK((*lease)->is_leader());
}

TEST_CASE("a manager that still tries to open a log closes at once") {
  Lab lab;
  lab.fill_disk();
  lab.publish(0);
  CHECK_FALSE(lab.served());
}

TEST_CASE("a new leader epoch shows what is in the log though the disk has no room to note it") {
  Lab lab;
  lab.publish(0);
  Result<Partition::Lease> lease = lab.lease();
  REQUIRE(lease.has_value());
  storage::Log& log = (*lease)->log();
  storage::LeaderAppend append;
  append.records = batch_of("value");
  REQUIRE(lab.run(log.append_as_leader(std::move(append))).has_value());  // stored, not yet committed
  CHECK(log.high_watermark() == 0);
  lab.fill_disk();
  lab.publish(1);
  CHECK(log.high_watermark() == 1);
  CHECK((*lease)->check_leader(1).has_value());
}

TEST_CASE("appends that run while a leader epoch begins are all of the old one or all of the new one") {
  Lab lab;
  lab.publish(0);
  Result<Partition::Lease> lease = lab.lease();
  REQUIRE(lease.has_value());
  storage::Log& log = (*lease)->log();
  constexpr int kAppends = 5;
  auto work = [&]() -> io::Task<int> {
    int appended = 0;
    int ended = 0;
    auto append = [&](std::int32_t epoch) -> io::Task<void> {
      storage::LeaderAppend one;
      one.records = batch_of("value");
      one.leader_epoch = epoch;
      const Result<storage::AppendInfo> info = co_await log.append_as_leader(std::move(one));
      appended += info.has_value() ? 1 : 0;
      if (!info) CHECK(protocol::code_of(info.error()) == protocol::ErrorCode::not_leader_or_follower);
      ++ended;
    };
    for (int index = 0; index < kAppends; ++index) io::spawn_detached(append(0));
    Result<void> begun = co_await log.begin_epoch(1);
    CHECK(begun.has_value());
    co_await append(0);  // of a leader that does not know yet
    while (ended < kAppends + 1) co_await lab.shard().sleep(1ms);
    co_return appended;
  };
  const int appended = lab.simulation().run(lab.shard(), work);
  CHECK(appended > 0);
  CHECK(log.log_end_offset() == appended);
  CHECK(log.end_offset_for_epoch(0).end_offset == appended);
}

}  // namespace klamm::replica
