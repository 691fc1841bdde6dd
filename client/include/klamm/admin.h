// klamm::Admin: looks at a cluster and changes it.
//
//   klamm::Admin admin(co_await asio::this_coro::executor, {{"bootstrap.servers", "localhost:9092"}});
//   auto created = co_await admin.async_create_topics({.topics = {{.name = "log", .partitions = 3}}});
//
// Each operation finds the broker that must be asked (controller, leader, a named one), repeats what may be repeated,
// and ends by its timeout. Belongs to one executor, as a Producer does (see klamm/producer.h); operations may run
// together.
#pragma once

#include <memory>

#include "klamm/admin_types.h"
#include "klamm/async.h"
#include "klamm/config.h"
#include "klamm/error.h"
#include "klamm/hooks.h"

namespace klamm {

class Admin {
 public:
  // Throws klamm::Exception (Errc::invalid_argument) for a bad setting. Does no I/O.
  Admin(Executor executor, const Config& config, AdminHooks hooks = {});
  static Result<Admin> create(Executor executor, const Config& config, AdminHooks hooks = {});
  Admin(Admin&&) noexcept;
  Admin& operator=(Admin&&) noexcept;
  ~Admin();

  // Names that exist already fail with TOPIC_ALREADY_EXISTS.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_create_topics(CreateTopics request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_delete_topics(DeleteTopics request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_list_topics(ListTopics request, Token&& token = Token()) {
    return run(request, std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_describe_topics(DescribeTopics request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_create_partitions(CreatePartitions request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  // Raises the log start offset (KIP-107).
  template <typename Token = asio::use_awaitable_t<>>
  auto async_delete_records(DeleteRecords request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_list_offsets(ListOffsets request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_describe_configs(DescribeConfigs request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  // Incremental: names that are not mentioned keep their values (KIP-339).
  template <typename Token = asio::use_awaitable_t<>>
  auto async_alter_configs(AlterConfigs request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_list_config_resources(ListConfigResources request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_describe_cluster(DescribeCluster request, Token&& token = Token()) {
    return run(request, std::forward<Token>(token));
  }
  // Asks every broker.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_describe_api_versions(DescribeApiVersions request, Token&& token = Token()) {
    return run(request, std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_describe_log_dirs(DescribeLogDirs request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_alter_replica_log_dirs(AlterReplicaLogDirs request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  // The KRaft quorum (KIP-595).
  template <typename Token = asio::use_awaitable_t<>>
  auto async_describe_quorum(DescribeQuorum request, Token&& token = Token()) {
    return run(request, std::forward<Token>(token));
  }
  // Adds a controller that follows the quorum as an observer; removes one. The active controller is found by any
  // broker or controller (KIP-853).
  template <typename Token = asio::use_awaitable_t<>>
  auto async_add_raft_voter(AddRaftVoter request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_remove_raft_voter(RemoveRaftVoter request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  // KIP-584.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_update_features(UpdateFeatures request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_unregister_broker(UnregisterBroker request, Token&& token = Token()) {
    return run(request, std::forward<Token>(token));
  }
  // Of each partition that was asked for what became of it: ELECTION_NOT_NEEDED where the leader is right already. For
  // all partitions, only of those where an election was held or failed.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_elect_leaders(ElectLeaders request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_list_reassignments(ListReassignments request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  // Starts and cancels; async_list_reassignments() tells how far they are.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_alter_reassignments(AlterReassignments request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  // KIP-664.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_describe_producers(DescribeProducers request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }
  // Asks every broker.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_list_transactions(ListTransactions request, Token&& token = Token()) {
    return run(std::move(request), std::forward<Token>(token));
  }

  // Closes the connections; operations that are under way fail with Errc::cancelled.
  void close();
  const Executor& executor() const noexcept { return executor_; }

 private:
  struct Impl;
  using ImplRef = std::shared_ptr<Impl>;
  Admin(Executor executor, ImplRef impl);

  template <typename Operation, typename Token>
  auto run(Operation operation, Token&& token) {
    using Outcome = typename Operation::Outcome;
    return detail::initiate<Outcome>(
        executor_, std::forward<Token>(token),
        [impl = impl_, operation = std::move(operation)](detail::Completion<Outcome> done) mutable {
          start(impl, std::move(operation), std::move(done));
        });
  }
  template <typename Operation>
  static void start(const ImplRef& impl, Operation operation, detail::Completion<typename Operation::Outcome> done);

  Executor executor_;
  ImplRef impl_;
};

}  // namespace klamm
