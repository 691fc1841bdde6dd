#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>
#include <map>

#include "broker/storage/names.h"
#include "broker/storage/offset_index.h"
#include "broker/storage/time_index.h"
#include "broker/storage/txn_index.h"
#include "protocol/messages/storage/producer_snapshot.h"
#include "protocol/record/batch.h"
#include "protocol/record/crc32c.h"
#include "protocol/record/legacy.h"
#include "protocol/record/record.h"
#include "protocol/wire/message.h"
#include "tools/batch_reader.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/record_decoder.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

constexpr std::size_t kMostPlainBytes = std::size_t{1} << 30;

Options declare() {
  Options options("dump-log", "Prints the content of log segments, indexes, snapshots and checkpoints.");
  options.text("--files", "file1,file2,...", "The files: .log, .index, .timeindex, .txnindex, .snapshot, .checkpoint.")
      .require("files");
  options.flag("--deep-iteration", "Print each record, not only the batches.");
  options.flag("--print-data-log", "Print keys and values too.");
  options.flag("--skip-record-metadata", "Leave out the records' offsets, sizes and so on, and control records.");
  options.maybe("--value-decoder-class", "class", "org.apache.kafka.tools.api.StringDecoder",
                "How values are printed: StringDecoder, IntegerDecoder, LongDecoder.");
  options.maybe("--key-decoder-class", "class", "org.apache.kafka.tools.api.StringDecoder", "How keys are printed.");
  options.flag("--cluster-metadata-decoder", "Print values as records of the cluster's metadata.");
  options.flag("--offsets-decoder", "Print keys and values as records of __consumer_offsets.");
  options.flag("--transaction-log-decoder", "Print keys and values as records of __transaction_state.");
  options.flag("--share-group-state-decoder", "Print keys and values as records of __share_group_state.");
  options.flag("--remote-log-metadata-decoder", "Not served yet.");
  options.flag("--index-sanity-check", "Only check that indexes are sane.");
  options.flag("--verify-index-only", "Only check indexes against their log.");
  options.int32("--max-message-size", "bytes", "The largest batch that an index may point to (default: 5242880).");
  options.int32("--max-bytes", "bytes", "Print only so many bytes of a log.");
  return options;
}

// What is told at the end, for all files.
struct Complaints {
  std::map<std::string, std::vector<std::string>> index_mismatches;
  std::map<std::string, std::vector<std::string>> time_mismatches;
  std::map<std::string, std::vector<std::string>> out_of_order_times;
  std::map<std::string, std::vector<std::string>> offsets_not_found;
  std::map<std::string, std::vector<std::string>> non_consecutive;

  void print() const {
    flush_output();
    const std::pair<std::string_view, const std::map<std::string, std::vector<std::string>>*> sections[] = {
        {"Mismatches in :", &index_mismatches},
        {"Found timestamp mismatch in :", &time_mismatches},
        {"Found out of order timestamp in :", &out_of_order_times},
        {"The following indexed offsets are not found in the log.\n", &offsets_not_found},
        {"Non-consecutive offsets in ", &non_consecutive},
    };
    for (const auto& [title, files] : sections) {
      for (const auto& [file, lines] : *files) {
        fmt::print(stderr, "{}{}\n", title, file);
        for (const std::string& line : lines) fmt::print(stderr, "  {}\n", line);
      }
    }
  }
};

struct Settings {
  bool deep = false;
  bool print_data = false;
  bool skip_metadata = false;
  bool sanity_only = false;
  bool verify_only = false;
  std::uint64_t max_message_bytes = 0;
  std::uint64_t max_bytes = std::numeric_limits<std::int32_t>::max();
  RecordDecoding key = RecordDecoding::text;
  RecordDecoding value = RecordDecoding::text;
};

std::string_view name_of(record::TimestampType type) {
  return type == record::TimestampType::log_append_time ? "LogAppendTime" : "CreateTime";
}

class Dumper {
 public:
  Dumper(Settings settings, Complaints& complaints) : settings_(std::move(settings)), complaints_(complaints) {}
  // One file; the sentence to print when it cannot be read.
  Result<void> dump(const std::string& path);

 private:
  Result<void> dump_log(const std::string& path);
  void print_start(const std::string& path) const;
  Result<void> print_batch(const record::BatchView& batch, std::uint64_t position, const std::string& path);
  Result<void> print_legacy(const Slice& entry, std::uint64_t position, const std::string& path);
  void print_record(const record::RecordView& record, record::TimestampType type, bool control,
                    std::optional<std::int32_t> sequence, const std::string& path);
  Result<void> dump_offset_index(const std::string& path);
  Result<void> dump_time_index(const std::string& path);
  Result<void> dump_txn_index(const std::string& path);
  Result<void> dump_snapshot(const std::string& path);

  Settings settings_;
  Complaints& complaints_;
  compress::Codecs codecs_;
  std::int64_t last_offset_ = -1;
};

std::string file_name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Result<std::int64_t> base_offset_of(const std::string& path) {
  const std::string name = file_name_of(path);
  std::int64_t base = 0;
  const char* end = name.data() + std::min(name.find('.'), name.size());
  const auto [rest, error] = std::from_chars(name.data(), end, base);
  if (error != std::errc() || rest != end)
    return fail(Errc::invalid_argument, path + ": the name must begin with the segment's base offset");
  return base;
}

// The log file beside an index.
std::string log_of(const std::string& path) {
  const std::size_t slash = path.rfind('/') + 1;
  return path.substr(0, path.find('.', slash)) + std::string(storage::suffix::kLog);
}

Result<void> Dumper::dump(const std::string& path) {
  print("Dumping {}\n", path);
  const std::string name = file_name_of(path);
  const std::string_view end = std::string_view(name).substr(std::min(name.rfind('.'), name.size()));
  if (end == storage::suffix::kLog || end == ".checkpoint") return dump_log(path);
  if (end == storage::suffix::kOffsetIndex) return dump_offset_index(path);
  if (end == storage::suffix::kTimeIndex) return dump_time_index(path);
  if (end == storage::suffix::kTxnIndex) return dump_txn_index(path);
  if (end == storage::suffix::kProducerSnapshot) return dump_snapshot(path);
  flush_output();
  fmt::print(stderr, "Ignoring unknown file {}\n", path);
  return {};
}

void Dumper::print_start(const std::string& path) const {
  const std::string name = file_name_of(path);
  if (name == "bootstrap.checkpoint") {
    print("KRaft bootstrap snapshot\n");
    return;
  }
  if (name.ends_with(".checkpoint")) {
    long long offset = 0;
    int epoch = 0;
    if (std::sscanf(name.c_str(), "%lld-%d.checkpoint", &offset, &epoch) == 2)
      print("Snapshot end offset: {}, epoch: {}\n", offset, epoch);
    return;
  }
  if (const Result<std::int64_t> base = base_offset_of(path)) print("Log starting offset: {}\n", *base);
}

Result<void> Dumper::dump_log(const std::string& path) {
  Result<BatchReader> batches = BatchReader::open(path, settings_.max_bytes);
  KLAMM_TRY(batches);
  print_start(path);
  last_offset_ = -1;
  while (batches->next()) {
    Result<void> printed;
    if (batches->magic() < record::kMagic) {
      printed = print_legacy(batches->entry(), batches->position(), path);
    } else {
      Result<record::BatchView> batch = record::BatchView::parse(batches->entry());
      KLAMM_TRY(batch);
      printed = print_batch(*batch, batches->position(), path);
    }
    if (!printed)
      return fail(std::move(printed.error()).in(fmt::format("{} at position {}", path, batches->position())));
  }
  const bool all = settings_.max_bytes == std::numeric_limits<std::uint64_t>::max();
  if (all && batches->valid_end() < batches->file_bytes()) {
    print("Found {} invalid bytes at the end of {}\n", batches->file_bytes() - batches->valid_end(),
          file_name_of(path));
  }
  return {};
}

Result<void> Dumper::print_batch(const record::BatchView& batch, std::uint64_t position, const std::string& path) {
  const std::string horizon =
      batch.has_delete_horizon() ? fmt::format("OptionalLong[{}]", batch.base_timestamp()) : "OptionalLong.empty";
  const std::optional<compress::Compression> codec = batch.compression();
  print(
      "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} "
      "partitionLeaderEpoch: {} "
      "isTransactional: {} isControl: {} deleteHorizonMs: {} position: {} {}: {} size: {} magic: {} compresscodec: {} "
      "crc: {} isvalid: {}\n",
      batch.base_offset(), batch.last_offset(), batch.record_count(), batch.base_sequence(), batch.last_sequence(),
      batch.producer_id(), batch.producer_epoch(), batch.leader_epoch(), batch.is_transactional(), batch.is_control(),
      horizon, position, name_of(batch.timestamp_type()), batch.max_timestamp(), batch.size_bytes(), record::kMagic,
      codec ? compress::name_of(*codec) : "unknown", batch.crc(), batch.crc_fits());
  if (!settings_.deep) return {};
  Result<Slice> plain = record::plain_records(batch, codecs_, kMostPlainBytes);
  KLAMM_TRY(plain);
  record::RecordIterator records(batch, plain->bytes());
  for (record::RecordView record; records.next(record);) {
    std::optional<std::int32_t> sequence = record::kNoSequence;
    if (batch.base_sequence() != record::kNoSequence) {
      sequence = record::advance_sequence(batch.base_sequence(),
                                          static_cast<std::int32_t>(record.offset - batch.base_offset()));
    }
    print_record(record, batch.timestamp_type(), batch.is_control(), sequence, path);
  }
  return records.status();
}

Result<void> Dumper::print_legacy(const Slice& entry, std::uint64_t position, const std::string& path) {
  Result<record::LegacyView> message = record::LegacyView::parse(entry);
  KLAMM_TRY(message);
  const std::optional<compress::Compression> codec = message->compression();
  print("offset: {} position: {} {}: {} size: {} magic: {} compresscodec: {} crc: {} isvalid: {}\n", message->offset(),
        position, message->magic() == 0 ? "NoTimestampType" : name_of(message->timestamp_type()), message->timestamp(),
        entry.size(), message->magic(), codec ? compress::name_of(*codec) : "unknown", message->crc(),
        message->check_crc().has_value());
  if (!settings_.deep) return {};
  Result<record::LegacyIterator> records = record::LegacyIterator::open(entry, codecs_, kMostPlainBytes);
  KLAMM_TRY(records);
  for (record::RecordView record; records->next(record);)
    print_record(record, message->timestamp_type(), false, std::nullopt, path);
  return records->status();
}

void Dumper::print_record(const record::RecordView& record, record::TimestampType type, bool control,
                          std::optional<std::int32_t> sequence, const std::string& path) {
  if (last_offset_ >= 0 && record.offset != last_offset_ + 1) {
    complaints_.non_consecutive[path].push_back(fmt::format("{} is followed by {}", last_offset_, record.offset));
  }
  last_offset_ = record.offset;
  std::string& out = output_buffer();
  out += '|';
  if (!settings_.skip_metadata) {
    fmt::format_to(std::back_inserter(out), " offset: {} {}: {} keySize: {} valueSize: {}", record.offset,
                   name_of(type), record.timestamp, record.key.signed_size(), record.value.signed_size());
    if (sequence) {
      std::vector<std::string> keys;
      for (const record::Header& header : record.headers) keys.emplace_back(header.key);
      fmt::format_to(std::back_inserter(out), " sequence: {} headerKeys: [{}]", *sequence, joined(keys, ","));
    }
    if (control) out += control_text(record);
  }
  if (settings_.print_data && !control) {
    const DecodedRecord decoded = decode_record(record, settings_.key, settings_.value);
    if (decoded.key) out.append(" key: ").append(*decoded.key);
    if (decoded.value) out.append(" payload: ").append(*decoded.value);
  }
  print_text("\n");
}

// Reads a file of entries of fixed size.
template <typename Entry>
Result<std::vector<Entry>> read_entries(const std::string& path) {
  Result<std::string> content = file_content(path);
  KLAMM_TRY(content);
  std::vector<Entry> entries;
  const auto* bytes = reinterpret_cast<const std::byte*>(content->data());
  for (std::size_t at = 0; at + Entry::kBytes <= content->size(); at += Entry::kBytes)
    entries.push_back(Entry::decode(bytes + at));
  return entries;
}

Result<void> Dumper::dump_offset_index(const std::string& path) {
  Result<std::int64_t> base = base_offset_of(path);
  KLAMM_TRY(base);
  Result<std::vector<storage::OffsetIndexEntry>> entries = read_entries<storage::OffsetIndexEntry>(path);
  KLAMM_TRY(entries);
  Result<BatchReader> batches = BatchReader::open(log_of(path));
  KLAMM_TRY(batches);
  if (entries->empty()) {
    print("{} is empty.\n", path);
    return {};
  }
  if (settings_.sanity_only) {
    const std::int32_t last = entries->back().relative_offset;
    if (entries->size() > 1 && last <= 0)
      return fail(Errc::corrupt, fmt::format("Corrupt index found, index file ({}) has non-zero size but the last "
                                             "offset is {} which is no greater than the base offset {}.",
                                             path, *base + last, *base));
    print("{} passed sanity check.\n", path);
    return {};
  }
  for (std::size_t index = 0; index < entries->size(); ++index) {
    const storage::OffsetIndexEntry& entry = (*entries)[index];
    const std::int64_t offset = *base + entry.relative_offset;
    if (entry.relative_offset == 0 && index > 0) return {};  // the rest of a file of full size was never written
    batches->seek(static_cast<std::uint64_t>(std::max(0, entry.position)));
    std::int64_t found = -1;
    if (batches->next()) {
      // Kafka's tool reads so much of the log for each entry, and ends if the batch is not whole in it.
      if (batches->entry().size() > settings_.max_message_bytes)
        return fail(Errc::invalid_argument,
                    fmt::format("{}: the batch at position {} has {} bytes, more than --max-message-size {}", path,
                                entry.position, batches->entry().size(), settings_.max_message_bytes));
      const Result<record::BatchView> batch = record::BatchView::parse(batches->entry());
      found = batch ? batch->last_offset() : record::peek_entry(batches->entry().bytes()).offset;
    }
    if (found != offset)
      complaints_.index_mismatches[path].push_back(fmt::format("Index offset: {}, log offset: {}", offset, found));
    if (!settings_.verify_only) print("offset: {} position: {}\n", offset, entry.position);
  }
  return {};
}

Result<void> Dumper::dump_time_index(const std::string& path) {
  Result<std::int64_t> base = base_offset_of(path);
  KLAMM_TRY(base);
  Result<std::vector<storage::TimeIndexEntry>> entries = read_entries<storage::TimeIndexEntry>(path);
  KLAMM_TRY(entries);
  Result<BatchReader> batches = BatchReader::open(log_of(path));
  KLAMM_TRY(batches);
  if (settings_.sanity_only) {
    for (std::size_t index = 1; index < entries->size(); ++index) {
      const storage::TimeIndexEntry& entry = (*entries)[index];
      if (entry.relative_offset == 0) break;
      if (entry.timestamp < (*entries)[index - 1].timestamp)
        return fail(
            Errc::corrupt,
            fmt::format("Corrupt time index found, time index file ({}) has a timestamp smaller than the one before",
                        path));
    }
    print("{} passed sanity check.\n", path);
    return {};
  }
  bool more = batches->next();
  TimestampMs previous = -1;
  for (std::size_t index = 0; index < entries->size(); ++index) {
    const storage::TimeIndexEntry& entry = (*entries)[index];
    const std::int64_t offset = *base + entry.relative_offset;
    if (entry.relative_offset == 0 && index > 0) return {};
    // Entries ascend, and so do the batches: one walk over the log.
    Result<record::BatchView> batch = fail(Errc::not_found);
    while (more) {
      batch = record::BatchView::parse(batches->entry());
      if (!batch || batch->last_offset() >= offset) break;
      more = batches->next();
    }
    if (!more || !batch || batch->last_offset() != offset) {
      complaints_.offsets_not_found[path].push_back(
          fmt::format("Indexed offset: {}, found log offset: {}", offset, more && batch ? batch->last_offset() : -1));
    } else {
      if (batch->max_timestamp() != entry.timestamp) {
        complaints_.time_mismatches[path].push_back(
            fmt::format("Index timestamp: {}, log timestamp: {}", entry.timestamp, batch->max_timestamp()));
      }
      if (previous >= entry.timestamp) {
        complaints_.out_of_order_times[path].push_back(
            fmt::format("Index timestamp: {}, Previously indexed timestamp: {}", entry.timestamp, previous));
      }
    }
    if (!settings_.verify_only) print("timestamp: {} offset: {}\n", entry.timestamp, offset);
    previous = entry.timestamp;
  }
  return {};
}

Result<void> Dumper::dump_txn_index(const std::string& path) {
  Result<std::vector<storage::AbortedTransaction>> entries = read_entries<storage::AbortedTransaction>(path);
  KLAMM_TRY(entries);
  for (const storage::AbortedTransaction& entry : *entries) {
    print("version: {} producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}\n", entry.version,
          entry.producer_id, entry.first_offset, entry.last_offset, entry.last_stable_offset);
  }
  return {};
}

Result<void> Dumper::dump_snapshot(const std::string& path) {
  Result<std::string> content = file_content(path);
  KLAMM_TRY(content);
  constexpr std::size_t kCrcEnd = 6;  // int16 version, uint32 CRC of what follows
  const Bytes bytes = as_bytes(*content);
  if (bytes.size() < kCrcEnd) return fail(Errc::corrupt, path + ": too short for a producer snapshot");
  Result<protocol::storage::ProducerSnapshot> snapshot =
      wire::decode_versioned<protocol::storage::ProducerSnapshot>(Slice::copy(bytes));
  if (!snapshot) return fail(std::move(snapshot.error()).in(path));
  if (load_big_endian<std::uint32_t>(bytes.data() + 2) != record::crc32c(bytes.subspan(kCrcEnd))) {
    return fail(Errc::corrupt, path + ": Snapshot is corrupt (CRC is no longer valid)");
  }
  for (const auto& entry : snapshot->producer_entries) {
    const std::string transaction = entry.current_txn_first_offset < 0
                                        ? "OptionalLong.empty"
                                        : fmt::format("OptionalLong[{}]", entry.current_txn_first_offset);
    std::string line = fmt::format(
        "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {} lastTimestamp: {} ",
        entry.producer_id, entry.epoch, entry.coordinator_epoch, transaction, entry.timestamp);
    if (entry.last_offset >= 0) {
      const std::int32_t first =
          entry.last_sequence >= entry.offset_delta
              ? entry.last_sequence - entry.offset_delta
              : std::numeric_limits<std::int32_t>::max() - (entry.offset_delta - entry.last_sequence) + 1;
      line += fmt::format("firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}", first,
                          entry.last_sequence, entry.last_offset, entry.offset_delta, entry.timestamp);
    }
    print("{}\n", line);
  }
  return {};
}

Result<Settings> read_settings(const Options& options) {
  Settings settings;
  const std::pair<const char*, RecordDecoding> decoders[] = {
      {"cluster-metadata-decoder", RecordDecoding::cluster_metadata},
      {"offsets-decoder", RecordDecoding::offsets},
      {"transaction-log-decoder", RecordDecoding::transactions},
      {"share-group-state-decoder", RecordDecoding::share_state},
  };
  settings.print_data =
      options.has("print-data-log") || options.has("value-decoder-class") || options.has("key-decoder-class");
  Result<RecordDecoding> key = decoding_of_class(options.text_or("key-decoder-class", ""));
  KLAMM_TRY(key);
  Result<RecordDecoding> value = decoding_of_class(options.text_or("value-decoder-class", ""));
  KLAMM_TRY(value);
  settings.key = *key;
  settings.value = *value;
  for (const auto& [name, decoding] : decoders) {
    if (!options.has(name)) continue;
    settings.print_data = true;
    settings.value = decoding;
  }
  settings.deep = settings.print_data || options.has("deep-iteration");
  settings.skip_metadata = options.has("skip-record-metadata");
  settings.sanity_only = options.has("index-sanity-check");
  settings.verify_only = options.has("verify-index-only");
  settings.max_bytes = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, options.number_or("max-bytes", std::numeric_limits<std::int32_t>::max())));
  if (settings.max_bytes == std::uint64_t{std::numeric_limits<std::int32_t>::max()})
    settings.max_bytes = std::numeric_limits<std::uint64_t>::max();
  settings.max_message_bytes =
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, options.number_or("max-message-size", 5'242'880)));
  return settings;
}

}  // namespace

int run_dump_log(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.has("remote-log-metadata-decoder")) return fail_text("--remote-log-metadata-decoder is not served yet");
  Result<Settings> settings = read_settings(options);
  if (!settings) return fail_text(reason_of(settings.error()));
  Complaints complaints;
  Dumper dumper(*settings, complaints);
  for (const std::string& file : split(*options.text_of("files"), ',')) {
    if (file.empty()) continue;
    Result<void> dumped = dumper.dump(file);
    if (!dumped) return fail_error(dumped.error());
  }
  complaints.print();
  return 0;
}

}  // namespace klamm::tools
