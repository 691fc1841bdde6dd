#include "broker/replica/follower_session.h"

#include <limits>

namespace klamm::replica {

using protocol::ErrorCode;
using protocol::FetchRequest;

namespace {

void add(FetchRequest& request, const FollowerSession::Key& key, const FollowerSession::Asked& asked,
         std::int32_t partition_max_bytes) {
  if (request.topics.empty() || request.topics.back().topic_id != key.first) {
    request.topics.emplace_back().topic_id = key.first;
  }
  auto& partition = request.topics.back().partitions.emplace_back();
  partition.partition = key.second;
  partition.current_leader_epoch = asked.leader_epoch;
  partition.fetch_offset = asked.offset;
  partition.last_fetched_epoch = asked.last_fetched_epoch;
  partition.log_start_offset = asked.log_start_offset;
  partition.partition_max_bytes = partition_max_bytes;
}

}  // namespace

void FollowerSession::set(const Key& key, const Asked& asked) {
  wanted_.insert_or_assign(key, asked);
  changed_.insert(key);
}

void FollowerSession::remove(const Key& key) {
  if (wanted_.erase(key) > 0) changed_.insert(key);
}

FetchRequest FollowerSession::next(std::int32_t partition_max_bytes) {
  FetchRequest request;
  request.session_id = id_;
  request.session_epoch = epoch_;
  if (epoch_ == 0) {
    for (const auto& [key, asked] : wanted_) add(request, key, asked, partition_max_bytes);
    sent_ = wanted_;
    changed_.clear();
    return request;
  }
  for (const Key& key : changed_) {
    const auto wanted = wanted_.find(key);
    const auto known = sent_.find(key);
    if (wanted != wanted_.end()) {
      if (known != sent_.end() && known->second == wanted->second) continue;
      add(request, key, wanted->second, partition_max_bytes);
      sent_.insert_or_assign(key, wanted->second);
    } else if (known != sent_.end()) {
      if (request.forgotten_topics_data.empty() || request.forgotten_topics_data.back().topic_id != key.first) {
        request.forgotten_topics_data.emplace_back().topic_id = key.first;
      }
      request.forgotten_topics_data.back().partitions.push_back(key.second);
      sent_.erase(known);
    }
  }
  changed_.clear();
  return request;
}

std::optional<FollowerSession::Asked> FollowerSession::sent(const Key& key) const {
  const auto known = sent_.find(key);
  if (known == sent_.end() || !wanted_.contains(key)) return std::nullopt;
  return known->second;
}

bool FollowerSession::answered(ErrorCode error, std::int32_t session_id) {
  if (error != ErrorCode::none) {
    broken();
    if (error == ErrorCode::fetch_session_id_not_found) id_ = 0;
    return false;
  }
  if (session_id != id_) epoch_ = 0;
  id_ = session_id;
  if (id_ != 0) epoch_ = epoch_ == std::numeric_limits<std::int32_t>::max() ? 1 : epoch_ + 1;
  return true;
}

void FollowerSession::broken() {
  epoch_ = 0;
  sent_.clear();
}

}  // namespace klamm::replica
