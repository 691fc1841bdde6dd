#include "broker/metadata/loader.h"

#include <fmt/format.h>

#include "broker/metadata/image_writer.h"

namespace klamm::metadata {

LoaderOptions loader_options(const config::BrokerConfig& file) {
  LoaderOptions options;
  options.snapshot_max_new_bytes = file.values().get_long("metadata.log.max.record.bytes.between.snapshots");
  options.snapshot_max_interval_ms = file.values().get_long("metadata.log.max.snapshot.interval.ms");
  return options;
}

Loader::Loader(io::Shard& shard, raft::RaftNode& raft, Publisher* publisher, LoaderOptions options, Logger logger)
    : shard_(shard),
      raft_(raft),
      publisher_(publisher),
      options_(options),
      logger_(std::move(logger)),
      image_(MetadataImage::none()),
      delta_(std::make_shared<MetadataDelta>(image_)),
      last_snapshot_(shard.now()),
      changed_(shard),
      background_(shard) {
  raft.add_listener(*this);
}

io::Task<bool> Loader::wait_for(std::int64_t offset, Instant deadline) {
  while (image_->provenance.last_offset < offset) {
    const bool notified = co_await changed_.wait_until(deadline);
    if (!notified) co_return false;
  }
  co_return true;
}

io::Task<bool> Loader::wait_published(Instant deadline) {
  while (!published_) {
    const bool notified = co_await changed_.wait_until(deadline);
    if (!notified) co_return false;
  }
  co_return true;
}

io::Task<void> Loader::close() { co_await background_.close(); }

void Loader::leader_changed(raft::LeaderAndEpoch leader) {
  leader_ = leader;
  if (observer_.leader_changed) observer_.leader_changed(leader);
}

io::Task<Result<void>> Loader::committed(std::vector<raft::Batch> batches) {
  for (const raft::Batch& batch : batches) {
    Result<void> taken = take(batch);
    if (!taken)
      co_return fail(std::move(taken).error().in(fmt::format("metadata log, batch at offset {}", batch.base_offset)));
  }
  co_await publish_changes();
  consider_snapshot();
  co_return Result<void>();
}

Result<void> Loader::take(const raft::Batch& batch) {
  for (const Slice& value : batch.values) {
    Result<Record> record = decode_record(value);
    KLAMM_TRY(record);
    Result<void> taken = take_record(std::move(*record));
    KLAMM_TRY(taken);
  }
  last_loaded_offset_ = batch.last_offset;
  bytes_since_snapshot_ += batch.size_bytes;
  if (!in_transaction_)
    provenance_ = {batch.last_offset, batch.epoch, batch.append_timestamp_ms, raft_.kraft_version()};
  return {};
}

Result<void> Loader::take_record(Record record) {
  if (std::holds_alternative<messages::BeginTransactionRecord>(record.message)) {
    if (in_transaction_) return fail(Errc::corrupt, "a transaction begins inside another");
    in_transaction_ = true;
    return {};
  }
  if (std::holds_alternative<messages::AbortTransactionRecord>(record.message)) {
    if (!in_transaction_) return fail(Errc::corrupt, "no transaction to abort");
    in_transaction_ = false;
    transaction_.clear();
    return {};
  }
  if (std::holds_alternative<messages::EndTransactionRecord>(record.message)) {
    if (!in_transaction_) return fail(Errc::corrupt, "no transaction to end");
    in_transaction_ = false;
    for (const Record& held : std::exchange(transaction_, {})) {
      Result<void> replayed = delta_->replay(held);
      KLAMM_TRY(replayed);
    }
    return {};
  }
  if (in_transaction_) {
    transaction_.push_back(std::move(record));
    return {};
  }
  return delta_->replay(record);
}

io::Task<Result<void>> Loader::load_snapshot(raft::SnapshotReader snapshot) {
  // What was gathered but not published is part of the snapshot.
  delta_ = std::make_shared<MetadataDelta>(delta_->base());
  delta_->begin_snapshot();
  in_transaction_ = false;
  transaction_.clear();
  while (true) {
    Result<std::optional<raft::Batch>> batch = snapshot.next();
    KLAMM_CO_TRY(batch);
    if (!*batch) break;
    for (const Slice& value : (*batch)->values) {
      Result<Record> record = decode_record(value);
      KLAMM_CO_TRY(record);
      Result<void> replayed = delta_->replay(*record);
      KLAMM_CO_TRY(replayed);
    }
  }
  delta_->finish_snapshot();
  const raft::SnapshotId& id = snapshot.id();
  provenance_ = {id.end_offset - 1, id.epoch, snapshot.last_contained_ms(), raft_.kraft_version()};
  last_loaded_offset_ = id.end_offset - 1;
  bytes_since_snapshot_ = 0;
  last_snapshot_ = shard_.now();
  logger_.info("loaded the metadata snapshot {}", raft::snapshot_file_name(id));
  co_await publish_changes();
  co_return Result<void>();
}

io::Task<void> Loader::publish_changes() {
  if (provenance_ == image_->provenance) co_return;
  image_ = delta_->apply(provenance_);
  if (observer_.image_changed) observer_.image_changed();
  const bool caught_up = published_ || last_loaded_offset_ + 1 >= raft_.high_watermark();
  if (caught_up) {
    std::shared_ptr<const MetadataDelta> delta = std::move(delta_);
    delta_ = std::make_shared<MetadataDelta>(image_);
    if (publisher_ != nullptr) co_await publisher_->publish(image_, std::move(delta));
    published_ = true;
  }
  changed_.notify_all();
}

void Loader::consider_snapshot() {
  if (writing_snapshot_ || image_->empty() || bytes_since_snapshot_ == 0) return;
  const bool by_size = bytes_since_snapshot_ >= options_.snapshot_max_new_bytes;
  const bool by_time = options_.snapshot_max_interval_ms > 0 &&
                       shard_.now() - last_snapshot_ >= milliseconds(options_.snapshot_max_interval_ms);
  if (by_size || by_time) background_.spawn(write_snapshot_in_background());
}

io::Task<void> Loader::write_snapshot_in_background() {
  Result<void> written = co_await write_snapshot();
  if (!written) logger_.error("no metadata snapshot was written: {}", written.error().message());
}

io::Task<Result<void>> Loader::write_snapshot() {
  const ImageRef image = image_;
  const Provenance& at = image->provenance;
  const raft::SnapshotId id{at.last_offset + 1, at.last_epoch};
  if (writing_snapshot_ || image->empty() || raft_.latest_snapshot() == id) co_return Result<void>();
  writing_snapshot_ = true;
  bytes_since_snapshot_ = 0;
  last_snapshot_ = shard_.now();
  std::vector<Slice> values;
  Records records;
  ImageWriter writer(image);
  while (writer.next(records)) {
    for (const Record& record : records) values.push_back(encode_record(record));
    records.clear();
    // Others have their turn between the steps.
    co_await shard_.sleep(1us);
  }
  Result<void> stored = co_await raft_.create_snapshot(id, at.last_timestamp_ms, std::move(values));
  writing_snapshot_ = false;
  if (stored) logger_.info("wrote the metadata snapshot {}", raft::snapshot_file_name(id));
  co_return stored;
}

}  // namespace klamm::metadata
