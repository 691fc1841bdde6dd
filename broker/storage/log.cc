// Appending, rolling and flushing. Reading is in log_read.cc, deleting and truncating in log_change.cc, opening in
// log_loader.cc, producer snapshots in log_producers.cc.
#include "broker/storage/log.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/storage/disk_errors.h"
#include "protocol/error.h"

namespace klamm::storage {

namespace {

using protocol::ErrorCode;

tl::unexpected<Error> refuse(ErrorCode code, std::string why) {
  return klamm::fail(protocol::kafka_error(code, std::move(why)));
}

// Faults that pass, or that concern stored bytes rather than the disk: the log goes on.
bool is_passing(const Error& error) {
  if (error.code().category() == klamm_category()) {
    return error == Errc::corrupt || error == Errc::malformed || error == Errc::checksum_mismatch ||
           error == Errc::too_large || error == Errc::unsupported;
  }
  return is_shortage(error);
}

// Sums up what the batches say, for the reply.
void fill_info(AppendInfo& info, const std::vector<BatchSummary>& batches) {
  info.first_offset = batches.front().base_offset;
  info.last_offset = batches.back().last_offset;
  for (const BatchSummary& batch : batches) {
    info.max_timestamp = std::max(info.max_timestamp, batch.max_timestamp);
    info.record_count += batch.magic == record::kMagic ? batch.record_count : 1;
    info.size_bytes += batch.size;
  }
}

}  // namespace

Log::Log(io::Shard& shard, LogOptions options)
    : shard_(shard),
      options_(std::move(options)),
      logger_(options_.logger),
      producers_(options_.producers),
      renamed_(shard),
      last_flush_(shard.now()),
      cleaning_ended_(shard),
      changing_(shard),
      flushing_(shard),
      stopping_(shard),
      background_(shard) {
  KLAMM_CHECK(options_.codecs != nullptr, "a log needs its shard's codecs");
}

Log::~Log() = default;

std::int64_t Log::recovery_point() const noexcept {
  if (finished_.empty()) return flushed_offset_;
  return std::min(flushed_offset_, finished_.front()->base_offset());
}

std::int64_t Log::recovery_point_to_save() const noexcept {
  const std::int64_t point = recovery_point();
  const bool at_end = point == log_end_offset_ && point > active_->base_offset();
  return at_end && !closed_ ? point - 1 : point;
}

std::int64_t Log::last_stable_offset() const noexcept {
  const std::optional<std::int64_t> unstable = producers_.first_unstable_offset();
  if (!unstable || *unstable >= high_watermark_) return high_watermark_;
  return std::max(*unstable, log_start_offset_);
}

std::int64_t Log::size_bytes() const noexcept {
  std::int64_t total = 0;
  for (const auto& item : segments_) total += item.second->size_bytes();
  return total;
}

std::vector<SegmentInfo> Log::segments() const {
  std::vector<SegmentInfo> list;
  list.reserve(segments_.size());
  for (const auto& [base_offset, segment] : segments_) list.push_back({base_offset, segment->size_bytes()});
  return list;
}

std::int64_t Log::set_high_watermark(std::int64_t offset) {
  high_watermark_ = std::clamp(offset, log_start_offset_, log_end_offset_);
  producers_.high_watermark_moved(high_watermark_);
  return high_watermark_;
}

EpochEnd Log::end_offset_for_epoch(std::int32_t epoch) const { return epochs_.end_of(epoch, log_end_offset_); }

Result<void> Log::check_usable() const {
  if (closed_) return refuse(ErrorCode::kafka_storage_error, fmt::format("log {} is closed", options_.partition));
  if (failed_) return refuse(ErrorCode::kafka_storage_error, fmt::format("log {} is offline", options_.partition));
  return {};
}

Log::SegmentRef Log::make_segment(std::int64_t base_offset) const {
  return std::make_shared<Segment>(shard_.files(), options_.directory, base_offset, std::string_view(),
                                   options_.open_files);
}

Error Log::storage_error(Error error, std::string_view doing) {
  if (!is_passing(error)) failed_ = true;
  std::optional<std::string> note = std::string();
  if (options_.error_lines) note = options_.error_lines->admit(shard_.now());
  if (note) logger_.error("{}: {} failed: {}{}", options_.partition, doing, error.message(), *note);
  if (failed_ && !closed_ && options_.on_storage_failure) options_.on_storage_failure(error);
  return protocol::kafka_error(ErrorCode::kafka_storage_error, fmt::format("{}: {}", doing, error.message()));
}

std::int64_t Log::draw_jitter() {
  const std::int64_t most = std::min(options_.config.segment_jitter_ms, options_.config.segment_ms);
  return most <= 0 ? 0 : static_cast<std::int64_t>(shard_.random().below(static_cast<std::uint64_t>(most)));
}

// ---- Leader

Result<Log::PendingAppend> Log::prepare_leader(LeaderAppend& append) {
  PendingAppend pending;
  pending.origin = append.origin;
  pending.transaction_version = append.transaction_version;
  if (append.origin == AppendOrigin::client) {
    const ValidateContext context{options_.config, *options_.codecs, shard_.wall_ms(), append.produce_version};
    Result<ValidatedBatch> validated = validate_client_batch(std::move(append.records), context, append.record_errors);
    KLAMM_TRY(validated);
    pending.records = std::move(validated->records);
    pending.batches.push_back(validated->summary);
    pending.info.log_append_time_ms = validated->log_append_time_ms;
    return pending;
  }
  record::BatchCursor cursor(append.records);
  while (cursor.next()) {
    const std::optional<BatchSummary> summary = BatchSummary::parse(cursor.entry());
    if (!summary || summary->magic != record::kMagic)
      return refuse(ErrorCode::invalid_record, "not a batch of magic 2");
    pending.batches.push_back(*summary);
  }
  if (cursor.tail() != record::EntryStatus::whole || pending.batches.empty()) {
    return refuse(ErrorCode::corrupt_message, "records are not whole batches");
  }
  pending.records = std::move(append.records);
  return pending;
}

io::Task<Result<AppendInfo>> Log::append_as_leader(LeaderAppend append) {
  Result<void> usable = check_usable();
  KLAMM_CO_TRY(usable);
  Result<PendingAppend> pending = prepare_leader(append);
  KLAMM_CO_TRY(pending);
  co_await changing_.lock();
  Result<AppendInfo> info = co_await append_as_leader_locked(*pending, append.leader_epoch);
  changing_.unlock();
  co_return info;
}

io::Task<Result<AppendInfo>> Log::append_as_leader_locked(PendingAppend& pending, std::int32_t leader_epoch) {
  Result<void> known = co_await know_producers(pending);
  KLAMM_CO_TRY(known);
  if (pending.origin == AppendOrigin::client && pending.batches.front().has_producer()) {
    if (const auto duplicate = producers_.find_duplicate(pending.batches.front())) {
      AppendInfo& info = pending.info;
      info.first_offset = duplicate->first_offset();
      info.last_offset = duplicate->last_offset;
      info.log_append_time_ms = duplicate->timestamp;
      info.log_start_offset = log_start_offset_;
      info.leader_epoch = leader_epoch;
      info.duplicate = true;
      // The first copy may not be on the disk yet.
      info.wait_flushed = options_.config.flush_messages == 1 && flushed_offset_ <= info.last_offset;
      co_return info;
    }
  }
  if (epochs_.latest().value_or(-1) > leader_epoch) {  // begun while this append waited for its turn
    co_return refuse(ErrorCode::not_leader_or_follower, fmt::format("epoch {} has ended", leader_epoch));
  }
  std::int64_t next_offset = log_end_offset_;
  std::size_t position = 0;
  for (BatchSummary& batch : pending.batches) {
    const MutableBytes bytes(pending.records.mutable_data() + position, static_cast<std::size_t>(batch.size));
    record::patch_base_offset(bytes, next_offset);
    record::patch_leader_epoch(bytes, leader_epoch);
    batch.last_offset = next_offset + batch.offset_delta();
    batch.base_offset = next_offset;
    batch.leader_epoch = leader_epoch;
    next_offset = batch.last_offset + 1;
    position += bytes.size();
  }
  Result<AppendInfo> info = co_await write(pending);
  co_return info;
}

// ---- Follower

Result<Log::PendingAppend> Log::prepare_follower(Slice records, std::int32_t leader_epoch) {
  PendingAppend pending;
  pending.origin = AppendOrigin::replication;
  record::BatchCursor cursor(records);
  std::size_t accepted = 0;
  std::int64_t last_offset = -1;
  while (cursor.next()) {
    if (Result<void> good = check_entry(cursor.entry()); !good) {
      return refuse(ErrorCode::corrupt_message, good.error().context());
    }
    const std::optional<BatchSummary> batch = BatchSummary::parse(cursor.entry());
    if (!batch) return refuse(ErrorCode::corrupt_message, "not a record batch");
    // Written by a leader that this replica does not know of yet: it will be fetched again in that epoch.
    if (batch->leader_epoch > leader_epoch) break;
    // More than a segment can hold: what is left out is fetched again, into the next one.
    if (!pending.batches.empty() && !Segment::fits(pending.batches.front().base_offset, batch->last_offset)) break;
    if (batch->last_offset <= last_offset || (batch->magic == record::kMagic && batch->base_offset <= last_offset)) {
      return refuse(ErrorCode::corrupt_message, fmt::format("offset {} after {}", batch->base_offset, last_offset));
    }
    last_offset = batch->last_offset;
    pending.batches.push_back(*batch);
    accepted = cursor.position() + cursor.entry().size();
  }
  if (pending.batches.empty() && cursor.tail() == record::EntryStatus::malformed) {
    return refuse(ErrorCode::corrupt_message, "not a record batch");
  }
  pending.records = records.part(0, accepted);
  return pending;
}

io::Task<Result<AppendInfo>> Log::append_as_follower(Slice records, std::int32_t leader_epoch) {
  Result<void> usable = check_usable();
  KLAMM_CO_TRY(usable);
  Result<PendingAppend> pending = prepare_follower(std::move(records), leader_epoch);
  KLAMM_CO_TRY(pending);
  co_await changing_.lock();
  Result<AppendInfo> info = co_await append_as_follower_locked(*pending);
  changing_.unlock();
  co_return info;
}

io::Task<Result<AppendInfo>> Log::append_as_follower_locked(PendingAppend& pending) {
  if (pending.batches.empty()) {
    pending.info.log_start_offset = log_start_offset_;
    co_return pending.info;
  }
  if (pending.batches.front().base_offset < log_end_offset_) {
    co_return refuse(ErrorCode::offset_out_of_range, fmt::format("records begin at {}, the log ends at {}",
                                                                 pending.batches.front().base_offset, log_end_offset_));
  }
  Result<void> known = co_await know_producers(pending);
  KLAMM_CO_TRY(known);
  Result<AppendInfo> info = co_await write(pending);
  co_return info;
}

// ---- Both

Result<void> Log::check_producers(PendingAppend& pending) const {
  std::size_t position = 0;
  for (const BatchSummary& batch : pending.batches) {
    const auto size = static_cast<std::size_t>(batch.size);
    if (batch.has_producer()) {
      std::optional<EndTransaction> marker;
      if (batch.is_control()) {
        Result<std::optional<EndTransaction>> read = read_end_transaction(pending.records.part(position, size));
        if (!read) return refuse(ErrorCode::corrupt_message, read.error().message());
        marker = *read;
      }
      Result<void> added =
          producers_.add(pending.producers, batch, marker, pending.origin, pending.transaction_version);
      KLAMM_TRY(added);
    }
    position += size;
  }
  return {};
}

// Offsets are assigned, changing_ is held. Nothing of the state changes before the bytes are in the file.
io::Task<Result<AppendInfo>> Log::write(PendingAppend& pending) {
  Result<void> usable = check_usable();
  KLAMM_CO_TRY(usable);
  Result<void> allowed = check_producers(pending);
  KLAMM_CO_TRY(allowed);
  AppendInfo& info = pending.info;
  fill_info(info, pending.batches);
  if (must_roll(*active_, info.size_bytes, info.max_timestamp, info.last_offset)) {
    // At the log's end, so that segments leave no hole, unless the data lie too far behind it.
    const bool near = Segment::fits(log_end_offset_, info.last_offset);
    Result<void> rolled = co_await roll_locked(near ? log_end_offset_ : info.first_offset);
    if (!rolled) co_return fail(storage_error(std::move(rolled).error(), "roll"));
  }
  const Bytes parts[] = {pending.records.bytes()};
  Result<void> appended = co_await active_->append(pending.batches, parts, options_.config.index_interval_bytes);
  if (!appended) {
    if (active_->damaged()) failed_ = true;
    co_return fail(storage_error(std::move(appended).error(), "append"));
  }
  for (const BatchSummary& batch : pending.batches) {
    if (batch.leader_epoch >= 0) epochs_.assign(batch.leader_epoch, batch.base_offset);
  }
  log_end_offset_ = info.last_offset + 1;
  for (const AbortedTransaction& aborted : producers_.commit(std::move(pending.producers), log_end_offset_)) {
    active_->txn_index().append(aborted);
  }
  info.log_start_offset = log_start_offset_;
  info.leader_epoch = pending.batches.back().leader_epoch;
  if (log_end_offset_ - flushed_offset_ >= options_.config.flush_messages) {
    info.wait_flushed = true;
    if (!flush_scheduled_) {
      flush_scheduled_ = true;
      background_.spawn(flush_in_background(log_end_offset_));
    }
  }
  co_return info;
}

io::Task<Result<void>> Log::begin_epoch(std::int32_t epoch) {
  co_await changing_.lock();
  epochs_.assign(epoch, log_end_offset_);
  changing_.unlock();
  co_return Result<void>();
}

bool Log::must_roll(Segment& active, std::int64_t size, TimestampMs max_timestamp, std::int64_t last_offset) const {
  if (!Segment::fits(active.base_offset(), last_offset)) return true;
  if (active.size_bytes() == 0) return false;
  const config::LogConfig& config = options_.config;
  if (active.size_bytes() > config.segment_bytes - size) return true;
  const TimestampMs first = active.first_batch_timestamp();
  const std::int64_t age = first >= 0 ? max_timestamp - first : shard_.wall_ms() - active.created_ms();
  // A record must not wait in the active segment, which is never compacted, for longer than it may stay uncompacted.
  const std::int64_t most_age =
      config.cleanup_compact ? std::min(config.segment_ms, config.max_compaction_lag_ms) : config.segment_ms;
  if (age > most_age - roll_jitter_ms_) return true;
  return active.offset_index().is_full(config.segment_index_bytes) ||
         active.time_index().is_full(config.segment_index_bytes);
}

io::Task<Result<void>> Log::roll() {
  Result<void> usable = check_usable();
  KLAMM_CO_TRY(usable);
  co_await changing_.lock();
  Result<void> rolled;
  if (active_->size_bytes() > 0) rolled = co_await roll_locked(log_end_offset_);
  changing_.unlock();
  if (!rolled) co_return fail(storage_error(std::move(rolled).error(), "roll"));
  co_return rolled;
}

// If this fails, the active segment goes on as it is.
io::Task<Result<void>> Log::roll_locked(std::int64_t base_offset) {
  if (active_->base_offset() == base_offset) {
    // An empty segment whose place the data takes: nothing to make.
    KLAMM_CHECK(active_->size_bytes() == 0, "roll onto a segment with data");
    co_return Result<void>();
  }
  Result<void> finished = co_await active_->finish();
  KLAMM_CO_TRY(finished);
  producers_.set_end_offset(std::max(producers_.end_offset(), log_end_offset_));
  Result<void> snapshot = co_await take_producer_snapshot(false);
  KLAMM_CO_TRY(snapshot);
  auto next = make_segment(base_offset);
  const std::int64_t preallocate = options_.config.preallocate ? options_.config.segment_bytes : 0;
  Result<void> created = co_await next->create(preallocate, shard_.wall_ms());
  KLAMM_CO_TRY(created);
  directory_dirty_ = true;
  finished_.push_back(active_);
  segments_.emplace(base_offset, next);
  active_ = std::move(next);
  roll_jitter_ms_ = draw_jitter();
  background_.spawn(flush_in_background(base_offset));
  co_return Result<void>();
}

// ---- Durability

io::Task<void> Log::flush_in_background(std::int64_t offset) {
  co_await flushing_.lock();
  flush_scheduled_ = false;
  Result<void> flushed;
  if (!failed_ && recovery_point() < offset) flushed = co_await flush_locked(offset);
  flushing_.unlock();
  if (!flushed) {
    [[maybe_unused]] const Error error = storage_error(std::move(flushed).error(), "flush");
  }
}

io::Task<Result<void>> Log::flushed(std::int64_t offset) {
  while (recovery_point() < std::min(offset, log_end_offset_)) {
    if (failed_) co_return refuse(ErrorCode::kafka_storage_error, fmt::format("log {} is offline", options_.partition));
    co_await flushing_.lock();
    Result<void> flushed;
    // Another flush may have covered this one while we waited for our turn.
    if (recovery_point() < std::min(offset, log_end_offset_)) flushed = co_await flush_locked(log_end_offset_);
    flushing_.unlock();
    if (!flushed) co_return fail(storage_error(std::move(flushed).error(), "flush"));
  }
  co_return Result<void>();
}

// flushing_ is held: nothing is truncated meanwhile, but appends and rolls go on.
io::Task<Result<void>> Log::flush_locked(std::int64_t offset) {
  // A flush before this one failed: a sync may well succeed now, having forgotten the pages that could not be written.
  if (failed_) co_return refuse(ErrorCode::kafka_storage_error, fmt::format("log {} is offline", options_.partition));
  // Syncing the active segment serves all that is in it by now.
  offset = offset > active_->base_offset() ? log_end_offset_ : std::min(offset, log_end_offset_);
  const std::vector<SegmentRef> finished = finished_;
  std::vector<SegmentRef> dirty;
  auto at = segments_.upper_bound(flushed_offset_);
  if (at != segments_.begin()) --at;
  for (; at != segments_.end() && at->first < offset; ++at) {
    if (std::find(finished.begin(), finished.end(), at->second) == finished.end()) dirty.push_back(at->second);
  }
  if (epochs_unsaved()) {
    Result<void> saved = co_await save_epochs();
    KLAMM_CO_TRY(saved);
  }
  Result<void> synced;
  for (std::size_t i = 0; i < finished.size() && synced; ++i) synced = co_await sync_segment(finished[i], true);
  for (std::size_t i = 0; i < dirty.size() && synced; ++i) synced = co_await sync_segment(dirty[i], false);
  if (synced) synced = co_await sync_names();
  if (!synced) {
    if (is_descriptor_shortage(synced.error())) co_return synced;  // nothing was tried, the next flush does it
    // What the pages held may be gone: whatever the reason, nothing written here can be relied on any more.
    failed_ = true;
    co_return synced;
  }
  std::erase_if(finished_, [&](const SegmentRef& segment) {
    return std::find(finished.begin(), finished.end(), segment) != finished.end();
  });
  flushed_offset_ = std::max(flushed_offset_, offset);
  last_flush_ = shard_.now();
  co_return Result<void>();
}

// What has been deleted meanwhile need not be on the disk, nor may it be there any more.
io::Task<Result<void>> Log::sync_segment(SegmentRef segment, bool with_indexes) {
  const auto is_there = [&] {
    const auto at = segments_.find(segment->base_offset());
    return at != segments_.end() && at->second == segment;
  };
  if (!is_there()) co_return Result<void>();
  Result<void> synced = co_await segment->sync(with_indexes);
  if (!synced && synced.error() == Errc::not_found && !is_there()) co_return Result<void>();
  co_return synced;
}

// The names of files made since the last time.
io::Task<Result<void>> Log::sync_names() {
  if (directory_dirty_) {
    directory_dirty_ = false;
    Result<void> synced = co_await sync_directory(options_.directory);
    if (!synced) directory_dirty_ = true;
    KLAMM_CO_TRY(synced);
  }
  if (parent_dirty_) {
    parent_dirty_ = false;
    Result<void> synced = co_await sync_directory(io::parent_path(options_.directory));
    if (!synced) parent_dirty_ = true;
    KLAMM_CO_TRY(synced);
  }
  co_return Result<void>();
}

io::Task<Result<void>> Log::sync_directory(std::string path) {
  Result<void> synced =
      co_await with_descriptors(options_.open_files, [&] { return shard_.files().sync_directory(path); });
  co_return synced;
}

bool Log::flush_due(Instant now) const {
  return flushed_offset_ < log_end_offset_ && options_.config.flush_ms != config::LogConfig::kUnlimited &&
         now - last_flush_ >= milliseconds(options_.config.flush_ms);
}

// ---- Housekeeping

void Log::expire_producers(TimestampMs now_ms) { producers_.expire(now_ms); }

void Log::release_unused() {
  for (const auto& item : segments_) {
    if (item.second != active_) item.second->release_unused();
  }
}

}  // namespace klamm::storage
