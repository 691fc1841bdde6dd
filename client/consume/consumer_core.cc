#include "client/consume/consumer_core.h"

#include <algorithm>

#include "client/core/settings.h"

namespace klamm::client {

namespace {

ClusterOptions consumer_cluster(const ConsumerSettings& settings) {
  ClusterOptions options = cluster_options(settings.common);
  options.allow_auto_create_topics = settings.allow_auto_create_topics;
  return options;
}

}  // namespace

ConsumerCore::ConsumerCore(io::Shard& shard, ConsumerSettings settings, ConsumerHooks hooks)
    : shard_(shard),
      settings_(std::move(settings)),
      hooks_(std::move(hooks)),
      log_(client_logger(hooks_.log_sink, hooks_.log_level, "consumer", settings_.common.client_id)),
      cluster_(shard, consumer_cluster(settings_), log_),
      backoff_(milliseconds(settings_.common.retry_backoff_ms), milliseconds(settings_.common.retry_backoff_max_ms)),
      wake_(shard),
      arrived_(shard),
      positions_(shard),
      finished_(shard),
      timer_(shard, [this] { wake(); }),
      statistics_timer_(shard,
                        [this] {
                          hooks_.on_statistics(statistics());
                          if (!stopped_) statistics_timer_.arm_in(hooks_.statistics_interval);
                        }),
      gate_(shard) {
  chunk_options_.check_crcs = settings_.check_crcs;
  chunk_options_.read_committed = settings_.isolation_level == IsolationLevel::read_committed;
}

ConsumerCore::~ConsumerCore() = default;

std::shared_ptr<ConsumerCore> ConsumerCore::start(io::Shard& shard, ConsumerSettings settings, ConsumerHooks hooks) {
  std::shared_ptr<ConsumerCore> core(new ConsumerCore(shard, std::move(settings), std::move(hooks)));
  for (const std::string& warning : core->settings_.warnings) core->log_.warning("{}", warning);
  return core;
}

// First use: the background tasks begin.
void ConsumerCore::begin() {
  if (std::exchange(started_, true) || stopped_) return;
  io::spawn_detached(turns(shared_from_this()));
  io::spawn_detached(follow_metadata(shared_from_this()));
  if (hooks_.on_statistics && hooks_.statistics_interval > 0ns) statistics_timer_.arm_in(hooks_.statistics_interval);
}

// ---- assignment and positions ----

Assigned* ConsumerCore::find(const TopicPartition& partition) const {
  const auto found = assigned_.find(partition);
  return found == assigned_.end() ? nullptr : found->second.get();
}

Result<Assigned*> ConsumerCore::must_find(const TopicPartition& partition) const {
  Assigned* found = find(partition);
  if (found == nullptr)
    return fail(Errc::invalid_argument, "partition " + partition.text() + " is not assigned to this consumer");
  return found;
}

Result<void> ConsumerCore::assign(const std::vector<TopicPartition>& partitions) {
  if (stopped_) return fail(Errc::shutting_down, "the consumer is closed");
  for (const TopicPartition& partition : partitions) {
    if (partition.topic.empty() || partition.partition < 0) {
      return fail(Errc::invalid_argument, "not a partition to assign: '" + partition.text() + "'");
    }
  }
  std::map<TopicPartition, AssignedRef> next;
  std::map<std::string, std::shared_ptr<const std::string>> topics;
  for (const TopicPartition& partition : partitions) {
    const auto kept = assigned_.find(partition);
    if (kept != assigned_.end()) {
      next.insert(*kept);
      continue;
    }
    std::shared_ptr<const std::string>& topic = topics[partition.topic];
    if (!topic) topic = std::make_shared<const std::string>(partition.topic);
    auto assigned = std::make_shared<Assigned>();
    assigned->partition = partition;
    assigned->topic = topic;
    need_offset(*assigned);
    next.emplace(partition, std::move(assigned));
  }
  for (auto& [partition, state] : assigned_) {
    if (next.contains(partition)) continue;
    state->revoked = true;
    ++state->generation;
    buffered_bytes_ -= state->buffered_bytes;
    state->buffered_bytes = 0;
    state->buffered.clear();
  }
  std::map<std::string, bool> wanted;
  for (const auto& [partition, state] : next) wanted[partition.topic] = true;
  for (const auto& [partition, state] : assigned_) {
    if (!wanted.contains(partition.topic)) cluster_.untrack(partition.topic);
  }
  assigned_ = std::move(next);
  turn_order_.clear();
  next_in_turn_ = 0;
  for (const auto& [partition, state] : assigned_) turn_order_.push_back(state);
  for (const auto& [topic, yes] : wanted) cluster_.track(topic);
  if (!assigned_.empty()) begin();
  wake();
  return {};
}

std::vector<TopicPartition> ConsumerCore::assignment() const {
  std::vector<TopicPartition> partitions;
  partitions.reserve(assigned_.size());
  for (const auto& [partition, state] : assigned_) partitions.push_back(partition);
  return partitions;
}

namespace {
void drop_buffer(Assigned& partition, std::uint64_t& total) {
  total -= partition.buffered_bytes;
  partition.buffered_bytes = 0;
  partition.buffered.clear();
}
}  // namespace

Result<void> ConsumerCore::seek(const TopicPartition& partition, std::int64_t offset, std::int32_t leader_epoch) {
  Result<Assigned*> found = must_find(partition);
  KLAMM_TRY(found);
  if (offset < 0)
    return fail(Errc::invalid_argument,
                "seek of " + partition.text() + " to negative offset " + std::to_string(offset));
  drop_buffer(**found, buffered_bytes_);
  (*found)->set_position(offset, leader_epoch);
  positions_.notify_all();
  wake();
  return {};
}

Result<void> ConsumerCore::seek_to(std::span<const TopicPartition> partitions, std::int64_t which) {
  std::vector<Assigned*> all;
  for (const TopicPartition& partition : partitions) {
    Result<Assigned*> found = must_find(partition);
    KLAMM_TRY(found);
    all.push_back(*found);
  }
  if (partitions.empty()) {
    for (const auto& [partition, state] : assigned_) all.push_back(state.get());
  }
  for (Assigned* partition : all) {
    drop_buffer(*partition, buffered_bytes_);
    partition->need_lookup(which);
  }
  wake();
  return {};
}

std::optional<std::int64_t> ConsumerCore::position(const TopicPartition& partition) const {
  const Assigned* found = find(partition);
  if (found == nullptr || !found->has_position) return std::nullopt;
  return found->position.offset;
}

std::int32_t ConsumerCore::position_epoch(const TopicPartition& partition) const {
  const Assigned* found = find(partition);
  return found == nullptr || !found->has_position ? -1 : found->position.leader_epoch;
}

std::optional<std::int64_t> ConsumerCore::lag(const TopicPartition& partition) const {
  const Assigned* found = find(partition);
  if (found == nullptr || !found->has_position || found->high_watermark < 0) return std::nullopt;
  const std::int64_t end = chunk_options_.read_committed && found->last_stable_offset >= 0 ? found->last_stable_offset
                                                                                           : found->high_watermark;
  return std::max<std::int64_t>(0, end - found->position.offset);
}

Result<void> ConsumerCore::pause(std::span<const TopicPartition> partitions, bool paused) {
  for (const TopicPartition& partition : partitions) {
    Result<Assigned*> found = must_find(partition);
    KLAMM_TRY(found);
    (*found)->paused = paused;
  }
  if (!paused) arrived_.notify_all();
  wake();
  return {};
}

std::vector<TopicPartition> ConsumerCore::paused() const {
  std::vector<TopicPartition> partitions;
  for (const auto& [partition, state] : assigned_) {
    if (state->paused) partitions.push_back(partition);
  }
  return partitions;
}

void ConsumerCore::fail_partition(Assigned& partition, Error error) {
  log_.warning("{}: {}", partition.partition.text(), error.message());
  partition.error = std::move(error).in(partition.partition.text());
  partition.error_told = false;
  arrived_.notify_all();
  positions_.notify_all();
}

void ConsumerCore::back_off(Assigned& partition) {
  partition.not_before = shard_.now() + backoff_.after(partition.failures++, shard_.random());
  look_again_at(partition.not_before);
}

void ConsumerCore::look_again_at(Instant when) {
  if (stopped_) return;
  if (!timer_.armed() || when < timer_.when()) timer_.arm_at(when);
}

// ---- the loop ----

void ConsumerCore::wake() {
  if (awake_) return;
  awake_ = true;
  wake_.notify_all();
}

io::Task<void> ConsumerCore::turns(std::shared_ptr<ConsumerCore> self) {
  const std::shared_ptr<ConsumerCore> alive = std::move(self);
  while (!stopped_) {
    if (!awake_) {
      co_await wake_.wait();
      continue;
    }
    awake_ = false;
    turn();
  }
}

io::Task<void> ConsumerCore::follow_metadata(std::shared_ptr<ConsumerCore> self) {
  const std::shared_ptr<ConsumerCore> alive = std::move(self);
  while (!stopped_) {
    co_await cluster_.changed().wait();
    wake();
    cluster_fault_.reset();
    if (const Error* fatal = cluster_.fatal_error()) {
      cluster_fault_ = *fatal;
      arrived_.notify_all();
      positions_.notify_all();
    }
  }
}

void ConsumerCore::follow_leader(Assigned& partition) {
  const TopicMetadata* topic = cluster_.find(partition.partition.topic);
  if (topic == nullptr) return;
  if (topic->error != ErrorCode::none && !protocol::retriable(topic->error)) {
    if (!partition.error) fail_partition(partition, protocol::kafka_error(topic->error));
    return;
  }
  const PartitionMetadata* metadata = cluster_.find(partition.partition.topic, partition.partition.partition);
  if (metadata == nullptr) return;
  if (metadata->leader != partition.leader) partition.preferred_replica = -1;
  if (topic->id != partition.topic_id) {
    // A topic that was made anew counts its epochs anew.
    if (!partition.topic_id.is_zero()) partition.fetch_epoch = partition.position.leader_epoch = -1;
    partition.topic_id = topic->id;
  }
  partition.leader = metadata->leader;
  partition.leader_epoch = metadata->leader_epoch;
}

// What must be known before the partition can be fetched, and by whom it is fetched.
void ConsumerCore::turn() {
  const Instant now = shard_.now();
  std::map<BrokerNumber, std::vector<AssignedRef>> lookups;
  std::map<BrokerNumber, std::vector<AssignedRef>> validations;
  for (const AssignedRef& partition : turn_order_) {
    follow_leader(*partition);
    if (partition->error || partition->leader < 0) continue;
    if (partition->not_before > now) {
      look_again_at(partition->not_before);
      continue;
    }
    if (partition->leader_is_old()) {
      cluster_.request_update();
      back_off(*partition);
      continue;
    }
    if (!partition->has_position) {
      if (!partition->lookup_running) lookups[partition->leader].push_back(partition);
      continue;
    }
    if (partition->fetch_epoch >= 0 && partition->leader_epoch > partition->fetch_epoch &&
        partition->validated_epoch < partition->leader_epoch) {
      if (!partition->validating) validations[partition->leader].push_back(partition);
      continue;
    }
    const BrokerNumber from = partition->preferred_replica >= 0 && partition->preferred_until > now
                                  ? partition->preferred_replica
                                  : partition->leader;
    if (fetchable(*partition, from, now)) fetcher_of(from).work.notify_all();
  }
  for (auto& [broker, partitions] : lookups) gate_.spawn(look_up(broker, std::move(partitions)));
  for (auto& [broker, partitions] : validations) gate_.spawn(validate(broker, std::move(partitions)));
}

// ---- poll ----

io::Task<Result<ConsumerCore::Block>> ConsumerCore::poll(Duration timeout, CancellationRef cancellation) {
  const std::shared_ptr<ConsumerCore> alive = shared_from_this();
  if (polling_) co_return fail(Errc::invalid_argument, "poll while another poll is running");
  if (assigned_.empty()) co_return fail(Errc::invalid_argument, "poll without an assignment");
  const Instant deadline = shard_.now() + timeout;
  polling_ = true;
  Result<Block> outcome = Block();
  for (bool in_time = true;;) {
    if (stopped_) {
      outcome = fail(Errc::cancelled, "the consumer was closed");
      break;
    }
    if (cancellation && cancellation->requested) {
      outcome = fail(Errc::cancelled, "poll");
      break;
    }
    Block block = collect();
    if (block) {
      outcome = std::move(block);
      break;
    }
    if (std::optional<Error> error = take_error()) {
      outcome = fail(std::move(*error));
      break;
    }
    if (!in_time) {
      outcome = std::make_shared<detail::RecordsBlock>();
      break;
    }
    if (cancellation) cancellation->wake = [this] { arrived_.notify_all(); };
    in_time = co_await arrived_.wait_until(deadline);
    if (cancellation) cancellation->wake = nullptr;
    // The request for what follows is on its way before these records are decoded.
    co_await shard_.others_first();
  }
  polling_ = false;
  co_return outcome;
}

std::optional<Error> ConsumerCore::take_error() {
  if (cluster_fault_) return std::exchange(cluster_fault_, std::nullopt);
  for (const AssignedRef& partition : turn_order_) {
    if (!partition->error || partition->error_told) continue;
    partition->error_told = true;
    return partition->error;
  }
  return std::nullopt;
}

// Null if no partition has records to give.
ConsumerCore::Block ConsumerCore::collect() {
  constexpr std::size_t kReserved = 4096;
  const auto most = static_cast<std::size_t>(settings_.max_poll_records);
  Block block;
  for (std::size_t looked = 0; looked < turn_order_.size(); ++looked) {
    Assigned& partition = *turn_order_[next_in_turn_ % turn_order_.size()];
    if (!partition.buffered.empty() && !partition.paused && !partition.error) {
      if (!block) {
        block = std::make_shared<detail::RecordsBlock>();
        block->records.reserve(std::min(most, kReserved));
      }
      collect_from(partition, *block, most - block->records.size());
      if (block->records.size() >= most) break;
    }
    next_in_turn_ = (next_in_turn_ + 1) % turn_order_.size();
  }
  if (!block || block->records.empty()) return nullptr;
  std::size_t begin = 0;
  for (Records::Run& run : block->runs) {  // the vector has its final place now
    run.records = std::span(block->records.data() + begin, run.records.size());
    begin += run.records.size();
  }
  records_ += block->records.size();
  for (const RecordView& record : block->records) record_bytes_ += record.key.size() + record.value.size();
  return block;
}

void ConsumerCore::collect_from(Assigned& partition, detail::RecordsBlock& block, std::size_t most) {
  const std::size_t before = block.records.size();
  while (!partition.buffered.empty() && block.records.size() - before < most) {
    ChunkReader& chunk = partition.buffered.front();
    Result<std::size_t> read = chunk.read(block, most - (block.records.size() - before), partition.position,
                                          *partition.topic, partition.partition.partition, codecs_);
    if (!read) {
      drop_buffer(partition, buffered_bytes_);
      fail_partition(partition, std::move(read).error());
      break;
    }
    if (!chunk.finished()) break;
    partition.buffered_bytes -= chunk.size_bytes();
    buffered_bytes_ -= chunk.size_bytes();
    partition.buffered.pop_front();
    wake();  // there is room to fetch more
  }
  const std::size_t given = block.records.size() - before;
  if (given == 0) return;
  block.topics.push_back(partition.topic);
  // The span's place is set when all are there; its size tells how many.
  block.runs.push_back({*partition.topic, partition.partition.partition,
                        std::span<const RecordView>(block.records.data(), given), partition.position.offset});
}

// ---- questions ----

io::Task<Result<FoundOffsets>> ConsumerCore::list_offsets(OffsetTimes times) {
  const std::shared_ptr<ConsumerCore> alive = shared_from_this();
  OffsetFinder finder(cluster_, {settings_.isolation_level, backoff_, settings_.common.request_timeout_ms,
                                 milliseconds(settings_.default_api_timeout_ms)});
  Result<FoundOffsets> found = co_await finder.find(std::move(times));
  co_return found;
}

io::Task<Result<std::vector<PartitionInfo>>> ConsumerCore::partitions_for(std::string topic) {
  const std::shared_ptr<ConsumerCore> alive = shared_from_this();
  if (stopped_) co_return fail(Errc::shutting_down, "the consumer is closed");
  Result<const TopicMetadata*> known =
      co_await cluster_.await_topic(topic, shard_.now() + milliseconds(settings_.default_api_timeout_ms));
  KLAMM_CO_TRY(known);
  co_return (*known)->partition_infos();
}

// ---- the end ----

io::Task<Result<void>> ConsumerCore::close() {
  const std::shared_ptr<ConsumerCore> alive = shared_from_this();
  if (!stopped_) stop();
  co_await wait_finished();
  co_return Result<void>();
}

void ConsumerCore::abandon() {
  if (stopped_) return;
  hooks_ = {};
  stop();
}

void ConsumerCore::stop() {
  stopped_ = true;
  timer_.cancel();
  statistics_timer_.cancel();
  for (auto& [partition, state] : assigned_) {
    state->revoked = true;
    state->buffered.clear();
    state->buffered_bytes = 0;
  }
  buffered_bytes_ = 0;
  cluster_.stop();
  for (auto& [id, fetcher] : fetchers_) fetcher->work.notify_all();
  wake_.notify_all();
  arrived_.notify_all();
  positions_.notify_all();
  io::spawn_detached(finish(shared_from_this()));
}

io::Task<void> ConsumerCore::finish(std::shared_ptr<ConsumerCore> self) {
  const std::shared_ptr<ConsumerCore> alive = std::move(self);
  co_await gate_.close();
  co_await cluster_.close();
  is_finished_ = true;
  finished_.notify_all();
}

io::Task<void> ConsumerCore::wait_finished() {
  const std::shared_ptr<ConsumerCore> alive = shared_from_this();
  while (!is_finished_) co_await finished_.wait();
}

ConsumerStatistics ConsumerCore::statistics() const {
  ConsumerStatistics statistics;
  statistics.client_id = settings_.common.client_id;
  statistics.time_ms = shard_.wall_ms();
  statistics.records = records_;
  statistics.record_bytes = record_bytes_;
  statistics.fetched_bytes = fetched_bytes_;
  statistics.fetches = fetches_;
  statistics.buffered_bytes = buffered_bytes_;
  for (const auto& [partition, state] : assigned_) {
    statistics.partitions.push_back({partition.topic, partition.partition, position(partition).value_or(-1),
                                     state->high_watermark, lag(partition).value_or(-1), state->buffered_bytes,
                                     state->paused});
  }
  statistics.brokers = cluster_.statistics();
  return statistics;
}

}  // namespace klamm::client
