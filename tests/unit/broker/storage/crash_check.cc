// What must hold of a node's storage after a loss of power.
#include <algorithm>

#include "tests/unit/broker/storage/crash_node.h"

namespace klamm::storage::test {

namespace {

std::int64_t end_of(const Timeline& timeline, std::int64_t begin) {
  return timeline.empty() ? begin : timeline.back().end();
}

Timeline cut(Timeline timeline, std::int64_t end) {
  while (!timeline.empty() && timeline.back().end() > end) timeline.pop_back();
  return timeline;
}

void erase_below(std::vector<Entry>& entries, std::int64_t offset) {
  std::erase_if(entries, [&](const Entry& entry) { return entry.offset < offset; });
}

class LogCheck {
 public:
  LogCheck(CrashNode& node, Log& log, const LogModel& model, std::vector<std::string>& problems)
      : node_(node),
        log_(log),
        model_(model),
        problems_(problems),
        start_(log.log_start_offset()),
        end_(log.log_end_offset()) {}

  // What the log holds, if it could be made out.
  std::optional<LogModel> run() {
    found_ = read_entries(node_, log_, problems_);
    check_bounds();
    if (!find_timeline()) return std::nullopt;
    log_.set_high_watermark(end_);
    check_committed();
    check_epochs();
    check_producers();
    check_lookups();
    LogModel now;
    now.id = model_.id;
    now.compacted = model_.compacted;
    now.batches = timeline_;
    now.begin = timeline_.empty() ? end_ : timeline_.front().base;
    now.start = begins_anew() ? start_ : std::max(start_, model_.start);
    now.kept = std::min(model_.kept, now.start);
    now.flushed = log_.recovery_point();
    if (model_.compacted) {  // what was lost in the middle is not promised any more
      std::set<std::int64_t> offsets;
      for (const Entry& entry : found_) offsets.insert(entry.offset);
      std::erase_if(now.batches, [&](const ModelBatch& batch) {
        const auto at = offsets.lower_bound(batch.base);
        return batch.end() > model_.flushed && (at == offsets.end() || *at >= batch.end());
      });
    }
    return now;
  }

 private:
  template <typename... Parts>
  void problem(fmt::format_string<Parts...> text, Parts&&... parts) {
    problems_.push_back(
        fmt::format("{} [{}, {}), promised [{}, {}): ", log_.partition(), start_, end_, model_.start, model_.flushed) +
        fmt::format(text, std::forward<Parts>(parts)...));
  }

  // It was being emptied, to go on elsewhere, and nothing is left of it.
  bool begins_anew() const { return found_.empty() && end_ < model_.start; }

  void check_bounds() {
    if (start_ > model_.start) problem("the log start has run ahead");
    if (start_ < model_.kept && !begins_anew()) problem("the log start was in a checkpoint as {}", model_.kept);
    if (model_.flushed > model_.start && end_ < model_.flushed) problem("what was on the disk is lost");
    if (log_.high_watermark() < start_ || log_.high_watermark() > end_) problem("a high watermark outside");
    if (log_.recovery_point() > end_) problem("a recovery point behind the end");
  }

  // Which of the histories that there may have been this is a prefix of.
  bool find_timeline() {
    std::vector<Timeline> all{model_.batches};
    if (model_.pending) all.front().push_back(*model_.pending);
    all.insert(all.end(), model_.alternatives.begin(), model_.alternatives.end());
    std::string why;
    for (const Timeline& timeline : all) {
      std::string differs = difference(timeline);
      if (differs.empty()) {
        timeline_ = cut(timeline, end_);
        return true;
      }
      if (why.empty()) why = std::move(differs);
    }
    problem("{}", why);
    return false;
  }

  std::string difference(const Timeline& timeline) const {
    if (end_ > std::max(end_of(timeline, model_.begin), start_)) {
      return fmt::format("more than was ever appended: {}", found_.empty() ? "" : found_.back().text());
    }
    std::vector<Entry> expected = entries_of(cut(timeline, end_));
    std::vector<Entry> found = found_;
    // What was deleted may come back in part; what comes back must have been there.
    const bool in_part = model_.compacted;
    for (const Entry& entry : found) {
      if (entry.offset >= model_.start && !in_part) break;
      if (std::find(expected.begin(), expected.end(), entry) == expected.end())
        return "never appended: " + entry.text();
    }
    if (in_part) return {};
    const std::int64_t from = std::max(start_, model_.start);
    erase_below(found, from);
    erase_below(expected, from);
    for (std::size_t i = 0; i < std::max(found.size(), expected.size()); ++i) {
      if (i == found.size()) return "missing: " + expected[i].text();
      if (i == expected.size()) return "too much: " + found[i].text();
      if (!(found[i] == expected[i])) return found[i].text() + " instead of " + expected[i].text();
    }
    return {};
  }

  void check_committed() {
    std::vector<Entry> seen = read_committed(node_, log_, problems_);
    std::vector<Entry> all = entries_of(timeline_);
    if (model_.compacted) return check_table(seen, all);
    const std::int64_t from = std::max(start_, model_.start);
    std::vector<Entry> expected = committed(all, end_);
    erase_below(all, start_);
    std::vector<Entry> of_the_rest = committed(all, end_);      // a transaction's begin may have been deleted
    std::vector<Entry> of_the_found = committed(found_, end_);  // or have come back in part only
    for (std::vector<Entry>* list : {&seen, &expected, &of_the_rest, &of_the_found}) erase_below(*list, from);
    if (seen == expected || seen == of_the_rest || (start_ < model_.start && seen == of_the_found)) return;
    const auto odd = std::mismatch(seen.begin(), seen.end(), expected.begin(), expected.end());
    problem("a reader of committed records sees {} where {} is; {} records up to {}, not {} up to {}",
            odd.first == seen.end() ? "the end" : odd.first->text(),
            odd.second == expected.end() ? "the end" : odd.second->text(), seen.size(),
            seen.empty() ? "" : seen.back().text(), expected.size(), expected.empty() ? "" : expected.back().text());
  }

  // Each key has the value that was promised or a later one; none if that was deleted with all before the log start. (A
  // step in the offsets of a compacted log tells nothing, so what was not promised may be lost in its middle.)
  void check_table(const std::vector<Entry>& seen, const std::vector<Entry>& all) {
    const std::map<std::string, std::string> table = table_of(seen);
    const std::int64_t promised_end = std::min(model_.flushed, end_);
    std::map<std::string, std::vector<std::optional<std::string>>> allowed;
    std::map<std::string, std::int64_t> promised;
    for (const Entry& entry : committed(cut_entries(all, promised_end), promised_end)) {
      allowed[entry.key] = {entry.value};
      if (entry.offset < model_.start) allowed[entry.key].push_back(std::nullopt);
      promised[entry.key] = entry.offset;
    }
    for (const Entry& entry : all) {
      if (entry.commit) continue;
      std::vector<std::optional<std::string>>& values = allowed[entry.key];
      const auto at = promised.find(entry.key);
      if (at == promised.end() && values.empty()) values.push_back(std::nullopt);
      if (at == promised.end() || entry.offset > at->second) values.push_back(entry.value);
    }
    for (const auto& [key, values] : allowed) {
      const auto at = table.find(key);
      const std::optional<std::string> value = at == table.end() ? std::nullopt : std::optional(at->second);
      if (std::find(values.begin(), values.end(), value) != values.end()) continue;
      return problem("{} has the value {}, which is older than what was promised", key, value.value_or("null"));
    }
  }
  static std::vector<Entry> cut_entries(std::vector<Entry> entries, std::int64_t end) {
    std::erase_if(entries, [&](const Entry& entry) { return entry.offset >= end; });
    return entries;
  }

  void check_epochs() {
    for (const Entry& entry : found_) {
      if (entry.offset < model_.start) continue;  // its epoch was deleted with it
      const std::optional<std::int32_t> epoch = log_.leader_epochs().epoch_at(entry.offset);
      if (epoch == entry.epoch) continue;
      return problem("{} is said to be of epoch {}", entry.text(), epoch ? std::to_string(*epoch) : "unknown");
    }
  }

  void check_producers() {
    std::map<std::int64_t, std::pair<std::int16_t, std::int32_t>> last;
    for (const ModelBatch& batch : timeline_) {
      if (batch.base < std::max(start_, model_.start) || batch.producer.id < 0 || batch.commit) continue;
      if (model_.compacted && batch.end() > model_.flushed) continue;
      last[batch.producer.id] = {batch.producer.epoch,
                                 batch.producer.base_sequence + static_cast<std::int32_t>(batch.count()) - 1};
    }
    for (const auto& [id, expected] : last) {
      const ProducerEntry* entry = log_.producers().find(id);
      if (entry == nullptr) {
        problem("producer {} is forgotten", id);
      } else if (model_.compacted ? entry->last_sequence() < expected.second
                                  : entry->epoch != expected.first || entry->last_sequence() != expected.second) {
        problem("producer {} is at {} of epoch {}, not at {} of {}", id, entry->last_sequence(), entry->epoch,
                expected.second, expected.first);
      }
    }
  }

  // Index files lead to the right places.
  void check_lookups() {
    Random random(static_cast<std::uint64_t>(end_) * 31 + found_.size());
    for (int i = 0; i < 3 && !found_.empty(); ++i) {
      const Entry& entry = found_[random.below(found_.size())];
      Result<FetchData> data =
          node_.run(log_.read({.offset = entry.offset, .max_bytes = 1, .isolation = FetchIsolation::log_end}));
      if (!data || data->first_batch_offset > entry.offset) problem("offset {} is not found", entry.offset);
      if (entry.commit || entry.offset < model_.start) continue;
      const auto first = std::find_if(found_.begin(), found_.end(), [&](const Entry& other) {
        return other.timestamp >= entry.timestamp && !other.commit && other.offset >= model_.start;
      });
      const auto found = node_.run(log_.offset_for_timestamp(entry.timestamp));
      if (!found || !found->has_value()) {
        problem("the time of {} is not found", entry.text());
      } else if ((*found)->offset > first->offset) {
        problem("the time of {} is found at {}", first->text(), (*found)->offset);
      }
    }
  }

  CrashNode& node_;
  Log& log_;
  const LogModel& model_;
  std::vector<std::string>& problems_;
  std::int64_t start_;
  std::int64_t end_;
  std::vector<Entry> found_;
  Timeline timeline_;
};

// A start leaves nothing of what was being deleted, compacted or split.
void check_names(CrashNode& node, std::vector<std::string>& problems) {
  for (const auto& [partition, entry] : node.manager->logs()) {
    Result<std::vector<std::string>> names = node.run(node.files().list(entry.log->directory()));
    if (!names) {
      problems.push_back(fmt::format("{}: its directory is not listed", partition));
      continue;
    }
    for (const std::string& name : *names) {
      if (name.ends_with(suffix::kCleaned) || name.ends_with(suffix::kSwap) || name.ends_with(suffix::kDeleted))
        problems.push_back(fmt::format("{}: {} was left", partition, name));
    }
  }
}

// Checkpoints never run ahead of the data.
void check_checkpoints(CrashNode& node, std::vector<std::string>& problems) {
  for (std::size_t i = 0; i < CrashNode::directories().size(); ++i) {
    for (std::string_view file : {kRecoveryPointFile, kCleanerFile}) {
      Result<OffsetCheckpoint> checkpoint =
          node.run(load_offset_checkpoint(node.files(), io::join_path(CrashNode::directories()[i], file)));
      if (!checkpoint) {
        problems.push_back(fmt::format("{}: {}", file, checkpoint.error().message()));
        continue;
      }
      for (const auto& [partition, offset] : *checkpoint) {
        const std::shared_ptr<Log> log = node.find(partition);
        if (log == nullptr || node.manager->logs().at(partition).directory != i) continue;
        if (offset <= log->log_end_offset()) continue;
        problems.push_back(
            fmt::format("{}: {} of {} is ahead of the log's end {}", file, offset, partition, log->log_end_offset()));
      }
    }
  }
}

}  // namespace

Checked check_storage(CrashNode& node, const StorageModel& model) {
  Checked checked;
  checked.model.removed = model.removed;
  check_names(node, checked.problems);
  // A move that ends changes the log start and the directory: what is compared stands still.
  if (!node.simulation.run_until([&] { return node.manager->mover().moves().empty(); }))
    checked.problems.push_back("a move does not end");
  for (const auto& [partition, log_model] : model.logs) {
    const std::shared_ptr<Log> log = node.find(partition);
    const bool promised = log_model.flushed > 0 && !log_model.removing;
    if (log == nullptr) {
      if (promised) checked.problems.push_back(fmt::format("{} is gone", partition));
      continue;
    }
    if (log->topic_id() != log_model.id) {
      // A directory that was about to be made, or to be made after another was deleted.
      const bool half_made = log->topic_id().is_zero() && log->log_end_offset() == 0;
      if (promised || !half_made) checked.problems.push_back(fmt::format("{} belongs to another topic", partition));
      continue;
    }
    std::optional<LogModel> now = LogCheck(node, *log, log_model, checked.problems).run();
    if (now) checked.model.logs[partition] = *std::move(now);
  }
  for (const auto& [partition, entry] : node.manager->logs()) {
    if (model.removed.contains(entry.log->topic_id())) {
      checked.problems.push_back(fmt::format("{} was deleted and is back", partition));
    }
  }
  check_checkpoints(node, checked.problems);
  return checked;
}

}  // namespace klamm::storage::test
