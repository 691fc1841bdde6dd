// Brokers that replicate among themselves in one simulated process, each on a machine of its own. Machines crash and
// lose what they had not synced, connections break.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "fake_controller.h"
#include "protocol/record/batch_builder.h"
#include "protocol/rpc/channel.h"
#include "replication_broker.h"

namespace klamm::handler::testing {

// Machines 1 to n, each with a broker, and one for clients.
class Cluster {
 public:
  explicit Cluster(std::uint64_t seed, std::int32_t brokers = 3, SettingsMap settings = {},
                   io::sim::Options options = {}, Bugs bugs = {})
      : simulation_(seed, std::move(options)),
        controller_(simulation_),
        clients_(simulation_.add_node("clients")),
        settings_(std::move(settings)),
        bugs_(bugs) {
    for (std::int32_t id = 1; id <= brokers; ++id) {
      machines_[id] = &simulation_.add_node("b" + std::to_string(id));
      start(id);
    }
    REQUIRE(until([&] { return all_serve(); }));
  }
  ~Cluster() {
    for (const auto& life : lives_) life->end();
    const bool ended = simulation_.run_until(
        [&] { return std::all_of(lives_.begin(), lives_.end(), [](const auto& life) { return life->ended(); }); });
    CHECK(ended);
    // What was given up while it connected ends by itself, within the time for setting a connection up.
    simulation_.run_for(35s);
  }

  io::sim::Simulation& simulation() { return simulation_; }
  FakeController& controller() { return controller_; }
  io::sim::Node& machine(std::int32_t id) { return *machines_.at(id); }
  io::sim::Node& clients() { return clients_; }
  std::size_t size() const { return machines_.size(); }
  bool until(const std::function<bool()>& done, Duration limit = 300s) { return simulation_.run_until(done, limit); }

  // The broker's newest process.
  BrokerLife& broker(std::int32_t id) { return *current_.at(id); }
  void start(std::int32_t id) {
    SettingsMap settings = settings_;
    settings["broker.rack"] = "r" + std::to_string(id);
    lives_.push_back(std::make_unique<BrokerLife>(machine(id), controller_, id, settings));
    current_[id] = lives_.back().get();
    lives_.back()->bugs = bugs_;
    lives_.back()->start();
  }
  // Waits until all replicas are there.
  void create_topic(std::int32_t partitions, const Ids& replicas,
                    const std::map<std::string, std::string>& configs = {}) {
    controller_.create_topic(partitions, replicas, configs);
    REQUIRE(until([&] {
      for (std::int32_t index = 0; index < partitions; ++index) {
        for (const std::int32_t id : replicas) {
          if (end_of(id, index) < 0) return false;
        }
      }
      return true;
    }));
  }
  // Power loss; the controller notices.
  void crash(std::int32_t id, io::sim::Unsynced unsynced = io::sim::Unsynced::draw) {
    machine(id).crash({unsynced, io::sim::PeersSee::draw});
    broker(id).end();
    controller_.fence(id);
  }
  void restart(std::int32_t id) {
    machine(id).restart();
    start(id);
  }
  bool all_serve() {
    return std::all_of(current_.begin(), current_.end(), [](const auto& each) { return each.second->serving(); });
  }
  template <typename Function>
  auto on(std::int32_t id, Function function) {
    return simulation_.run(broker(id).shard(), function);
  }

  std::int64_t end_of(std::int32_t id, std::int32_t index = 0) {
    const auto lease = broker(id).lease(index);
    return lease ? (*lease)->log().log_end_offset() : -1;
  }
  std::int64_t mark_of(std::int32_t id, std::int32_t index = 0) {
    const auto lease = broker(id).lease(index);
    return lease ? (*lease)->log().high_watermark() : -1;
  }
  // All replicas are in the ISR and have the same, up to the last record; all of it is committed.
  bool settled(std::int32_t partitions = 1) {
    for (std::int32_t index = 0; index < partitions; ++index) {
      const metadata::PartitionRegistration& partition = controller_.partition(index);
      if (partition.isr.size() != partition.replicas.size() || partition.leader < 0) return false;
      const std::int64_t end = end_of(partition.leader, index);
      for (const std::int32_t id : partition.replicas) {
        if (end < 0 || end_of(id, index) != end || mark_of(id, index) != end) return false;
      }
    }
    return true;
  }
  // All bytes of the log, as a client that sees everything would get them.
  std::string content(std::int32_t id, std::int32_t index = 0) {
    auto read_all = [&]() -> io::Task<std::string> {
      std::string bytes;
      const auto lease = broker(id).lease(index);
      storage::Log& log = (*lease)->log();
      std::int64_t next = log.log_start_offset();
      while (next < log.log_end_offset()) {
        storage::ReadRequest request;
        request.offset = next;
        request.isolation = storage::FetchIsolation::log_end;
        Result<storage::FetchData> data = co_await log.read(request);
        REQUIRE_MESSAGE(data.has_value(), why_of(data));
        if (data->size_bytes == 0) break;
        const io::FileRegion region = std::get<io::FileRegion>(data->records.front());
        std::string part(region.size, '\0');
        Result<std::size_t> got = co_await broker(id).shard().files().read_region(
            region, std::as_writable_bytes(std::span(part.data(), part.size())));
        REQUIRE(got.has_value());
        record::BatchCursor cursor(Slice::copy(std::string_view(part.data(), *got)));
        while (cursor.next()) {
          next = storage::BatchSummary::parse(cursor.entry())->last_offset + 1;
          bytes += as_text(cursor.entry());
        }
      }
      co_return bytes;
    };
    return on(id, read_all);
  }

 private:
  io::sim::Simulation simulation_;
  FakeController controller_;
  io::sim::Node& clients_;
  SettingsMap settings_;
  Bugs bugs_;
  std::map<std::int32_t, io::sim::Node*> machines_;
  std::vector<std::unique_ptr<BrokerLife>> lives_;
  std::map<std::int32_t, BrokerLife*> current_;
};

// Channels of one client to all brokers.
class Client {
 public:
  explicit Client(Cluster& cluster) : cluster_(cluster), shard_(cluster.clients().shard()) {
    for (std::int32_t id = 1; id <= static_cast<std::int32_t>(cluster.size()); ++id) {
      rpc::ChannelOptions options;
      options.connection.client_id = "client";
      options.connection.request_timeout = 5s;
      channels_[id] =
          std::make_unique<rpc::Channel>(shard_, io::Endpoint{cluster.machine(id).address(), kPort}, options);
    }
  }
  ~Client() {
    cluster_.simulation().run(shard_, [this]() -> io::Task<void> {
      for (auto& [id, channel] : channels_) co_await channel->close();
    });
  }
  io::Shard& shard() { return shard_; }
  rpc::Channel& channel(std::int32_t id) { return *channels_.at(id); }

  static Slice batch_of(std::string_view value) {
    compress::Codecs codecs;
    record::BatchBuilder builder{record::BatchOptions{}};
    builder.append(1'750'000'000'000, "key", value);
    Result<Slice> built = builder.build(codecs);
    REQUIRE(built.has_value());
    return *built;
  }
  // To the leader that the controller knows. The offset, or why not.
  io::Task<Result<std::int64_t>> produce(std::int32_t index, std::string value, std::int16_t acks = -1,
                                         std::int32_t timeout_ms = 2000) {
    const std::int32_t leader = cluster_.controller().partition(index).leader;
    if (leader < 0) co_return fail(protocol::kafka_error(protocol::ErrorCode::leader_not_available));
    protocol::ProduceRequest request;
    request.acks = acks;
    request.timeout_ms = timeout_ms;
    auto& topic = request.topic_data.emplace_back();
    topic.topic_id = kTopic;
    auto& partition = topic.partition_data.emplace_back();
    partition.index = index;
    partition.records = wire::Records(batch_of(value));
    const rpc::VersionBounds by_topic_id{13, 13};
    Result<protocol::ProduceResponse> response =
        co_await channel(leader).call<protocol::ProduceRequest>(std::move(request), by_topic_id);
    KLAMM_CO_TRY(response);
    const auto& answer = response->responses.at(0).partition_responses.at(0);
    if (answer.error_code != 0) co_return fail(protocol::kafka_error(protocol::error_code_from(answer.error_code)));
    co_return answer.base_offset;
  }
  Result<std::int64_t> produce_now(std::string value, std::int16_t acks = -1, std::int32_t timeout_ms = 2000) {
    return cluster_.simulation().run(shard_, produce(0, std::move(value), acks, timeout_ms));
  }
  template <typename Request>
  typename Request::Response ask(std::int32_t id, Request request, rpc::VersionBounds bounds = {}) {
    Result<typename Request::Response> response =
        cluster_.simulation().run(shard_, channel(id).call<Request>(std::move(request), bounds));
    REQUIRE_MESSAGE(response.has_value(), why_of(response));
    return *response;
  }
  // Produces, which must succeed.
  void must_produce(std::string value = "value", std::int16_t acks = -1) {
    const Result<std::int64_t> produced = produce_now(std::move(value), acks);
    REQUIRE_MESSAGE(produced.has_value(), why_of(produced));
  }

 private:
  Cluster& cluster_;
  io::Shard& shard_;
  std::map<std::int32_t, std::unique_ptr<rpc::Channel>> channels_;
};

}  // namespace klamm::handler::testing
