#include "broker/handler/fetch_session.h"

#include <limits>

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
  partition.answered_high_watermark = known->second->answered_high_watermark;
  partition.answered_log_start = known->second->answered_log_start;
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
  if (session->epoch != epoch) return fail(kafka_error(ErrorCode::invalid_fetch_session_epoch));
  if (session->by_topic_id != by_topic_id) return fail(kafka_error(ErrorCode::fetch_session_topic_id_error));
  session->epoch = epoch == std::numeric_limits<std::int32_t>::max() ? 1 : epoch + 1;  // 0 means a new session
  session->last_used = now;
  return session;
}

std::shared_ptr<FetchSession> FetchSessionCache::create(std::vector<FetchPartition> partitions, bool by_topic_id,
                                                        Instant now) {
  if (partitions.empty() || !make_room(now)) return nullptr;
  auto session = std::make_shared<FetchSession>();
  do {
    session->id = static_cast<std::int32_t>(random_.between(1, std::numeric_limits<std::int32_t>::max()));
  } while (sessions_.contains(session->id));
  session->epoch = 1;
  session->by_topic_id = by_topic_id;
  session->last_used = now;
  for (FetchPartition& partition : partitions) session->put(std::move(partition));
  sessions_.emplace(session->id, session);
  return session;
}

bool FetchSessionCache::make_room(Instant now) {
  if (sessions_.size() < slots_) return true;
  auto oldest = sessions_.end();
  for (auto each = sessions_.begin(); each != sessions_.end(); ++each) {
    if (oldest == sessions_.end() || each->second->last_used < oldest->second->last_used ||
        (each->second->last_used == oldest->second->last_used && each->first < oldest->first)) {
      oldest = each;
    }
  }
  if (oldest == sessions_.end() || now - oldest->second->last_used < kEvictAfter) return false;
  sessions_.erase(oldest);
  return true;
}

}  // namespace klamm::handler
