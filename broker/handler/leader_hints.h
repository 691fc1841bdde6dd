// What an answer says of the leader when the client has asked the wrong broker (KIP-951): who it is, and where.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "broker/metadata/image.h"
#include "protocol/error.h"

namespace klamm::handler {

struct LeaderHint {
  std::int32_t leader = -1;
  std::int32_t leader_epoch = -1;
};

inline bool wants_leader_hint(const Error& error) {
  const protocol::ErrorCode code = protocol::code_of(error);
  return code == protocol::ErrorCode::not_leader_or_follower || code == protocol::ErrorCode::fenced_leader_epoch;
}

// As the image has it.
inline LeaderHint leader_of(const metadata::TopicImage& topic, std::int32_t partition) {
  const metadata::PartitionRegistration* registration = topic.partition(partition);
  return registration == nullptr ? LeaderHint() : LeaderHint{registration->leader, registration->leader_epoch};
}

// Where the broker takes connections on the listener that a client came by; null if it is not alive or has no such one.
inline const metadata::ListenerEndpoint* living_listener(const metadata::BrokerRegistration* broker,
                                                         std::string_view listener) {
  return broker == nullptr || broker->fenced ? nullptr : broker->listener(listener);
}

// Where the leader listens, once a response, if it is alive and has the listener that the client came by.
void add_leader_endpoint(auto& endpoints, const metadata::MetadataImage& image, std::string_view listener,
                         const LeaderHint& hint) {
  const auto same = [&hint](const auto& each) { return each.node_id == hint.leader; };
  if (hint.leader < 0 || std::any_of(endpoints.begin(), endpoints.end(), same)) return;
  const metadata::BrokerRegistration* broker = image.cluster.broker(hint.leader);
  const metadata::ListenerEndpoint* where = living_listener(broker, listener);
  if (where == nullptr) return;
  auto& endpoint = endpoints.emplace_back();
  endpoint.node_id = hint.leader;
  endpoint.host = where->host;
  endpoint.port = where->port;
  endpoint.rack = broker->rack;
}

}  // namespace klamm::handler
