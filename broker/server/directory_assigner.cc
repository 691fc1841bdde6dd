#include "broker/server/directory_assigner.h"

#include <algorithm>

#include "protocol/error.h"
#include "protocol/messages/assign_replicas_to_dirs_request.h"
#include "protocol/messages/assign_replicas_to_dirs_response.h"

namespace klamm::server {

namespace {

constexpr std::size_t kMostInRequest = 2250;  // as Kafka's broker
constexpr Duration kGather = 10ms;            // replicas of one topic come one after the other
constexpr Duration kRetry = 500ms;
constexpr Duration kPatience = 30s;

}  // namespace

DirectoryAssigner::DirectoryAssigner(io::Shard& shard, controller::ControllerChannel& controller,
                                     std::int32_t broker_id, std::function<std::int64_t()> broker_epoch, Logger logger)
    : shard_(shard),
      controller_(controller),
      broker_id_(broker_id),
      broker_epoch_(std::move(broker_epoch)),
      logger_(std::move(logger)),
      changed_(shard),
      background_(shard) {}

void DirectoryAssigner::report(io::Shard& from, const replica::Placement& placement) {
  // The frame of the call lives on the reporter's shard and ends there.
  io::spawn_detached([](DirectoryAssigner* self, io::Shard* here, replica::Placement what) -> io::Task<void> {
    const auto note = [self, what]() -> io::Task<void> {
      if (self->closing_) co_return;
      self->waiting_.insert_or_assign({what.topic_id, what.partition}, what.directory);
      self->changed_.notify_all();
    };
    co_await io::call(*here, self->shard_, note);
  }(this, &from, placement));
}

void DirectoryAssigner::start() { background_.spawn(work()); }

io::Task<void> DirectoryAssigner::close() {
  closing_ = true;
  changed_.notify_all();
  co_await background_.close();
}

io::Task<void> DirectoryAssigner::work() {
  while (!closing_) {
    if (waiting_.empty()) {
      co_await changed_.wait();
      continue;
    }
    co_await shard_.sleep(kGather);
    Result<void> sent = co_await send();
    if (sent) continue;
    if (closing_ || sent.error() == Errc::cancelled) break;
    logger_.warning("the directories of {} replicas: {}", waiting_.size(), sent.error().message());
    const Instant again = shard_.now() + kRetry;
    while (!closing_ && shard_.now() < again) co_await changed_.wait_until(again);
  }
}

io::Task<Result<void>> DirectoryAssigner::send() {
  std::map<Uuid, std::map<Uuid, std::vector<std::int32_t>>> by_directory;
  std::map<Key, Uuid> sent;
  for (const auto& [key, directory] : waiting_) {
    if (sent.size() == kMostInRequest) break;
    sent.emplace(key, directory);
    by_directory[directory][key.first].push_back(key.second);
  }
  protocol::AssignReplicasToDirsRequest request;
  request.broker_id = broker_id_;
  request.broker_epoch = broker_epoch_();
  for (const auto& [directory, topics] : by_directory) {
    auto& asked = request.directories.emplace_back();
    asked.id = directory;
    for (const auto& [topic_id, partitions] : topics) {
      auto& topic = asked.topics.emplace_back();
      topic.topic_id = topic_id;
      for (const std::int32_t partition : partitions) topic.partitions.emplace_back().partition_index = partition;
    }
  }
  Result<protocol::AssignReplicasToDirsResponse> response =
      co_await controller_.call(std::move(request), shard_.now() + kPatience);
  KLAMM_CO_TRY(response);
  if (response->error_code != 0) {
    co_return fail(protocol::kafka_error(protocol::error_code_from(response->error_code), "AssignReplicasToDirs"));
  }
  // A replica that is refused is gone, or comes again with the metadata that it lacks.
  for (const auto& [key, directory] : sent) {
    const auto at = waiting_.find(key);
    if (at != waiting_.end() && at->second == directory) waiting_.erase(at);
  }
  co_return Result<void>();
}

}  // namespace klamm::server
