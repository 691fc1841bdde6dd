#include "tests/unit/broker/storage/crash_node.h"

#include <cstdlib>

#include "protocol/record/record.h"

namespace klamm::storage::test {

const std::vector<std::string>& CrashNode::directories() {
  static const std::vector<std::string> paths{"/d1", "/d2"};
  return paths;
}

// "ledger", "wide": what is acknowledged is on the disk. "table": compacted. "window": keeps little. Others: Kafka's
// defaults.
config::LogConfig CrashNode::config_of(const std::string& topic) {
  config::LogConfig config = small_segments(topic == "plain" ? 9000 : 1500);
  config.file_delete_delay_ms = 1000;
  config.retention_ms = -1;
  if (topic == "ledger" || topic == "wide") config.flush_messages = 1;
  if (topic == "wide") config.cleanup_compact = true;  // otherwise offsets would not be so far apart
  if (topic == "window") config.retention_bytes = 2500;
  if (topic == "window") config.flush_messages = 7;
  if (topic == "table") {
    config.cleanup_compact = true;
    config.cleanup_delete = false;
    config.delete_retention_ms = 500;
  }
  return config;
}

CrashNode::CrashNode(std::uint64_t seed, std::optional<io::sim::DiskImage> image) : simulation(seed) {
  io::sim::NodeOptions options;
  options.image = std::move(image);
  node = &simulation.add_node("node", std::move(options));
}

CrashNode::~CrashNode() { kill(); }

void CrashNode::format() {
  for (const std::string& path : directories()) {
    REQUIRE(run(files().make_directories(path)).has_value());
    MetaProperties meta{"cluster", 1, Uuid::random(shard().random())};
    REQUIRE(run(save_meta_properties(files(), path, meta, 0)).has_value());
  }
  REQUIRE(run(files().sync_directory("/")).has_value());
}

namespace {

Logger logger_to_stderr() {
  if (std::getenv("KLAMM_CRASH_LOG") == nullptr) return {};
  const LogSink sink = [](LogLevel, std::string_view, std::string_view message) {
    fmt::print(stderr, "{}\n", message);
  };
  return Logger(sink, LogLevel::debug);
}

}  // namespace

std::string CrashNode::start() {
  LogDirsOptions dirs_options;
  dirs_options.directories = directories();
  dirs_options.node_id = 1;
  dirs_options.logger = logger_to_stderr();
  dirs_options.recovery_point_checkpoint_interval_ms = 1'000'000'000;
  dirs_options.log_start_checkpoint_interval_ms = 1'000'000'000;
  dirs_options.high_watermark_checkpoint_interval_ms = 1'000'000'000;
  Result<std::unique_ptr<LogDirs>> opened = run(LogDirs::open(shard(), dirs_options));
  if (!opened) return "the directories do not open: " + opened.error().message();
  dirs = *std::move(opened);
  Result<std::vector<FoundLog>> found = run(dirs->list_logs());
  if (!found) return "the logs are not listed: " + found.error().message();
  LogManagerOptions options;
  options.config_of = config_of;
  options.logger = logger_to_stderr();
  options.retention_check_interval_ms = 1'000'000'000;
  options.initial_task_delay_ms = 1'000'000'000;
  options.most_open_files = simulation.seed() % 3 == 0 ? 3 : OpenFiles::kUnlimited;
  manager = std::make_unique<LogManager>(shard(), *dirs, options);
  Result<void> loaded = run(manager->load(*std::move(found)));
  if (!loaded) return "a log does not load: " + loaded.error().message();
  simulation.run(shard(), [&]() -> Task<void> {
    manager->start();
    dirs->start({manager.get()});
    co_return;
  });
  for (const LogDirs::Directory& directory : dirs->directories()) {
    if (!directory.online) return directory.path + " is offline";
  }
  return {};
}

std::string CrashNode::stop() {
  // A checkpoint may be due while the logs are being closed.
  simulation.run(shard(), [&]() -> Task<void> {
    io::Gate gate(shard());
    gate.spawn(checkpoint_late());
    co_await manager->close();
    co_await gate.close();
  });
  Result<void> closed = run(dirs->close(7));
  manager.reset();
  dirs.reset();
  return closed ? std::string() : "the stop failed: " + closed.error().message();
}

Task<void> CrashNode::checkpoint_late() {
  co_await shard().sleep(milliseconds(shard().random().between(0, 15)));
  Result<void> saved = co_await dirs->checkpoint_recovery_points();
  if (saved) saved = co_await dirs->checkpoint_log_starts();
  CHECK(saved.has_value());
}

void CrashNode::kill() {
  if (node->alive()) node->kill();
  if (manager != nullptr) run(manager->close());
  if (dirs != nullptr) static_cast<void>(run(dirs->close(-1)));
  manager.reset();
  dirs.reset();
}

std::shared_ptr<Log> CrashNode::create(const protocol::TopicPartition& partition, Uuid id) {
  Result<std::shared_ptr<Log>> log = run(manager->create(partition, id, config_of(partition.topic)));
  REQUIRE_MESSAGE(log.has_value(), why_of(log));
  return *log;
}

namespace {

Slice fetched(CrashNode& node, const io::Pieces& pieces) {
  Buffer::Ref buffer = Buffer::allocate(io::size_of(pieces) + 1);
  std::size_t at = 0;
  for (const io::Piece& piece : pieces) {
    const auto& region = std::get<io::FileRegion>(piece);
    Result<std::size_t> got = node.run(
        node.files().read_region(region, MutableBytes(buffer->data() + at, static_cast<std::size_t>(region.size))));
    REQUIRE(got.has_value());
    at += *got;
  }
  return Slice(std::move(buffer), at);
}

// Goes through a log fetch by fetch.
class EntryReader {
 public:
  EntryReader(CrashNode& node, Log& log, FetchIsolation isolation, std::vector<std::string>& problems)
      : node_(node), log_(log), isolation_(isolation), problems_(problems), offset_(log.log_start_offset()) {}

  std::vector<Entry> all() {
    while (step()) {
    }
    return std::move(entries_);
  }

 private:
  bool step() {
    Result<FetchData> data = node_.run(log_.read({.offset = offset_, .max_bytes = 5000, .isolation = isolation_}));
    if (!data) {
      problem("offset {} is not read: {}", offset_, data.error().message());
      return false;
    }
    if (data->size_bytes == 0) return false;
    std::sort(data->aborted.begin(), data->aborted.end(),
              [](const auto& left, const auto& right) { return left.first_offset < right.first_offset; });
    const std::int64_t before = offset_;
    std::size_t next_aborted = 0;
    aborting_.clear();
    record::BatchCursor cursor(fetched(node_, data->records));
    while (cursor.next()) {
      Result<record::BatchView> batch = cursor.batch();
      if (!batch || !batch->check_crc()) {
        problem("damaged bytes behind offset {}", offset_);
        return false;
      }
      while (next_aborted < data->aborted.size() && data->aborted[next_aborted].first_offset <= batch->last_offset()) {
        aborting_.insert(data->aborted[next_aborted++].producer_id);
      }
      take(*batch, cursor.entry());
      offset_ = batch->next_offset();
    }
    if (offset_ == before) problem("a fetch at offset {} brings nothing whole", offset_);
    return offset_ != before;
  }

  void take(const record::BatchView& batch, const Slice& bytes) {
    Entry entry;
    entry.epoch = batch.leader_epoch();
    entry.producer = batch.producer_id();
    entry.transactional = batch.is_transactional();
    if (batch.is_control()) {
      Result<std::optional<EndTransaction>> end = read_end_transaction(bytes);
      if (!end || !*end) return problem("a marker at offset {} that does not read", batch.base_offset());
      entry.offset = batch.base_offset();
      entry.commit = (*end)->commit;
      entry.timestamp = batch.max_timestamp();
      if (!(*end)->commit) aborting_.erase(batch.producer_id());
      if (isolation_ == FetchIsolation::log_end) entries_.push_back(entry);
      return;
    }
    if (isolation_ == FetchIsolation::committed && batch.is_transactional() &&
        aborting_.contains(batch.producer_id())) {
      return;
    }
    Result<Slice> plain = record::plain_records(batch, node_.manager->codecs(), std::size_t{1} << 20);
    if (!plain) return problem("offset {} does not decompress", batch.base_offset());
    record::RecordIterator records(batch, plain->bytes());
    for (record::RecordView record; records.next(record);) {
      if (record.offset < offset_) continue;
      entry.offset = record.offset;
      entry.timestamp = record.timestamp;
      entry.key = std::string(record.key.text());
      entry.value.reset();
      if (!record.value.is_null()) entry.value = std::string(record.value.text());
      if (!entries_.empty() && entries_.back().offset >= entry.offset) {
        problem("offset {} comes after {}", entry.offset, entries_.back().offset);
      }
      entries_.push_back(entry);
    }
    if (!records.status()) problem("offset {} does not decode", batch.base_offset());
  }

  template <typename... Parts>
  void problem(fmt::format_string<Parts...> text, Parts&&... parts) {
    problems_.push_back(fmt::format("{}: ", log_.partition()) + fmt::format(text, std::forward<Parts>(parts)...));
  }

  CrashNode& node_;
  Log& log_;
  FetchIsolation isolation_;
  std::vector<std::string>& problems_;
  std::int64_t offset_;
  std::set<std::int64_t> aborting_;
  std::vector<Entry> entries_;
};

}  // namespace

std::vector<Entry> read_entries(CrashNode& node, Log& log, std::vector<std::string>& problems) {
  return EntryReader(node, log, FetchIsolation::log_end, problems).all();
}

std::vector<Entry> read_committed(CrashNode& node, Log& log, std::vector<std::string>& problems) {
  return EntryReader(node, log, FetchIsolation::committed, problems).all();
}

}  // namespace klamm::storage::test
