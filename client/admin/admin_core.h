// The admin client without its completion tokens. Lives on one shard; one overload of run() per operation of
// klamm/admin_types.h, grouped by subject into this folder's sources.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "client/core/cluster.h"
#include "client/core/config_settings.h"
#include "io/sync.h"
#include "klamm/admin_types.h"
#include "klamm/hooks.h"

namespace klamm::client {

// The Kafka code and message of an item in a response, as an Error.
inline Error item_error(ErrorCode code, const std::string& what,
                        const std::optional<std::string>& message = std::nullopt) {
  return protocol::kafka_error(code, message && !message->empty() ? what + ": " + *message : what);
}

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
  io::Task<Result<AlterReplicaLogDirs::Outcome>> run(AlterReplicaLogDirs operation);
  io::Task<Result<DescribeQuorum::Outcome>> run(DescribeQuorum operation);
  io::Task<Result<AddRaftVoter::Outcome>> run(AddRaftVoter operation);
  io::Task<Result<RemoveRaftVoter::Outcome>> run(RemoveRaftVoter operation);
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

  // The time that an operation has, and how it waits between attempts. What is asked of several nodes at once has a
  // copy for each of them.
  class Patience {
   public:
    // `what`: names the operation in errors.
    Patience(AdminCore& core, const AdminOptions& options, std::string_view what);
    Instant deadline() const noexcept { return deadline_; }
    std::int32_t left_ms() const;
    // Waits before another attempt, with fresh metadata asked for; false if there is no time for one.
    io::Task<bool> again();
    // What the operation fails with when there was no time for another attempt after `last`.
    Error out(const Error& last) const;

   private:
    AdminCore& core_;
    std::string_view what_;
    Duration timeout_;
    bool own_;  // the timeout is the operation's own
    Instant deadline_;
    rpc::Backoff backoff_;
  };

  AdminCore(io::Shard& shard, AdminSettings settings, AdminHooks hooks);
  io::Task<Result<ConnectionRef>> connect(Route route, Instant deadline);
  // Until an attempt does well or fails for good, while there is time.
  template <typename Attempt>
  std::invoke_result_t<Attempt&> keep_trying(Patience& patience, Attempt attempt) {
    for (;;) {
      auto done = co_await attempt();
      if (done || !done.error().retriable() || stopped_) co_return done;
      const bool more = co_await patience.again();
      if (!more) co_return fail(patience.out(done.error()));
    }
  }
  // connect(), tried again.
  io::Task<Result<ConnectionRef>> reach(Route route, Patience& patience);
  // One request, once.
  template <typename Request>
  io::Task<Result<typename Request::Response>> ask_once(Route route, Request request, Instant deadline,
                                                        rpc::VersionBounds bounds) {
    Result<ConnectionRef> connection = co_await connect(route, deadline);
    KLAMM_CO_TRY(connection);
    Result<typename Request::Response> response =
        co_await cluster_.call(std::move(*connection), std::move(request), bounds, deadline);
    co_return response;
  }
  // One request; transport faults are tried again on another connection while there is time.
  template <typename Request>
  io::Task<Result<typename Request::Response>> ask(Route route, Request request, Patience& patience,
                                                   rpc::VersionBounds bounds = {}) {
    const auto attempt = [&] { return ask_once(route, Request(request), patience.deadline(), bounds); };
    Result<typename Request::Response> response = co_await keep_trying(patience, attempt);
    co_return response;
  }
  // ask() for what only the active controller does. An answer that says of itself, by `error_of`, that the node asked
  // is not that one any more, or that says so of the quorum's leader, is asked again while there is time.
  template <typename Request, typename ErrorOf>
  io::Task<Result<typename Request::Response>> ask_controller(Request request, Patience& patience,
                                                              rpc::VersionBounds bounds, ErrorOf error_of) {
    for (;;) {
      const Route route = controller();
      Result<typename Request::Response> response = co_await ask(route, Request(request), patience, bounds);
      if (!response) co_return response;
      const ErrorCode code = protocol::error_code_from(error_of(*response));
      if (code != ErrorCode::not_controller && code != ErrorCode::not_leader_or_follower) co_return response;
      const bool more = co_await patience.again();
      if (!more) co_return response;
    }
  }
  // ask_controller() for a request whose response has one error for all of it; `what` says in that error what failed.
  // It is asked again where that may help: a voter that does not follow closely enough yet, ...
  template <typename Request>
  io::Task<Result<typename Request::Response>> have_controller_do(Request request, Patience& patience, std::string what,
                                                                  rpc::VersionBounds bounds = {}) {
    for (;;) {
      Result<typename Request::Response> response = co_await ask_controller(
          Request(request), patience, bounds, [](const auto& answer) { return answer.error_code; });
      KLAMM_CO_TRY(response);
      const ErrorCode code = protocol::error_code_from(response->error_code);
      if (code == ErrorCode::none) co_return response;
      std::optional<std::string> message;
      if constexpr (requires { response->error_message; }) message = response->error_message;
      if (protocol::retriable(code)) {
        const bool more = co_await patience.again();
        if (more) continue;
      }
      co_return fail(item_error(code, what, message));
    }
  }
  // The broker ids of the cluster, asked anew.
  io::Task<Result<std::vector<BrokerNumber>>> broker_ids(Patience& patience);
  // The leader of each partition; what has none or does not exist gets an error in `failed`.
  using Leaders = std::map<BrokerNumber, std::vector<TopicPartition>>;
  io::Task<Result<Leaders>> leaders_of(std::vector<TopicPartition> partitions,
                                       std::map<TopicPartition, ErrorCode>& failed, Patience& patience);
  // Metadata of its own for an operation, asked for again while there is time.
  io::Task<Result<protocol::MetadataResponse>> ask_metadata(protocol::MetadataRequest request, Patience& patience);
  // Asks the owners of config resources at once, and `others` for those of owner -1. Who does not answer leaves the
  // error with each of its resources; if nobody answers all fails. (In configs.cc.)
  using ResourcesByOwner = std::map<BrokerNumber, std::vector<ConfigResource>>;
  template <typename Outcome, typename RequestFor, typename Take>
  io::Task<Result<void>> ask_owners(const ResourcesByOwner& by_owner, Route others, Patience& patience,
                                    Outcome& outcome, RequestFor request_for, Take take);
  // Asks the leaders of `left` (or `broker` for all) at once, again while there is time where that may help. Each
  // partition gets into `outcome` what `value_of` makes of its answer, or the error, be it that its leader does not
  // answer. `common`: a request without its partitions; `add` puts one into it. (In records.cc, whose operations are
  // such.)
  template <typename Request, typename Outcome, typename Add, typename ValueOf>
  io::Task<Result<void>> ask_leaders(std::vector<TopicPartition> left, std::optional<BrokerNumber> broker,
                                     Request common, rpc::VersionBounds bounds, Patience& patience, Outcome& outcome,
                                     Add add, ValueOf value_of);
  io::Task<Result<TopicDescription>> describe_topic(std::string name, const DescribeTopics& operation,
                                                    Patience& patience);
  io::Task<void> finish(std::shared_ptr<AdminCore> self);

  io::Shard& shard_;
  AdminSettings settings_;
  Logger log_;
  Cluster cluster_;
  bool stopped_ = false;
  bool is_finished_ = false;
  io::Signal finished_;
};

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
