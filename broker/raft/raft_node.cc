#include "broker/raft/raft_node.h"

#include <fmt/format.h>

#include <utility>

#include "broker/raft/control_records.h"
#include "protocol/error.h"

namespace klamm::raft {
namespace {

constexpr std::int64_t kReadBytes = 1 << 20;  // handed to a listener at once, about
constexpr Duration kFarewellPatience = 1s;    // of a leader that stops, with those that it tells

RaftConfig core_config(io::Shard& shard, const RaftOptions& options) {
  RaftConfig config;
  config.self = {options.node_id, options.directory_id};
  config.endpoints = options.endpoints;
  config.listener = options.listener;
  config.bootstrap = options.bootstrap;
  config.election_timeout = options.election_timeout;
  config.election_backoff_max = options.election_backoff_max;
  config.fetch_timeout = options.fetch_timeout;
  config.retry_backoff = options.retry_backoff;
  config.fetch_max_bytes = options.fetch_max_bytes;
  config.fetch_snapshot_max_bytes = options.fetch_snapshot_max_bytes;
  config.may_vote = options.may_vote;
  config.auto_join = options.auto_join;
  config.max_batch_bytes = static_cast<std::size_t>(options.log.max_batch_bytes);
  config.seed = shard.random().next();
  return config;
}

rpc::ChannelOptions channel_options(const RaftOptions& options) {
  rpc::ChannelOptions channel;
  channel.connection.client_id = fmt::format("raft-client-{}", options.node_id);
  channel.connection.setup_timeout = options.request_timeout;
  channel.connection.request_timeout = options.request_timeout;
  channel.connection.tls = options.tls;
  channel.reconnect_backoff = options.retry_backoff;
  channel.reconnect_backoff_max = options.election_timeout;
  return channel;
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
  if (!names.empty()) options.listener = names.front();
  std::vector<Voter> voters;
  voters.reserve(file.voters().size());
  for (const config::Voter& voter : file.voters()) {
    voters.push_back(Voter{{voter.id, {}}, {{options.listener, voter.address.host, voter.address.port}}});
  }
  options.static_voters = VoterSet(std::move(voters));
  for (const config::HostPort& server : file.bootstrap_servers())
    options.bootstrap.push_back({options.listener, server.host, server.port});
  options.may_vote = file.is_controller();
  options.auto_join = values.get_bool("controller.quorum.auto.join.enable");
  options.election_timeout = milliseconds(values.get_int("controller.quorum.election.timeout.ms"));
  options.election_backoff_max = milliseconds(values.get_int("controller.quorum.election.backoff.max.ms"));
  options.fetch_timeout = milliseconds(values.get_int("controller.quorum.fetch.timeout.ms"));
  options.request_timeout = milliseconds(values.get_int("controller.quorum.request.timeout.ms"));
  options.retry_backoff = milliseconds(values.get_int("controller.quorum.retry.backoff.ms"));
  options.fetch_max_bytes = values.get_int("controller.quorum.fetch.max.bytes");
  options.fetch_snapshot_max_bytes = values.get_int("controller.quorum.fetch.snapshot.max.bytes");
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
      peers_(shard, channel_options(options_)),
      work_(shard),
      progress_(shard),
      replicate_(shard),
      persisted_(shard),
      tasks_(shard) {}

RaftNode::~RaftNode() = default;

void RaftNode::add_listener(RaftListener& listener) {
  auto follower = std::make_unique<Follower>();
  follower->listener = &listener;
  followers_.push_back(std::move(follower));
}

io::Task<Result<void>> RaftNode::start() {
  Result<LocalState> local = co_await load();
  if (!local) {
    if (log_) {
      Result<void> closed = co_await log_->close();
      static_cast<void>(closed);
      log_.reset();
    }
    co_return fail(std::move(local).error());
  }
  core_.start(now(), std::move(*local));
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
  local.log.start = log_->start_offset();
  local.log.end = log_->end_offset();
  local.log.epochs = log_->leader_epochs();
  local.log.snapshots = log_->snapshots();
  Result<void> voters = co_await load_voters(local);
  KLAMM_CO_TRY(voters);
  Result<void> fresh = co_await load_freshness(local);
  KLAMM_CO_TRY(fresh);
  co_return std::move(local);
}

// A voter of a static quorum that begins with nothing may have lost its disk. That it has not been caught up since is
// kept in a file of its own, as what it fetches meanwhile makes it look like any other.
io::Task<Result<void>> RaftNode::load_freshness(LocalState& local) {
  const std::string marker = io::join_path(log_->directory(), kFreshMarker);
  Result<io::FileInfo> there = co_await shard_.files().stat(marker);
  if (!there && !(there.error() == Errc::not_found)) co_return fail(std::move(there).error());
  local.fresh = there.has_value();
  const VotersAt& voters = local.voters.back();
  const bool begins = !local.quorum_state && local.log.end == 0 && voters.kraft_version == 0 &&
                      voters.voters.size() > 1 && voters.voters.find(options_.node_id) != nullptr;
  if (local.fresh || !begins) co_return Result<void>();
  local.fresh = true;
  Result<void> written = co_await io::write_file_atomically(shard_.files(), marker, Slice());
  co_return written;
}

// The voters are those of the newest Voters record in log and snapshots; where none is, those of the configuration.
io::Task<Result<void>> RaftNode::load_voters(LocalState& local) {
  VotersAt first{-1, 0, options_.static_voters, false};
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
    if (facts.kraft_version) first.kraft_version = *facts.kraft_version;
    if (facts.voters) {
      first.voters = *facts.voters;
      first.from_bootstrap = *source == kBootstrapSnapshotId;
    }
  }
  local.voters = {std::move(first)};
  Result<void> scanned =
      co_await scan_control_records(local, std::max(log_->start_offset(), snapshot ? snapshot->end_offset : 0));
  KLAMM_CO_TRY(scanned);
  if (local.voters.back().voters.empty() && !has_peers()) {
    co_return fail(Errc::invalid_argument,
                   fmt::format("{}: nobody votes in the metadata quorum: set controller.quorum.voters, or format the "
                               "directory with --standalone",
                               log_->directory()));
  }
  co_return Result<void>();
}

// Whether the configuration names anybody else to ask.
bool RaftNode::has_peers() const {
  for (const Endpoint& server : options_.bootstrap) {
    bool own = false;
    for (const Endpoint& endpoint : options_.endpoints)
      own = own || (endpoint.host == server.host && endpoint.port == server.port);
    if (!own) return true;
  }
  return false;
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
      VotersAt next = local.voters.back();
      next.offset = view->base_offset();
      next.from_bootstrap = false;
      if (facts->kraft_version) next.kraft_version = *facts->kraft_version;
      if (facts->voters) next.voters = *facts->voters;
      local.voters.push_back(std::move(next));
    }
  }
  co_return Result<void>();
}

io::Task<void> RaftNode::stop() {
  if (!stopping_) {
    core_.shut_down(now());
    stopping_ = true;
    work_.notify_all();
    progress_.notify_all();
    replicate_.notify_all();
    persisted_.notify_all();
    const Instant patience = shard_.now() + kFarewellPatience;
    while (log_ && !failure_ && (core_.has_actions() || farewells_ > 0)) {
      const bool notified = co_await progress_.wait_until(patience);
      if (!notified) break;
    }
  }
  co_await peers_.close();
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
  const auto entry_of = [](const ReplicaKey& key, const ReplicaProgress& progress) {
    return QuorumInfo::Replica{key, progress.end_offset, progress.last_fetch_ms, progress.last_caught_up_ms};
  };
  for (const auto& [id, voter] : core_.voters().by_id()) {
    if (id == options_.node_id) {
      const TimestampMs now_ms = shard_.wall_ms();
      info.voters.push_back({voter.key, log_end_offset(), now_ms, now_ms});
      continue;
    }
    const auto progress = core_.voter_progress().find(id);
    info.voters.push_back(progress == core_.voter_progress().end() ? QuorumInfo::Replica{voter.key}
                                                                   : entry_of(voter.key, progress->second));
  }
  for (const auto& [key, progress] : core_.observers()) info.observers.push_back(entry_of(key, progress));
  return info;
}

std::optional<io::Endpoint> RaftNode::leader_endpoint() const {
  const std::optional<Endpoint> address = core_.leader_address();
  if (!address) return std::nullopt;
  return io::Endpoint{address->host, address->port};
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
    // A leader that is voted out with it steps down at that moment.
    if (core_.is_committed(epoch, offset)) co_return Result<void>();
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
    // A newer one has taken its place meanwhile.
    if (!reader && log_->latest_snapshot() != snapshot) co_return true;
    KLAMM_CO_TRY(reader);
    Result<void> loaded = co_await follower.listener->load_snapshot(std::move(*reader));
    KLAMM_CO_TRY(loaded);
    follower.next_offset = snapshot->end_offset;
    co_return true;
  }
  Result<std::vector<Slice>> stored = co_await log_->read(follower.next_offset, kReadBytes);
  // A snapshot stands for it now.
  if (!stored && follower.next_offset < log_->start_offset()) co_return true;
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
  replicate_.notify_all();
  persisted_.notify_all();
  if (options_.on_fatal && !stopping_) options_.on_fatal(*failure_);
}

io::Task<Result<void>> RaftNode::create_snapshot(SnapshotId id, TimestampMs last_contained_ms,
                                                 std::vector<Slice> values) {
  if (failure_ || stopping_) co_return fail(ended());
  if (id.end_offset > core_.high_watermark()) {
    co_return fail(Errc::invalid_argument,
                   fmt::format("a snapshot up to {}, but only {} is committed", id.end_offset, core_.high_watermark()));
  }
  if (snapshotting_) co_return Result<void>();
  const VotersAt& voters = core_.voters_below(id.end_offset);
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
  core_.log_changed(log_->start_offset(), log_->snapshots());
  co_return stored;
}

}  // namespace klamm::raft
