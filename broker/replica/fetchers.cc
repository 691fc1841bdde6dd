#include <fmt/format.h>

#include "broker/replica/fetcher.h"

namespace klamm::replica {

Fetchers::Fetchers(io::Shard& shard, std::int32_t per_leader, FetcherOptions options, Logger logger)
    : shard_(shard),
      per_leader_(per_leader),
      options_(std::move(options)),
      logger_(std::move(logger)),
      background_(shard) {}

void Fetchers::follow(Partition& partition, std::int32_t leader, const io::Endpoint& endpoint) {
  const Fetcher::Key key{partition.topic_id(), partition.id().partition.value()};
  const auto number = static_cast<std::int32_t>((partition.topic_id().low + static_cast<std::uint64_t>(key.second)) %
                                                static_cast<std::uint64_t>(per_leader_));
  const Place place{leader, number};
  auto fetcher = fetchers_.find(place);
  if (fetcher == fetchers_.end()) {
    // Fetchers of other shards are others to the leader.
    std::string client_id =
        fmt::format("broker-{}-fetcher-{}", options_.broker_id,
                    shard_.index() * static_cast<unsigned>(per_leader_) + static_cast<unsigned>(number));
    fetcher =
        fetchers_.emplace(place, std::make_unique<Fetcher>(shard_, endpoint, std::move(client_id), options_, logger_))
            .first;
  }
  fetcher->second->retarget(endpoint);
  const auto known = by_partition_.find(key);
  if (known != by_partition_.end()) {
    if (known->second.place == place && known->second.leader_epoch == partition.state().leader_epoch) return;
    if (known->second.place != place) unfollow(key);
  }
  by_partition_[key] = {place, partition.state().leader_epoch};
  fetchers_.at(place)->follow(partition);
}

void Fetchers::unfollow(const Fetcher::Key& key) {
  const auto known = by_partition_.find(key);
  if (known == by_partition_.end()) return;
  const auto fetcher = fetchers_.find(known->second.place);
  by_partition_.erase(known);
  fetcher->second->unfollow(key);
  if (!fetcher->second->empty()) return;
  std::unique_ptr<Fetcher> idle = std::move(fetcher->second);
  fetchers_.erase(fetcher);
  background_.spawn(close_one(std::move(idle)));
}

io::Task<void> Fetchers::close_one(std::unique_ptr<Fetcher> fetcher) { co_await fetcher->close(); }

io::Task<void> Fetchers::close() {
  by_partition_.clear();
  while (!fetchers_.empty()) {
    const std::unique_ptr<Fetcher> fetcher = std::move(fetchers_.begin()->second);
    fetchers_.erase(fetchers_.begin());
    co_await fetcher->close();
  }
  co_await background_.close();
}

}  // namespace klamm::replica
