// The handlers, one file each, named by their API.
#pragma once

#include "base/bytes.h"
#include "broker/handler/call.h"
#include "io/task.h"

namespace klamm::handler {

io::Task<Reply> produce(Call& call, Slice body);
io::Task<Reply> fetch(Call& call, Slice body);
io::Task<Reply> list_offsets(Call& call, Slice body);
io::Task<Reply> metadata(Call& call, Slice body);
io::Task<Reply> api_versions(Call& call, Slice body);
io::Task<Reply> create_topics(Call& call, Slice body);
io::Task<Reply> delete_topics(Call& call, Slice body);
io::Task<Reply> delete_records(Call& call, Slice body);
io::Task<Reply> init_producer_id(Call& call, Slice body);
io::Task<Reply> offset_for_leader_epoch(Call& call, Slice body);
io::Task<Reply> describe_configs(Call& call, Slice body);
io::Task<Reply> alter_configs(Call& call, Slice body);
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

}  // namespace klamm::handler
