// The handlers, named by their API. Those with a Call serve the broker's listeners, those with a ControllerCall the
// controller's.
#pragma once

#include "base/bytes.h"
#include "broker/handler/call.h"
#include "io/task.h"

namespace klamm::handler {

// ---- The broker.
io::Task<Reply> produce(Call& call, Slice body);
io::Task<Reply> fetch(Call& call, Slice body);
io::Task<Reply> list_offsets(Call& call, Slice body);
io::Task<Reply> metadata(Call& call, Slice body);
io::Task<Reply> find_coordinator(Call& call, Slice body);
io::Task<Reply> api_versions(Call& call, Slice body);
io::Task<Reply> create_topics(Call& call, Slice body);
io::Task<Reply> delete_topics(Call& call, Slice body);
io::Task<Reply> delete_records(Call& call, Slice body);
io::Task<Reply> init_producer_id(Call& call, Slice body);
io::Task<Reply> offset_for_leader_epoch(Call& call, Slice body);
io::Task<Reply> write_txn_markers(Call& call, Slice body);
io::Task<Reply> describe_configs(Call& call, Slice body);
io::Task<Reply> alter_configs(Call& call, Slice body);
io::Task<Reply> alter_replica_log_dirs(Call& call, Slice body);
io::Task<Reply> describe_log_dirs(Call& call, Slice body);
io::Task<Reply> create_partitions(Call& call, Slice body);
io::Task<Reply> elect_leaders(Call& call, Slice body);
io::Task<Reply> incremental_alter_configs(Call& call, Slice body);
io::Task<Reply> alter_partition_reassignments(Call& call, Slice body);
io::Task<Reply> list_partition_reassignments(Call& call, Slice body);
io::Task<Reply> describe_quorum(Call& call, Slice body);
io::Task<Reply> update_features(Call& call, Slice body);
io::Task<Reply> describe_cluster(Call& call, Slice body);
io::Task<Reply> describe_producers(Call& call, Slice body);
io::Task<Reply> unregister_broker(Call& call, Slice body);
io::Task<Reply> describe_transactions(Call& call, Slice body);
io::Task<Reply> list_transactions(Call& call, Slice body);
io::Task<Reply> list_config_resources(Call& call, Slice body);
io::Task<Reply> describe_topic_partitions(Call& call, Slice body);
io::Task<Reply> add_raft_voter(Call& call, Slice body);
io::Task<Reply> remove_raft_voter(Call& call, Slice body);

// ---- The controller.
io::Task<Reply> api_versions(ControllerCall& call, Slice body);
io::Task<Reply> create_topics(ControllerCall& call, Slice body);
io::Task<Reply> delete_topics(ControllerCall& call, Slice body);
io::Task<Reply> describe_configs(ControllerCall& call, Slice body);
io::Task<Reply> alter_configs(ControllerCall& call, Slice body);
io::Task<Reply> create_partitions(ControllerCall& call, Slice body);
io::Task<Reply> elect_leaders(ControllerCall& call, Slice body);
io::Task<Reply> incremental_alter_configs(ControllerCall& call, Slice body);
io::Task<Reply> alter_partition_reassignments(ControllerCall& call, Slice body);
io::Task<Reply> list_partition_reassignments(ControllerCall& call, Slice body);
io::Task<Reply> describe_quorum(ControllerCall& call, Slice body);
io::Task<Reply> alter_partition(ControllerCall& call, Slice body);
io::Task<Reply> update_features(ControllerCall& call, Slice body);
io::Task<Reply> envelope(ControllerCall& call, Slice body);
io::Task<Reply> describe_cluster(ControllerCall& call, Slice body);
io::Task<Reply> broker_registration(ControllerCall& call, Slice body);
io::Task<Reply> broker_heartbeat(ControllerCall& call, Slice body);
io::Task<Reply> unregister_broker(ControllerCall& call, Slice body);
io::Task<Reply> allocate_producer_ids(ControllerCall& call, Slice body);
io::Task<Reply> controller_registration(ControllerCall& call, Slice body);
io::Task<Reply> assign_replicas_to_dirs(ControllerCall& call, Slice body);

}  // namespace klamm::handler
