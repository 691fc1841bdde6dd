#include "tests/unit/broker/storage/crash_history.h"

#include <algorithm>

#include "base/check.h"

namespace klamm::storage::test {

namespace {

using Name = protocol::TopicPartition;

Name named(const std::string& topic, std::int32_t partition = 0) {
  return {topic, protocol::PartitionIndex(partition)};
}

const Name kLedger = named("ledger");
const Name kPlain = named("plain");
const Name kOther = named("plain", 1);
const Name kWindow = named("window");
const Name kTable = named("table");
const Name kGuest = named("guest");                   // deleted and made again
const Name kWide = named("wide");                     // has a segment that must be split at the first start
constexpr std::int64_t kFar = std::int64_t{1} << 31;  // more than an index can say

}  // namespace

void CrashHistory::prepare() {
  LogModel log;
  log.id = Uuid{77, next_id_++};
  std::vector<std::byte> content;
  std::int32_t sequence = 0;
  std::int64_t number = 0;
  for (const std::int64_t base :
       {std::int64_t{0}, std::int64_t{2}, kFar - 2, kFar, kFar + 10, 3 * kFar, 3 * kFar + 2}) {
    ModelBatch batch;
    batch.base = base;
    batch.timestamp = node_.shard().wall_ms();
    batch.producer = {.id = 200, .epoch = 0, .base_sequence = sequence, .transactional = true};
    if (++number % 3 == 0) {
      batch.producer.base_sequence = -1;
      batch.commit = true;
    } else {
      batch.records = {{"key 1", "old " + std::to_string(number), batch.timestamp},
                       {"key 2", "old " + std::to_string(number), batch.timestamp}};
      sequence += 2;
    }
    const Slice bytes = batch.bytes();
    record::patch_base_offset(MutableBytes(bytes.mutable_data(), bytes.size()), base);
    record::patch_leader_epoch(MutableBytes(bytes.mutable_data(), bytes.size()), batch.epoch);
    content.insert(content.end(), bytes.begin(), bytes.end());
    log.batches.push_back(std::move(batch));
  }
  log.flushed = log.end();
  const std::string parent = CrashNode::directories().front();
  const std::string directory = io::join_path(parent, directory_name(kWide));
  io::FileSystem& files = node_.files();
  REQUIRE(node_.run(files.make_directories(directory)).has_value());
  const std::string path = io::join_path(directory, file_name(0, suffix::kLog));
  REQUIRE(node_.run(io::write_file_atomically(files, path, Slice::copy(Bytes(content)))).has_value());
  REQUIRE(node_.run(save_partition_metadata(files, directory, log.id)).has_value());
  const std::vector<EpochEntry> epochs{{0, 0}};
  REQUIRE(node_.run(save_epoch_checkpoint(files, io::join_path(directory, kLeaderEpochFile), epochs)).has_value());
  REQUIRE(node_.run(files.sync_directory(parent)).has_value());
  model_.logs[kWide] = std::move(log);
  settle(kWide);
}

void CrashHistory::run(int rounds, const std::function<void()>& after_step) {
  REQUIRE(node_.start().empty());
  after_step();
  for (const Name& name : {kLedger, kPlain, kOther, kWindow, kTable, kGuest}) {
    create(name);
    after_step();
  }
  for (int i = 0; i < rounds; ++i) round(after_step);
  REQUIRE(node_.stop().empty());
  note_stop();
  after_step();
}

// A clean stop promises all that there is.
void CrashHistory::note_stop() {
  for (auto& [name, log] : model_.logs) {
    log.flushed = log.end();
    log.kept = log.start;
    log.alternatives.clear();
  }
}

void CrashHistory::round(const std::function<void()>& after_step) {
  for (int number = 0; number < 35; ++number) {
    step(number);
    after_step();
    append_everywhere(static_cast<int>(random_.between(1, 3)));
    after_step();
  }
}

void CrashHistory::step(int number) {
  switch (number) {
    case 0: return checkpoint();
    case 1: return begin_epoch(kPlain);
    case 2: return truncate(kPlain, random_.between(5, 40));
    case 3: return delete_records(kOther);
    case 4: return roll(kGuest);
    case 5: return flush(kPlain);
    case 6: return retention();
    case 7: return checkpoint();
    case 8: return clean(kTable);
    case 9: return remove(kGuest);
    case 10: return create(kGuest);
    case 11: return begin_epoch(kLedger);
    case 12: return truncate(kLedger, random_.between(1, 12));
    case 13: return wait();
    case 14: return delete_records(kLedger);
    case 15: return end_transactions(kTable);
    case 16: return clean(kTable);
    case 17: return restart();
    case 18: return flush(kOther);
    case 19: return checkpoint();
    case 20: return truncate(kOther, random_.between(5, 60));
    case 21: return retention();
    case 22: return empty(random_.chance(0.5) ? kPlain : kWindow);
    case 23: return checkpoint();
    case 24: return wait();
    case 25: return delete_records(kLedger);
    case 26: return move(kLedger);
    case 27: return truncate(kWide, random_.between(1, 9));
    case 28: return move(kTable);
    case 29: return move_and_remove(kGuest);
    case 30: return create(kGuest);
    case 31: return restart();
    case 32: return move(kOther);
    case 33: return delete_records(kWide);
    case 34: return move(kWide);
    default: return retention();
  }
}

StorageModel CrashHistory::model() const {
  StorageModel now = model_;
  for (auto& [name, log] : now.logs) {
    const std::shared_ptr<Log> open = node_.find(name);
    if (open == nullptr || log.removing || open->topic_id() != log.id) continue;
    log.start = std::max(log.start, open->log_start_offset());
    // What a log says of itself holds for others too. Not while it is being cut.
    if (!log.cutting) log.flushed = std::max(log.flushed, open->recovery_point());
  }
  return now;
}

// ---- Appends

ModelBatch CrashHistory::draw_batch(const Name& name) {
  const bool keyed = name == kTable;
  ModelBatch batch;
  batch.base = at(name).end();
  batch.epoch = epochs_[name];
  std::set<std::int64_t>& open = open_[name];
  const std::uint64_t dice = random_.below(100);
  if (dice < 15 && !open.empty()) {
    auto ended = open.begin();
    std::advance(ended, static_cast<std::ptrdiff_t>(random_.below(open.size())));
    batch.producer = {.id = *ended, .epoch = 0, .base_sequence = -1, .transactional = true};
    batch.commit = random_.chance(0.6);
    batch.timestamp = node_.shard().wall_ms();
    open.erase(ended);
    return batch;
  }
  const std::int64_t count = random_.between(1, 5);
  for (std::int64_t i = 0; i < count; ++i) {
    KeyedRecord record;
    record.key = "key " + std::to_string(random_.below(12));
    std::string value = std::to_string(++values_) + ".";
    const std::int64_t length = random_.between(0, 90);
    for (std::int64_t j = 0; j < length; ++j) value += static_cast<char>('a' + random_.below(26));
    if (!keyed || !random_.chance(0.2)) record.value = std::move(value);
    record.timestamp = node_.shard().wall_ms() + random_.between(-30, 30);
    batch.records.push_back(std::move(record));
  }
  batch.codec = static_cast<compress::Compression>(random_.below(5));
  if (dice < 50) {
    const bool transactional = dice >= 30;
    const std::int64_t id = (transactional ? 200 : 100) + static_cast<std::int64_t>(random_.below(2));
    std::int32_t& sequence = sequences_[name][id];
    batch.producer = {.id = id, .epoch = 0, .base_sequence = sequence, .transactional = transactional};
    sequence += static_cast<std::int32_t>(count);
    if (transactional) open.insert(id);
  }
  return batch;
}

Task<void> CrashHistory::put(Name name, ModelBatch batch) {
  const std::shared_ptr<Log> log = node_.find(name);
  LogModel& model = at(name);
  model.pending = batch;
  LeaderAppend append = leader_append(batch.bytes(), batch.epoch);
  if (batch.commit) append.origin = AppendOrigin::coordinator;
  Result<AppendInfo> info = co_await log->append_as_leader(std::move(append));
  KLAMM_CHECK(info.has_value() && info->first_offset == batch.base, why_of(info).c_str());
  model.batches.push_back(batch);
  model.pending.reset();
  log->set_high_watermark(log->log_end_offset());
  if (!info->wait_flushed) co_return;
  Result<void> flushed = co_await log->flushed(batch.end());
  KLAMM_CHECK(flushed.has_value(), why_of(flushed).c_str());
  model.flushed = std::max(model.flushed, batch.end());
  model.alternatives.clear();
}

Task<void> CrashHistory::put_many(Name name, int batches) {
  for (int i = 0; i < batches; ++i) {
    ModelBatch batch = draw_batch(name);
    co_await put(name, std::move(batch));
  }
}

void CrashHistory::append(const Name& name, int batches) { node_.run(put_many(name, batches)); }

void CrashHistory::append_everywhere(int batches) {
  io::Gate gate(node_.shard());
  for (const auto& [name, log] : model_.logs) gate.spawn(put_many(name, batches));
  node_.run(gate.close());
}

void CrashHistory::end_transactions(const Name& name) {
  while (!open_[name].empty()) append(name, 1);
}

// The producers as the log's end has them now.
void CrashHistory::settle(const Name& name) {
  sequences_[name].clear();
  open_[name].clear();
  for (const ModelBatch& batch : at(name).batches) {
    if (batch.producer.id < 0) continue;
    if (batch.commit) {
      open_[name].erase(batch.producer.id);
      continue;
    }
    sequences_[name][batch.producer.id] = batch.producer.base_sequence + static_cast<std::int32_t>(batch.count());
    if (batch.producer.transactional) open_[name].insert(batch.producer.id);
  }
}

// ---- Everything else

void CrashHistory::create(const Name& name) {
  LogModel log;
  log.id = Uuid{77, next_id_++};
  log.compacted = name == kTable;
  model_.logs[name] = log;
  epochs_[name] = 0;
  settle(name);
  node_.create(name, log.id);
}

void CrashHistory::remove(const Name& name) {
  at(name).removing = true;
  REQUIRE(node_.run(node_.manager->remove(name)).has_value());
  model_.removed.insert(at(name).id);
  model_.logs.erase(name);
}

void CrashHistory::begin_epoch(const Name& name) {
  REQUIRE(node_.run(node_.find(name)->begin_epoch(++epochs_[name])).has_value());
}

void CrashHistory::truncate(const Name& name, std::int64_t back) {
  LogModel& log = at(name);
  const std::int64_t wanted = std::max(log.end() - back, std::max(log.start, node_.find(name)->log_start_offset()));
  log.alternatives.push_back(log.batches);
  log.cutting = true;
  while (!log.batches.empty() && log.batches.back().end() > wanted) log.batches.pop_back();
  log.flushed = std::min(log.flushed, log.end());
  REQUIRE(node_.run(node_.find(name)->truncate_to(wanted)).has_value());
  log.cutting = false;
  REQUIRE(node_.find(name)->log_end_offset() == log.end());
  settle(name);
  begin_epoch(name);  // a new leader's
}

void CrashHistory::empty(const Name& name) {
  LogModel& log = at(name);
  const std::int64_t begin = log.end() + 50;
  log.alternatives.push_back(log.batches);
  log.cutting = true;
  log.batches.clear();
  log.begin = log.start = begin;
  REQUIRE(node_.run(node_.find(name)->truncate_fully_and_start_at(begin)).has_value());
  log.cutting = false;
  settle(name);
}

void CrashHistory::delete_records(const Name& name) {
  const std::shared_ptr<Log> log = node_.find(name);
  const std::int64_t start = random_.between(log->log_start_offset(), log->high_watermark());
  at(name).start = std::max(at(name).start, start);
  REQUIRE(node_.run(log->increment_log_start(start)).has_value());
  REQUIRE(node_.run(log->delete_old_segments()).has_value());
}

void CrashHistory::retention() {
  node_.run(node_.manager->apply_retention());
  for (auto& [name, log] : model_.logs) log.start = std::max(log.start, node_.find(name)->log_start_offset());
}

void CrashHistory::clean(const Name& name) {
  if (random_.chance(0.7)) end_transactions(name);
  REQUIRE(node_.run(node_.find(name)->roll()).has_value());
  Result<Cleanable> range = node_.run(node_.find(name)->cleanable());
  REQUIRE(range.has_value());
  if (range->dirty_bytes == 0) return;  // below an open transaction
  REQUIRE(node_.manager->claim_cleaning(name));
  CleaningOptions options;
  options.io_buffer_bytes = 600;
  REQUIRE(node_.run(node_.manager->clean(name, options)));
  REQUIRE(node_.run(node_.dirs->checkpoint_cleaner_offsets()).has_value());
}

void CrashHistory::flush(const Name& name) {
  REQUIRE(node_.run(node_.find(name)->flush()).has_value());
  at(name).flushed = at(name).end();
  at(name).alternatives.clear();
}

void CrashHistory::roll(const Name& name) { REQUIRE(node_.run(node_.find(name)->roll()).has_value()); }

// To the other directory, while records are appended and deleted.
void CrashHistory::move(const Name& name) {
  const std::size_t from = node_.manager->logs().at(name).directory;
  REQUIRE(node_.run(node_.manager->move(name, 1 - from)).has_value());
  append_everywhere(2);
  if (random_.chance(0.5)) delete_records(name);
  if (random_.chance(0.5)) checkpoint();
  append_everywhere(1);
  REQUIRE(node_.simulation.run_until([&] { return node_.manager->mover().moves().empty(); }));
  REQUIRE(node_.manager->logs().at(name).directory == 1 - from);
}

void CrashHistory::move_and_remove(const Name& name) {
  const std::size_t from = node_.manager->logs().at(name).directory;
  REQUIRE(node_.run(node_.manager->move(name, 1 - from)).has_value());
  remove(name);
}

void CrashHistory::checkpoint() {
  std::map<Name, std::int64_t> starts;
  for (const auto& [name, log] : model_.logs) starts[name] = node_.find(name)->log_start_offset();
  REQUIRE(node_.run(node_.dirs->checkpoint_recovery_points()).has_value());
  REQUIRE(node_.run(node_.dirs->checkpoint_log_starts()).has_value());
  for (auto& [name, log] : model_.logs) log.kept = std::max(log.kept, starts.at(name));
  REQUIRE(node_.run(node_.dirs->checkpoint_high_watermarks()).has_value());
}

// Cleanly, or by a kill that leaves what was not synced unsynced.
void CrashHistory::restart() {
  if (random_.chance(0.5)) {
    REQUIRE(node_.stop().empty());
    note_stop();
  } else {
    node_.kill();
    node_.node->restart();
  }
  REQUIRE(node_.start().empty());
  for (auto& [name, log] : model_.logs) {
    REQUIRE(node_.find(name) != nullptr);
    REQUIRE(node_.find(name)->log_end_offset() == log.end());
    node_.find(name)->set_high_watermark(log.end());
  }
}

// What is deleted with a delay goes.
void CrashHistory::wait() { node_.simulation.run_for(2s); }

std::vector<std::string> CrashHistory::go_on(CrashNode& node, StorageModel& model, std::uint64_t seed) {
  std::vector<std::string> problems;
  for (auto& [name, log_model] : model.logs) {
    const std::shared_ptr<Log> log = node.find(name);
    log->set_high_watermark(log->log_end_offset());
    const ModelBatch* last = nullptr;
    for (const ModelBatch& batch : log_model.batches) {
      if (batch.producer.id >= 0 && !batch.commit && batch.base >= log_model.start) last = &batch;
    }
    if (last != nullptr && !log_model.compacted) {
      Result<AppendInfo> info = node.run(log->append_as_leader(leader_append(last->bytes(), last->epoch)));
      if (!info || !info->duplicate || info->last_offset != last->end() - 1) {
        problems.push_back(fmt::format("{}: the retry of offset {} is not known: {}", name, last->base, why_of(info)));
      }
    }
    ModelBatch batch;
    batch.base = log->log_end_offset();
    batch.epoch = log->leader_epochs().latest().value_or(0);
    batch.producer = {.id = 900 + static_cast<std::int64_t>(seed % 50), .epoch = 0, .base_sequence = 0};
    batch.records = {{"key 1", "after " + std::to_string(seed), node.shard().wall_ms()},
                     {"key 2", "after " + std::to_string(seed), node.shard().wall_ms()}};
    Result<AppendInfo> info = node.run(log->append_as_leader(leader_append(batch.bytes(), batch.epoch)));
    Result<void> flushed = node.run(log->flush());
    if (!info || !flushed) {
      problems.push_back(fmt::format("{} does not take records: {} {}", name, why_of(info), why_of(flushed)));
      continue;
    }
    log_model.batches.push_back(batch);
    log_model.flushed = log_model.end();
  }
  return problems;
}

}  // namespace klamm::storage::test
