// The SDK for programs without an event loop: the same objects behind calls that wait. Each client runs on a thread of
// its own, or several share a Runtime. Nothing here throws: results are klamm::Result (its value() throws if you like).
//
// A blocking client is for one thread at a time, but for the functions that say otherwise; another client for another
// thread (they may share a Runtime).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "klamm/admin_types.h"
#include "klamm/config.h"
#include "klamm/error.h"
#include "klamm/hooks.h"
#include "klamm/record.h"
#include "klamm/records.h"
#include "klamm/statistics.h"

namespace klamm::blocking {

// A thread with an event loop, for clients to share. Must outlive them.
class Runtime {
 public:
  class Impl;
  Runtime();
  explicit Runtime(std::unique_ptr<Impl> impl);  // klamm's own
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  Impl& impl() noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

class Producer {
 public:
  // Hooks are called on the client's thread. Fails for a bad setting (Errc::invalid_argument).
  static Result<Producer> create(const Config& config, ProducerHooks hooks = {},
                                 std::shared_ptr<Runtime> runtime = nullptr);
  Producer(Producer&&) noexcept;
  Producer& operator=(Producer&&) noexcept;
  // Abandons what is not delivered, and says so in its log. Close before.
  ~Producer();

  // Called on the client's thread with the record's outcome.
  using Callback = std::function<void(const Result<RecordMetadata>&)>;

  // Copies the record and returns; waits only while buffer.memory is used up, or while the topic's partitions are
  // looked up, for at most max.block.ms. Fails if the record was not taken. Outcomes go to ProducerHooks::on_batch, and
  // to `callback`, which costs a call and an allocation a record.
  Result<void> send(const Record& record);
  Result<void> send(const Record& record, Callback callback);
  // Waits for the outcome.
  Result<RecordMetadata> send_and_wait(const Record& record);

  // Sends what is buffered and waits until each record has its outcome. Fails with the first delivery error since the
  // last flush, with the number of failed batches in the context.
  Result<void> flush();
  // Refuses further records, flushes for at most `deadline`, abandons the rest: Errc::timed_out. From then on all
  // fails.
  Result<void> close(Duration deadline);
  Result<std::vector<PartitionInfo>> partitions_for(const std::string& topic);
  // From any thread.
  ProducerStatistics statistics() const;

 private:
  class Impl;
  explicit Producer(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

class Consumer {
 public:
  static Result<Consumer> create(const Config& config, ConsumerHooks hooks = {},
                                 std::shared_ptr<Runtime> runtime = nullptr);
  Consumer(Consumer&&) noexcept;
  Consumer& operator=(Consumer&&) noexcept;
  ~Consumer();

  // As klamm::Consumer's functions of these names.
  Result<void> assign(std::vector<TopicPartition> partitions);
  std::vector<TopicPartition> assignment() const;
  Result<void> subscribe(const std::vector<std::string>& topics);  // Errc::unsupported for now
  Result<void> seek(const TopicPartition& partition, std::int64_t offset, std::int32_t leader_epoch = -1);
  Result<void> seek_to_beginning(std::span<const TopicPartition> partitions = {});
  Result<void> seek_to_end(std::span<const TopicPartition> partitions = {});
  Result<std::int64_t> position(const TopicPartition& partition);
  std::optional<std::int64_t> lag(const TopicPartition& partition) const;
  Result<void> pause(std::span<const TopicPartition> partitions);
  Result<void> resume(std::span<const TopicPartition> partitions);
  // The records may be used on the calling thread for as long as they are kept.
  Result<Records> poll(Duration timeout);
  // Makes what waits on another thread (poll(), position(), a question for offsets or partitions), or the next such
  // call, return at once with Errc::cancelled. From any thread, and from a signal watcher.
  void wake_up();
  Result<std::map<TopicPartition, std::int64_t>> beginning_offsets(const std::vector<TopicPartition>& partitions);
  Result<std::map<TopicPartition, std::int64_t>> end_offsets(const std::vector<TopicPartition>& partitions);
  Result<std::map<TopicPartition, std::optional<OffsetAndTimestamp>>> offsets_for_times(
      const std::map<TopicPartition, TimestampMs>& times);
  Result<std::vector<PartitionInfo>> partitions_for(const std::string& topic);
  Result<void> close();
  ConsumerStatistics statistics() const;  // from any thread

 private:
  class Impl;
  explicit Consumer(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

class Admin {
 public:
  static Result<Admin> create(const Config& config, AdminHooks hooks = {}, std::shared_ptr<Runtime> runtime = nullptr);
  Admin(Admin&&) noexcept;
  Admin& operator=(Admin&&) noexcept;
  ~Admin();

  // As klamm::Admin's async_ functions of these names. From any thread.
  Result<CreateTopics::Outcome> create_topics(CreateTopics request) { return run(std::move(request)); }
  Result<DeleteTopics::Outcome> delete_topics(DeleteTopics request) { return run(std::move(request)); }
  Result<ListTopics::Outcome> list_topics(ListTopics request) { return run(request); }
  Result<DescribeTopics::Outcome> describe_topics(DescribeTopics request) { return run(std::move(request)); }
  Result<CreatePartitions::Outcome> create_partitions(CreatePartitions request) { return run(std::move(request)); }
  Result<DeleteRecords::Outcome> delete_records(DeleteRecords request) { return run(std::move(request)); }
  Result<ListOffsets::Outcome> list_offsets(ListOffsets request) { return run(std::move(request)); }
  Result<DescribeConfigs::Outcome> describe_configs(DescribeConfigs request) { return run(std::move(request)); }
  Result<AlterConfigs::Outcome> alter_configs(AlterConfigs request) { return run(std::move(request)); }
  Result<ListConfigResources::Outcome> list_config_resources(ListConfigResources request) {
    return run(std::move(request));
  }
  Result<DescribeCluster::Outcome> describe_cluster(DescribeCluster request) { return run(request); }
  Result<DescribeApiVersions::Outcome> describe_api_versions(DescribeApiVersions request) { return run(request); }
  Result<DescribeLogDirs::Outcome> describe_log_dirs(DescribeLogDirs request) { return run(std::move(request)); }
  Result<AlterReplicaLogDirs::Outcome> alter_replica_log_dirs(AlterReplicaLogDirs request) {
    return run(std::move(request));
  }
  Result<DescribeQuorum::Outcome> describe_quorum(DescribeQuorum request) { return run(request); }
  Result<AddRaftVoter::Outcome> add_raft_voter(AddRaftVoter request) { return run(std::move(request)); }
  Result<RemoveRaftVoter::Outcome> remove_raft_voter(RemoveRaftVoter request) { return run(std::move(request)); }
  Result<UpdateFeatures::Outcome> update_features(UpdateFeatures request) { return run(std::move(request)); }
  Result<UnregisterBroker::Outcome> unregister_broker(UnregisterBroker request) { return run(request); }
  Result<ElectLeaders::Outcome> elect_leaders(ElectLeaders request) { return run(std::move(request)); }
  Result<ListReassignments::Outcome> list_reassignments(ListReassignments request) { return run(std::move(request)); }
  Result<AlterReassignments::Outcome> alter_reassignments(AlterReassignments request) {
    return run(std::move(request));
  }
  Result<DescribeProducers::Outcome> describe_producers(DescribeProducers request) { return run(std::move(request)); }
  Result<ListTransactions::Outcome> list_transactions(ListTransactions request) { return run(std::move(request)); }

 private:
  class Impl;
  explicit Admin(std::unique_ptr<Impl> impl) noexcept;
  template <typename Operation>
  Result<typename Operation::Outcome> run(Operation operation);
  std::unique_ptr<Impl> impl_;
};

}  // namespace klamm::blocking
