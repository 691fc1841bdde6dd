#include "broker/raft/snapshot.h"

#include <fmt/format.h>

#include <charconv>

#include "protocol/record/batch_builder.h"

namespace klamm::raft {
namespace {

constexpr std::string_view kSuffix = ".checkpoint";
constexpr std::size_t kOffsetDigits = 20;
constexpr std::size_t kEpochDigits = 10;

template <typename Int>
bool parse_digits(std::string_view text, Int& number) {
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

Slice data_batch(std::span<const Slice> values, std::size_t bytes, std::int64_t base_offset, std::int32_t epoch,
                 TimestampMs now_ms) {
  record::BatchOptions options;
  options.size_limit_bytes = bytes;
  options.initial_bytes = bytes;
  options.base_offset = base_offset;
  options.leader_epoch = epoch;
  record::BatchBuilder builder(options);
  for (const Slice& value : values) {
    const auto taken = builder.append(now_ms, nullptr, value);
    KLAMM_CHECK(taken.has_value(), "a snapshot batch outgrew its bound");
  }
  compress::Codecs codecs;
  Result<Slice> batch = builder.build(codecs);
  KLAMM_CHECK(batch.has_value(), "an uncompressed batch cannot fail to build");
  return std::move(*batch);
}

}  // namespace

std::string snapshot_file_name(const SnapshotId& id) {
  return fmt::format("{:020}-{:010}{}", id.end_offset, id.epoch, kSuffix);
}

std::optional<SnapshotId> parse_snapshot_file_name(std::string_view name) {
  if (name.size() != kOffsetDigits + 1 + kEpochDigits + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  SnapshotId id;
  if (name[kOffsetDigits] != '-' || !parse_digits(name.substr(0, kOffsetDigits), id.end_offset) ||
      !parse_digits(name.substr(kOffsetDigits + 1, kEpochDigits), id.epoch)) {
    return std::nullopt;
  }
  return id;
}

bool is_snapshot_leftover(std::string_view name) {
  return name.ends_with(".checkpoint.part") || name.ends_with(".checkpoint.deleted");
}

SnapshotBuilder::SnapshotBuilder(const Options& options) : options_(options) {
  ready_.push_back(snapshot_header_batch(options.last_contained_ms, options.voters, options.epoch, options.now_ms));
  next_offset_ = options.voters != nullptr ? 3 : 1;
}

void SnapshotBuilder::append(std::span<const Slice> values) {
  for (const Slice& value : values) {
    const std::size_t bytes = value.size() + record::kMaxRecordOverhead;
    if (!open_.empty() && open_bytes_ + bytes > options_.max_batch_bytes) close_batch();
    if (open_.empty()) open_bytes_ = record::kBatchHeaderSize;
    open_.push_back(value);
    open_bytes_ += bytes;
  }
}

void SnapshotBuilder::close_batch() {
  if (open_.empty()) return;
  ready_.push_back(data_batch(open_, open_bytes_, next_offset_, options_.epoch, options_.now_ms));
  next_offset_ += static_cast<std::int64_t>(open_.size());
  open_.clear();
}

void SnapshotBuilder::finish() {
  close_batch();
  ready_.push_back(snapshot_footer_batch(next_offset_, options_.epoch, options_.now_ms));
}

Result<Batch> read_batch(Slice bytes) {
  Result<record::BatchView> view = record::BatchView::parse(std::move(bytes));
  KLAMM_TRY(view);
  Result<void> crc = view->check_crc();
  KLAMM_TRY(crc);
  Batch batch;
  batch.base_offset = view->base_offset();
  batch.last_offset = view->last_offset();
  batch.epoch = view->leader_epoch();
  batch.append_timestamp_ms = view->max_timestamp();
  batch.size_bytes = static_cast<std::int64_t>(view->size_bytes());
  batch.control = view->is_control();
  if (batch.control) {
    Result<ControlFacts> facts = read_control_batch(*view);
    KLAMM_TRY(facts);
    batch.control_facts = std::move(*facts);
    return batch;
  }
  if (view->is_compressed()) return fail(Errc::malformed, "a compressed batch in the metadata log");
  record::RecordIterator records(*view, view->records_bytes());
  const Slice& whole = view->slice();
  for (record::RecordView record; records.next(record);) {
    if (record.value.size() == 0) {
      batch.values.emplace_back();
      continue;
    }
    batch.values.push_back(
        whole.part(static_cast<std::size_t>(record.value.data() - whole.data()), record.value.size()));
  }
  Result<void> status = records.status();
  KLAMM_TRY(status);
  return batch;
}

Result<std::optional<Batch>> SnapshotReader::next() {
  const std::string name = snapshot_file_name(id_);
  if (rest_.empty()) {
    if (!ended_) return fail(Errc::corrupt, name + ": the snapshot ends without a footer");
    return std::nullopt;
  }
  if (ended_) return fail(Errc::corrupt, name + ": bytes behind the footer");
  const record::EntryHead head = record::peek_entry(rest_.bytes());
  if (head.status != record::EntryStatus::whole)
    return fail(Errc::corrupt, name + ": the snapshot is cut off or damaged");
  Result<Batch> batch = read_batch(rest_.part(0, head.size_bytes));
  if (!batch) return fail(Error(Errc::corrupt, name + ": " + batch.error().message()));
  rest_.remove_prefix(head.size_bytes);
  if (!begun_) {
    if (!batch->control || !batch->control_facts.snapshot_header) {
      return fail(Errc::corrupt, name + ": the snapshot does not begin with a header");
    }
    begun_ = true;
    last_contained_ms_ = batch->control_facts.last_contained_ms;
  }
  if (batch->control && batch->control_facts.snapshot_footer) ended_ = true;
  return std::optional<Batch>(std::move(*batch));
}

io::Task<Result<void>> write_snapshot_file(io::Shard& shard, std::string directory, SnapshotId id,
                                           std::vector<Slice> batches) {
  io::FileSystem& files = shard.files();
  const std::string path = io::join_path(directory, snapshot_file_name(id));
  const std::string stem = fmt::format("{:020}-{:010}", id.end_offset, id.epoch);
  const std::string part =
      io::join_path(directory, fmt::format("{}-{:016x}.checkpoint.part", stem, shard.random().next()));
  Result<std::shared_ptr<io::File>> file = co_await files.open(part, io::OpenMode::create_new);
  KLAMM_CO_TRY(file);
  std::vector<Bytes> parts;
  for (const Slice& batch : batches) parts.push_back(batch.bytes());
  Result<void> done = co_await (*file)->write(0, parts);
  if (done) done = co_await (*file)->sync();
  if (done) done = co_await files.set_read_only(part);
  if (done) done = co_await files.rename(part, path);
  if (done) done = co_await files.sync_directory(directory);
  if (!done) {
    Result<void> removed = co_await files.remove(part);
    static_cast<void>(removed);
  }
  co_return done;
}

}  // namespace klamm::raft
