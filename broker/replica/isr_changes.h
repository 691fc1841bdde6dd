// Takes the ISRs that the leaders of a shard want to the controller (AlterPartition, KIP-497): all that are wanted go
// in one request, and one request is out at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "base/log.h"
#include "base/result.h"
#include "base/uuid.h"
#include "broker/replica/leader_isr.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/messages/alter_partition_request.h"
#include "protocol/messages/alter_partition_response.h"

namespace klamm::replica {

// The way to the active controller, wherever it is. Fails if it cannot be reached in time.
using AskController =
    std::function<io::Task<Result<protocol::AlterPartitionResponse>>(protocol::AlterPartitionRequest request)>;

class IsrChanges {
 public:
  using Key = std::pair<Uuid, std::int32_t>;  // topic id and partition
  // The controller's word on a proposal. False if it is to be sent again.
  using OnAnswer = std::function<bool(const Key& key, std::uint64_t number, const IsrAnswer& answer)>;

  IsrChanges(io::Shard& shard, std::int32_t broker_id, std::function<std::int64_t()> broker_epoch, AskController ask,
             OnAnswer on_answer, Logger logger);

  // A later proposal of the same partition replaces one that is not out yet.
  void propose(const Key& key, const IsrProposal& proposal);
  // The partition is not this shard's any more, or not led here.
  void forget(const Key& key) { waiting_.erase(key); }
  std::size_t waiting() const noexcept { return waiting_.size(); }
  io::Task<void> close();

 private:
  using Proposals = std::map<Key, IsrProposal>;
  io::Task<void> work();
  protocol::AlterPartitionRequest request_of(const Proposals& proposals) const;
  bool take(const Result<protocol::AlterPartitionResponse>& response, const Proposals& sent);

  io::Shard& shard_;
  std::int32_t broker_id_;
  std::function<std::int64_t()> broker_epoch_;
  AskController ask_;
  OnAnswer on_answer_;
  Logger logger_;
  Proposals waiting_;
  bool working_ = false;
  io::Signal closing_;
  io::Gate background_;
};

}  // namespace klamm::replica
