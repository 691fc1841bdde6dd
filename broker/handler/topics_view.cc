#include "broker/handler/topics_view.h"

#include <algorithm>

namespace klamm::handler {

PartitionView view_partition(const metadata::MetadataImage& image, const metadata::PartitionRegistration& partition,
                             std::int32_t index, std::string_view listener) {
  PartitionView view;
  view.index = index;
  view.leader_epoch = partition.leader_epoch;
  view.replicas = partition.replicas;
  view.isr = partition.isr;
  view.elr = partition.elr;
  view.last_known_elr = partition.last_known_elr;
  for (const std::int32_t replica : partition.replicas) {
    const metadata::BrokerRegistration* broker = image.cluster.broker(replica);
    const bool online =
        broker != nullptr && !broker->fenced && broker->has_online_directory(partition.directory_of(replica));
    if (!online) view.offline.push_back(replica);
  }
  const metadata::BrokerRegistration* leader = image.cluster.broker(partition.leader);
  if (leader == nullptr || leader->fenced) {
    view.error = protocol::ErrorCode::leader_not_available;
  } else if (leader->listener(listener) == nullptr) {
    view.error = protocol::ErrorCode::listener_not_found;
  } else {
    view.leader = partition.leader;
  }
  return view;
}

bool is_internal_topic(std::string_view name) {
  return name == kGroupTopic || name == kTransactionTopic || name == kShareTopic;
}

}  // namespace klamm::handler
