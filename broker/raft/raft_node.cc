#include "broker/raft/raft_node.h"

#include <fmt/format.h>

#include "broker/raft/control_records.h"
#include "protocol/error.h"

namespace klamm::raft {
namespace {

constexpr std::int64_t kReadBytes = 1 << 20;  // handed to a listener at once, about

RaftConfig core_config(io::Shard& shard, const RaftOptions& options) {
  RaftConfig config;
  config.self = {options.node_id, options.directory_id};
  config.endpoints = options.endpoints;
  config.election_timeout = options.election_timeout;
  config.max_batch_bytes = static_cast<std::size_t>(options.log.max_batch_bytes);
  config.seed = shard.random().next();
  return config;
}

}  // namespace

RaftOptions raft_options(const config::BrokerConfig& file, const Uuid& directory_id) {
  const ConfigValues& values = file.values();
  RaftOptions options;
  options.node_id = file.node_id();
  options.directory_id = directory_id;
  for (const config::Endpoint& endpoint : file.advertised_controller_listeners()) {
    options.endpoints.push_back({endpoint.listener, endpoint.host, endpoint.port});
  }
  const std::vector<std::string>& names = file.controller_listener_names();
  std::vector<Voter> voters;
  for (const config::Voter& voter : file.voters()) {
    const std::string listener = names.empty() ? std::string() : names.front();
    voters.push_back(Voter{{voter.id, {}}, {{listener, voter.address.host, voter.address.port}}});
  }
  options.static_voters = VoterSet(std::move(voters));
  options.election_timeout = milliseconds(values.get_int("controller.quorum.election.timeout.ms"));
  options.log.log_dir = file.metadata_log_dir();
  options.log.segment_bytes =
      values.find_int("internal.metadata.log.segment.bytes").value_or(values.get_int("metadata.log.segment.bytes"));
  options.log.segment_ms = values.get_long("metadata.log.segment.ms");
  options.log.max_retention_bytes = values.get_long("metadata.max.retention.bytes");
  options.log.max_retention_ms = values.get_long("metadata.max.retention.ms");
  options.log.max_batch_bytes = values.get_int("internal.metadata.max.batch.size.in.bytes");
  options.log.file_delete_delay_ms = values.get_long("internal.metadata.delete.delay.millis");
  return options;
}

RaftNode::RaftNode(io::Shard& shard, RaftOptions options, Logger logger)
    : shard_(shard),
      options_(std::move(options)),
      logger_(std::move(logger)),
      core_(core_config(shard, options_)),
      work_(shard),
      progress_(shard),
      tasks_(shard) {}

RaftNode::~RaftNode() = default;

void RaftNode::add_listener(RaftListener& listener) {
  auto follower = std::make_unique<Follower>();
  follower->listener = &listener;
  followers_.push_back(std::move(follower));
}

io::Task<Result<void>> RaftNode::start() {
  Result<LocalState> local = co_await load();
  Result<void> started;
  if (local) {
    started = core_.start(now(), std::move(*local));
  } else {
    started = fail(std::move(local).error());
  }
  if (!started) {
    if (log_) {
      Result<void> closed = co_await log_->close();
      static_cast<void>(closed);
      log_.reset();
    }
    co_return started;
  }
  tasks_.spawn(drive());
  for (const auto& follower : followers_) tasks_.spawn(follow(*follower));
  co_return Result<void>();
}

io::Task<Result<LocalState>> RaftNode::load() {
  LocalState local;
  Result<std::unique_ptr<MetadataLog>> log = co_await MetadataLog::open(shard_, options_.log);
  KLAMM_CO_TRY(log);
  log_ = std::move(*log);
  Result<std::optional<QuorumState>> state = co_await load_quorum_state(shard_.files(), log_->directory());
  KLAMM_CO_TRY(state);
  local.quorum_state = std::move(*state);
  local.log_end_offset = log_->end_offset();
  local.last_epoch = log_->last_epoch();
  Result<void> voters = co_await load_voters(local);
  KLAMM_CO_TRY(voters);
  co_return std::move(local);
}

// The voters are those of the newest Voters record in log and snapshots; where none is, those of the configuration.
io::Task<Result<void>> RaftNode::load_voters(LocalState& local) {
  local.voters = options_.static_voters;
  const std::optional<SnapshotId> snapshot = log_->latest_snapshot();
  const std::optional<SnapshotId> source = snapshot                         ? snapshot
                                           : log_->has_bootstrap_snapshot() ? std::optional(kBootstrapSnapshotId)
                                                                            : std::nullopt;
  if (source) {
    Result<SnapshotReader> reader = co_await log_->read_snapshot(*source);
    KLAMM_CO_TRY(reader);
    Result<std::optional<Batch>> header = reader->next();
    KLAMM_CO_TRY(header);
    const ControlFacts& facts = (*header)->control_facts;
    if (facts.kraft_version) local.kraft_version = *facts.kraft_version;
    if (facts.voters) {
      local.voters = *facts.voters;
      local.voters_from_bootstrap = *source == kBootstrapSnapshotId;
    }
  }
  voter_history_.push_back({-1, local.kraft_version, local.voters});
  Result<void> scanned =
      co_await scan_control_records(local, std::max(log_->start_offset(), snapshot ? snapshot->end_offset : 0));
  KLAMM_CO_TRY(scanned);
  if (local.voters.empty()) {
    co_return fail(Errc::invalid_argument,
                   fmt::format("{}: nobody votes in the metadata quorum: set controller.quorum.voters, or format the "
                               "directory with --standalone",
                               log_->directory()));
  }
  co_return Result<void>();
}

io::Task<Result<void>> RaftNode::scan_control_records(LocalState& local, std::int64_t from) {
  std::int64_t offset = from;
  while (offset < log_->end_offset()) {
    Result<std::vector<Slice>> batches = co_await log_->read(offset, kReadBytes);
    KLAMM_CO_TRY(batches);
    for (const Slice& bytes : *batches) {
      Result<record::BatchView> view = record::BatchView::parse(bytes);
      KLAMM_CO_TRY(view);
      offset = view->next_offset();
      if (!view->is_control()) continue;
      Result<ControlFacts> facts = read_control_batch(*view);
      KLAMM_CO_TRY(facts);
      if (!facts->kraft_version && !facts->voters) continue;
      if (facts->kraft_version) local.kraft_version = *facts->kraft_version;
      if (facts->voters) {
        local.voters = *facts->voters;
        local.voters_from_bootstrap = false;
      }
      voter_history_.push_back({view->base_offset(), local.kraft_version, local.voters});
    }
  }
  co_return Result<void>();
}

io::Task<void> RaftNode::stop() {
  if (!stopping_) {
    core_.resign(now(), core_.epoch());
    stopping_ = true;
    work_.notify_all();
    progress_.notify_all();
  }
  co_await tasks_.close();
  if (!log_) co_return;
  if (failure_) {
    co_await log_->abandon();
  } else {
    Result<void> closed = co_await log_->close();
    if (!closed) logger_.error("the metadata log was not closed well: {}", closed.error().message());
  }
}

QuorumInfo RaftNode::describe() const {
  QuorumInfo info;
  info.leader = core_.leader();
  info.high_watermark = core_.high_watermark();
  info.voter_set = core_.voters();
  info.kraft_version = core_.kraft_version();
  for (const auto& [id, voter] : core_.voters().by_id()) {
    QuorumInfo::Replica replica;
    replica.key = voter.key;
    replica.log_end_offset = id == options_.node_id ? log_end_offset() : core_.end_offset_of(id);
    if (id == options_.node_id) replica.last_fetch_ms = replica.last_caught_up_ms = shard_.wall_ms();
    info.voters.push_back(std::move(replica));
  }
  return info;
}

Error RaftNode::ended() const {
  if (failure_) return *failure_;
  return Error(Errc::shutting_down, "the metadata log is being closed");
}

Result<std::int64_t> RaftNode::enqueue(std::int32_t epoch, std::span<const Slice> values) {
  if (failure_ || stopping_) return fail(ended());
  Result<std::int64_t> last = core_.append(now(), epoch, values);
  if (last) work_.notify_all();
  return last;
}

io::Task<Result<void>> RaftNode::wait_committed(std::int32_t epoch, std::int64_t offset, Instant deadline) {
  while (true) {
    if (core_.is_leader() && core_.epoch() == epoch && core_.high_watermark() > offset) co_return Result<void>();
    if (failure_ || stopping_) co_return fail(ended());
    if (!core_.is_leader() || core_.epoch() != epoch) {
      co_return fail(protocol::kafka_error(
          protocol::ErrorCode::not_leader_or_follower,
          fmt::format("leadership of epoch {} ended before offset {} was committed", epoch, offset)));
    }
    const bool notified = co_await progress_.wait_until(deadline);
    if (!notified)
      co_return fail(Errc::timed_out, fmt::format("offset {} of the metadata log was not committed in time", offset));
  }
}

io::Task<Result<std::int64_t>> RaftNode::append(std::int32_t epoch, std::vector<Slice> values, Instant deadline) {
  Result<std::int64_t> last = enqueue(epoch, values);
  KLAMM_CO_TRY(last);
  Result<void> done = co_await wait_committed(epoch, *last, deadline);
  KLAMM_CO_TRY(done);
  co_return *last;
}

io::Task<bool> RaftNode::wait_high_watermark(std::int64_t offset, Instant deadline) {
  while (core_.high_watermark() <= offset) {
    if (failure_ || stopping_) co_return false;
    const bool notified = co_await progress_.wait_until(deadline);
    if (!notified) co_return false;
  }
  co_return true;
}

void RaftNode::resign(std::int32_t epoch) {
  core_.resign(now(), epoch);
  work_.notify_all();
}

// The one task that writes: takes the core's actions, carries them out in order, tells it the outcome.
io::Task<void> RaftNode::drive() {
  while (!failure_) {
    core_.tick(now());
    if (core_.has_actions()) {
      Result<void> done = co_await perform(core_.take_actions());
      if (!done) fail_node(std::move(done).error());
      continue;
    }
    if (stopping_) break;
    const bool notified = co_await work_.wait_until(core_.next_deadline());
    static_cast<void>(notified);
  }
}

io::Task<Result<void>> RaftNode::perform(std::vector<Action> actions) {
  // One flush serves all appends before it.
  std::size_t last_flush = actions.size();
  for (std::size_t index = 0; index < actions.size(); ++index) {
    if (std::holds_alternative<FlushLog>(actions[index])) last_flush = index;
  }
  for (std::size_t index = 0; index < actions.size(); ++index) {
    Action& action = actions[index];
    Result<void> done;
    if (auto* persist = std::get_if<PersistQuorumState>(&action)) {
      done = co_await save_quorum_state(shard_.files(), log_->directory(), std::move(persist->state));
    } else if (auto* append = std::get_if<AppendBatch>(&action)) {
      done = co_await perform_append(*append);
    } else if (std::holds_alternative<FlushLog>(action)) {
      if (index == last_flush) done = co_await perform_flush();
    } else if (auto* changed = std::get_if<LeaderChanged>(&action)) {
      if (!stopping_) {
        logger_.info("epoch {}: the metadata quorum is led by {}", changed->leader.epoch,
                     changed->leader.leader_id < 0 ? "nobody" : fmt::format("node {}", changed->leader.leader_id));
      }
      progress_.notify_all();
    } else if (auto* committed = std::get_if<Committed>(&action)) {
      log_->set_high_watermark(committed->high_watermark);
      progress_.notify_all();
    }
    KLAMM_CO_TRY(done);
  }
  co_return Result<void>();
}

io::Task<Result<void>> RaftNode::perform_append(AppendBatch& append) {
  Result<record::BatchView> view = record::BatchView::parse(append.batch);
  KLAMM_CO_TRY(view);
  const std::int32_t epoch = view->leader_epoch();
  if (view->is_control() && (voter_history_.back().voters != core_.voters())) {
    voter_history_.push_back({append.base_offset, core_.kraft_version(), core_.voters()});
  }
  Result<void> appended = co_await log_->append(std::move(append.batch), epoch, append.base_offset, append.last_offset);
  KLAMM_CO_TRY(appended);
  core_.written(append.last_offset + 1);
  co_return Result<void>();
}

io::Task<Result<void>> RaftNode::perform_flush() {
  const std::int64_t end = log_->end_offset();
  Result<void> flushed = co_await log_->flush();
  KLAMM_CO_TRY(flushed);
  core_.flushed(end);
  co_return Result<void>();
}

// Brings one listener to the high watermark, for ever.
io::Task<void> RaftNode::follow(Follower& follower) {
  while (!failure_ && !stopping_) {
    const std::int64_t seen = core_.high_watermark();
    Result<bool> moved = co_await advance(follower);
    if (!moved) {
      fail_node(std::move(moved).error());
      break;
    }
    tell_leader(follower);
    if (*moved || core_.high_watermark() != seen) continue;
    if (failure_ || stopping_) break;
    co_await progress_.wait();
  }
}

io::Task<Result<bool>> RaftNode::advance(Follower& follower) {
  const std::int64_t high_watermark = core_.high_watermark();
  if (follower.next_offset >= high_watermark) co_return false;
  const std::optional<SnapshotId> snapshot = log_->latest_snapshot();
  const bool behind = follower.next_offset < log_->start_offset();
  if (snapshot && (behind || (follower.next_offset == 0 && snapshot->end_offset <= high_watermark))) {
    Result<SnapshotReader> reader = co_await log_->read_snapshot(*snapshot);
    KLAMM_CO_TRY(reader);
    Result<void> loaded = co_await follower.listener->load_snapshot(std::move(*reader));
    KLAMM_CO_TRY(loaded);
    follower.next_offset = snapshot->end_offset;
    co_return true;
  }
  Result<std::vector<Slice>> stored = co_await log_->read(follower.next_offset, kReadBytes);
  KLAMM_CO_TRY(stored);
  std::vector<Batch> batches;
  for (Slice& bytes : *stored) {
    Result<Batch> batch = read_batch(std::move(bytes));
    KLAMM_CO_TRY(batch);
    if (batch->last_offset >= high_watermark) break;
    batches.push_back(std::move(*batch));
  }
  if (batches.empty()) co_return false;
  const std::int64_t next = batches.back().last_offset + 1;
  Result<void> taken = co_await follower.listener->committed(std::move(batches));
  KLAMM_CO_TRY(taken);
  follower.next_offset = next;
  co_return true;
}

void RaftNode::tell_leader(Follower& follower) {
  const LeaderAndEpoch leader = core_.leader();
  if (leader == follower.told) return;
  if (core_.is_leader() && follower.next_offset <= core_.epoch_start_offset()) return;
  follower.told = leader;
  follower.listener->leader_changed(leader);
}

void RaftNode::fail_node(Error error) {
  if (failure_) return;
  logger_.error("the metadata log failed: {}", error.message());
  failure_ = error;
  work_.notify_all();
  progress_.notify_all();
  if (options_.on_fatal) options_.on_fatal(*failure_);
}

const RaftNode::VotersAt& RaftNode::voters_below(std::int64_t offset) const {
  std::size_t index = voter_history_.size() - 1;
  while (index > 0 && voter_history_[index].offset >= offset) --index;
  return voter_history_[index];
}

io::Task<Result<void>> RaftNode::create_snapshot(SnapshotId id, TimestampMs last_contained_ms,
                                                 std::vector<Slice> values) {
  if (failure_ || stopping_) co_return fail(ended());
  if (id.end_offset > core_.high_watermark()) {
    co_return fail(Errc::invalid_argument,
                   fmt::format("a snapshot up to {}, but only {} is committed", id.end_offset, core_.high_watermark()));
  }
  if (snapshotting_) co_return Result<void>();
  const VotersAt& voters = voters_below(id.end_offset);
  SnapshotBuilder::Options options;
  options.epoch = id.epoch;
  options.now_ms = shard_.wall_ms();
  options.last_contained_ms = last_contained_ms;
  options.voters = voters.kraft_version >= 1 ? &voters.voters : nullptr;
  options.max_batch_bytes = static_cast<std::size_t>(options_.log.max_batch_bytes);
  SnapshotBuilder builder(options);
  builder.append(values);
  builder.finish();
  snapshotting_ = true;
  Result<void> stored = co_await log_->store_snapshot(id, builder.take());
  if (stored) stored = co_await log_->clean(shard_.wall_ms());
  snapshotting_ = false;
  co_return stored;
}

}  // namespace klamm::raft
