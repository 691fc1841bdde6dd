// The admin client without its completion tokens. Lives on one shard; one overload of run() per operation of
// klamm/admin_types.h, grouped by subject into this folder's sources.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/core/cluster.h"
#include "client/core/config_settings.h"
#include "io/sync.h"
#include "klamm/admin_types.h"
#include "klamm/hooks.h"

namespace klamm::client {

class AdminCore : public std::enable_shared_from_this<AdminCore> {
 public:
  static std::shared_ptr<AdminCore> start(io::Shard& shard, AdminSettings settings, AdminHooks hooks);

  // Each keeps the core alive until it ends.
  io::Task<Result<CreateTopics::Outcome>> run(CreateTopics operation);
  io::Task<Result<DeleteTopics::Outcome>> run(DeleteTopics operation);
  io::Task<Result<ListTopics::Outcome>> run(ListTopics operation);
  io::Task<Result<DescribeTopics::Outcome>> run(DescribeTopics operation);
  io::Task<Result<CreatePartitions::Outcome>> run(CreatePartitions operation);
  io::Task<Result<DeleteRecords::Outcome>> run(DeleteRecords operation);
  io::Task<Result<ListOffsets::Outcome>> run(ListOffsets operation);
  io::Task<Result<DescribeConfigs::Outcome>> run(DescribeConfigs operation);
  io::Task<Result<AlterConfigs::Outcome>> run(AlterConfigs operation);
  io::Task<Result<ListConfigResources::Outcome>> run(ListConfigResources operation);
  io::Task<Result<DescribeCluster::Outcome>> run(DescribeCluster operation);
  io::Task<Result<DescribeApiVersions::Outcome>> run(DescribeApiVersions operation);
  io::Task<Result<DescribeLogDirs::Outcome>> run(DescribeLogDirs operation);
  io::Task<Result<DescribeQuorum::Outcome>> run(DescribeQuorum operation);
  io::Task<Result<UpdateFeatures::Outcome>> run(UpdateFeatures operation);
  io::Task<Result<UnregisterBroker::Outcome>> run(UnregisterBroker operation);
  io::Task<Result<ElectLeaders::Outcome>> run(ElectLeaders operation);
  io::Task<Result<ListReassignments::Outcome>> run(ListReassignments operation);
  io::Task<Result<AlterReassignments::Outcome>> run(AlterReassignments operation);
  io::Task<Result<DescribeProducers::Outcome>> run(DescribeProducers operation);
  io::Task<Result<ListTransactions::Outcome>> run(ListTransactions operation);

  // Fails what is under way with Errc::cancelled.
  void stop();
  io::Task<void> wait_finished();
  io::Shard& shard() noexcept { return shard_; }

 private:
  // Which node a request goes to.
  struct Route {
    enum class Kind { any, controller, broker } kind = Kind::any;
    BrokerNumber broker = -1;
  };
  static Route any_node() { return {}; }
  static Route controller() { return {Route::Kind::controller}; }
  static Route node(BrokerNumber broker) { return {Route::Kind::broker, broker}; }

  // The time that an operation has, and how it waits between attempts.
  class Patience {
   public:
    Patience(AdminCore& core, const AdminOptions& options);
    Instant deadline() const noexcept { return deadline_; }
    std::int32_t left_ms() const;
    // Waits before another attempt, with fresh metadata asked for; false if there is no time for one.
    io::Task<bool> again();

   private:
    AdminCore& core_;
    Instant deadline_;
    rpc::Backoff backoff_;
  };

  AdminCore(io::Shard& shard, AdminSettings settings, AdminHooks hooks);
  io::Task<Result<ConnectionRef>> connect(Route route, Instant deadline);
  // One request; transport faults are tried again on another connection while there is time.
  template <typename Request>
  io::Task<Result<typename Request::Response>> ask(Route route, Request request, Patience& patience,
                                                   rpc::VersionBounds bounds = {}) {
    for (;;) {
      Result<ConnectionRef> connection = co_await connect(route, patience.deadline());
      std::optional<Error> error;
      if (connection) {
        const Duration time = std::max(Duration(0), patience.deadline() - shard_.now());
        Result<typename Request::Response> response =
            co_await (*connection)->call(Request(request), bounds, std::min(time, cluster_.options().request_timeout));
        if (response) co_return response;
        error = response.error();
      } else {
        error = connection.error();
      }
      if (!error->retriable() || stopped_) co_return fail(std::move(*error));
      const bool more = co_await patience.again();
      if (!more) co_return fail(std::move(*error));
    }
  }
  // The broker ids of the cluster, asked anew.
  io::Task<Result<std::vector<BrokerNumber>>> broker_ids(Patience& patience);
  // The leader of each partition; what has none or does not exist gets an error in `failed`.
  using Leaders = std::map<BrokerNumber, std::vector<TopicPartition>>;
  io::Task<Result<Leaders>> leaders_of(std::vector<TopicPartition> partitions,
                                       std::map<TopicPartition, ErrorCode>& failed, Patience& patience);
  io::Task<Result<TopicDescription>> describe_topic(std::string name, bool authorized_operations, Patience& patience);
  io::Task<void> finish(std::shared_ptr<AdminCore> self);

  io::Shard& shard_;
  AdminSettings settings_;
  Logger log_;
  Cluster cluster_;
  bool stopped_ = false;
  bool is_finished_ = false;
  io::Signal finished_;
};

// The Kafka code and message of an item in a response, as an Error.
inline Error item_error(ErrorCode code, const std::string& what,
                        const std::optional<std::string>& message = std::nullopt) {
  return protocol::kafka_error(code, message && !message->empty() ? what + ": " + *message : what);
}

// Puts partitions into a request's list of topics, each with the list of its partitions; both ordered.
template <typename Topics, typename Name, typename Add>
void group_by_topic(Topics& topics, const std::vector<TopicPartition>& partitions, Name name, Add add) {
  std::vector<TopicPartition> ordered = partitions;
  std::sort(ordered.begin(), ordered.end());
  const std::string* last = nullptr;
  for (const TopicPartition& partition : ordered) {
    if (last == nullptr || *last != partition.topic) {
      name(topics.emplace_back()) = partition.topic;
      last = &partition.topic;
    }
    add(topics.back(), partition);
  }
}

}  // namespace klamm::client
