#include "broker/handler/fetch_session.h"

#include <limits>
#include <tuple>

#include "protocol/error.h"

namespace klamm::handler {

using protocol::ErrorCode;
using protocol::kafka_error;

void FetchSession::put(FetchPartition partition) {
  const Key key{partition.topic, partition.partition};
  const auto known = by_key_.find(key);
  if (known == by_key_.end()) {
    by_key_.emplace(key, order_.insert(order_.end(), std::move(partition)));
    return;
  }
  // Who asks in another leader epoch has perhaps dropped what was answered in the one before.
  if (partition.current_leader_epoch == known->second->current_leader_epoch) {
    partition.answered_high_watermark = known->second->answered_high_watermark;
    partition.answered_log_start = known->second->answered_log_start;
  }
  *known->second = std::move(partition);
}

void FetchSession::remove(const FetchTopic& topic, std::int32_t partition) {
  const auto known = by_key_.find({topic, partition});
  if (known == by_key_.end()) return;
  order_.erase(known->second);
  by_key_.erase(known);
}

Result<std::shared_ptr<FetchSession>> FetchSessionCache::find(std::int32_t id, std::int32_t epoch, bool by_topic_id,
                                                              Instant now) {
  const auto known = sessions_.find(id);
  if (known == sessions_.end()) return fail(kafka_error(ErrorCode::fetch_session_id_not_found));
  const std::shared_ptr<FetchSession>& session = known->second;
  // While a request of it is served, its partitions are in use: a client sends the next when it has the answer.
  if (session.use_count() > 1) return fail(kafka_error(ErrorCode::invalid_fetch_session_epoch));
  if (session->epoch != epoch) return fail(kafka_error(ErrorCode::invalid_fetch_session_epoch));
  if (session->by_topic_id != by_topic_id) return fail(kafka_error(ErrorCode::fetch_session_topic_id_error));
  session->epoch = epoch == std::numeric_limits<std::int32_t>::max() ? 1 : epoch + 1;  // 0 means a new session
  session->last_used = now;
  return session;
}

std::shared_ptr<FetchSession> FetchSessionCache::create(std::vector<FetchPartition> partitions, bool by_topic_id,
                                                        bool of_follower, Instant now) {
  if (partitions.empty() || !make_room(of_follower, now)) return nullptr;
  auto session = std::make_shared<FetchSession>();
  do {
    session->id = static_cast<std::int32_t>(random_.between(1, std::numeric_limits<std::int32_t>::max()));
  } while (sessions_.contains(session->id));
  session->epoch = 1;
  session->by_topic_id = by_topic_id;
  session->of_follower = of_follower;
  session->last_used = now;
  for (FetchPartition& partition : partitions) session->put(std::move(partition));
  sessions_.emplace(session->id, session);
  return session;
}

std::shared_ptr<FetchSession> FetchSessionCache::give_away(std::int32_t id) {
  const auto known = sessions_.find(id);
  if (known == sessions_.end() || known->second.use_count() > 1) return nullptr;
  std::shared_ptr<FetchSession> session = std::move(known->second);
  sessions_.erase(known);
  return session;
}

void FetchSessionCache::adopt(std::shared_ptr<FetchSession> session, Instant now) {
  if (make_room(session->of_follower, now)) sessions_.emplace(session->id, std::move(session));
}

bool FetchSessionCache::make_room(bool of_follower, Instant now) {
  if (sessions_.size() < slots_) return true;
  const auto rank = [](const FetchSession& session) {
    return std::make_tuple(session.of_follower, session.last_used, session.id);
  };
  auto oldest = sessions_.end();
  for (auto each = sessions_.begin(); each != sessions_.end(); ++each) {
    if (oldest == sessions_.end() || rank(*each->second) < rank(*oldest->second)) oldest = each;
  }
  if (oldest == sessions_.end()) return false;
  const bool gives_way = of_follower && !oldest->second->of_follower;
  if (!gives_way && (oldest->second->of_follower > of_follower || now - oldest->second->last_used < kEvictAfter)) {
    return false;
  }
  sessions_.erase(oldest);
  return true;
}

}  // namespace klamm::handler
