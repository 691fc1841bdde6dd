#include "client/consume/fetch_session.h"

#include "protocol/error.h"

namespace klamm::client {

using protocol::FetchRequest;
using protocol::FetchResponse;

namespace {

// The request's topic to put a partition into: the last one, or a new one. Partitions keep the order of their turn, so
// that a topic may come more than once.
FetchRequest::FetchTopic& topic_for(FetchRequest& request, const std::string& name, const Uuid& id, bool ids) {
  if (request.topics.empty() || (ids ? request.topics.back().topic_id != id : request.topics.back().topic != name)) {
    FetchRequest::FetchTopic& topic = request.topics.emplace_back();
    if (ids) {
      topic.topic_id = id;
    } else {
      topic.topic = name;
    }
  }
  return request.topics.back();
}

}  // namespace

FetchSession::Plan FetchSession::plan(const std::vector<Want>& wanted, bool topic_ids, FetchRequest& request) {
  if (topic_ids != with_ids_) reset();
  with_ids_ = topic_ids;
  const bool fresh = epoch_ == 0;
  request.session_id = fresh ? 0 : id_;
  request.session_epoch = epoch_;

  Plan plan;
  plan.topic_ids = topic_ids;
  std::map<TopicPartition, Known> next;
  for (const Want& want : wanted) {
    next[want.partition->partition] = {want.topic_id, want.fetch_offset, want.leader_epoch, want.max_bytes};
    plan.entries[want.partition->partition] = {want.partition, want.partition->generation, want.fetch_offset};
    if (topic_ids) plan.names[want.topic_id] = want.partition->partition.topic;
  }
  for (const Want& want : wanted) {
    const TopicPartition& partition = want.partition->partition;
    const Known& state = next.at(partition);
    const auto known = known_.find(partition);
    if (!fresh && known != known_.end() && known->second == state) continue;
    auto& asked = topic_for(request, partition.topic, state.topic_id, topic_ids).partitions.emplace_back();
    asked.partition = partition.partition;
    asked.current_leader_epoch = state.leader_epoch;
    asked.fetch_offset = state.fetch_offset;
    asked.partition_max_bytes = state.max_bytes;
  }
  if (!fresh) {
    for (const auto& [partition, state] : known_) {
      const auto still = next.find(partition);
      if (still != next.end() && still->second.topic_id == state.topic_id) continue;
      auto& forgotten = request.forgotten_topics_data.emplace_back();
      if (topic_ids) {
        forgotten.topic_id = state.topic_id;
      } else {
        forgotten.topic = partition.topic;
      }
      forgotten.partitions.push_back(partition.partition);
    }
  }
  known_ = std::move(next);
  return plan;
}

bool FetchSession::accept(const FetchResponse& response) {
  const auto code = protocol::error_code_from(response.error_code);
  if (code != protocol::ErrorCode::none) {
    reset();
    return false;
  }
  if (response.session_id == 0) {  // the broker keeps no session for us
    reset();
  } else if (epoch_ == 0) {
    id_ = response.session_id;
    epoch_ = 1;
  } else {
    epoch_ = epoch_ == 0x7fffffff ? 1 : epoch_ + 1;
  }
  return true;
}

void FetchSession::reset() noexcept {
  id_ = 0;
  epoch_ = 0;
  known_.clear();
}

}  // namespace klamm::client
