#include "ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/check.h"

namespace klamm::simtest {

namespace {

constexpr std::string_view kMark = "record ";
constexpr std::size_t kMostHead = 64;  // bytes before the padding, at most

// Bytes that follow from the record's name and nothing else.
std::string padding(RecordId id, std::size_t size) {
  Random random((std::uint64_t{id.producer} << 32) | id.number);
  std::string text(size, ' ');
  for (char& character : text) character = static_cast<char>('a' + random.below(26));
  return text;
}

std::string name_of(const Reading& reading) { return reading.id ? reading.id->text() : "of nobody"; }

}  // namespace

// Collects complaints up to a bound.
class Ledger::Complaints {
 public:
  explicit Complaints(std::size_t most) : most_(most) {}
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    if (lines_.size() < most_) lines_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  std::vector<std::string> take() { return std::move(lines_); }

 private:
  std::size_t most_;
  std::vector<std::string> lines_;
};

std::string RecordId::text() const { return fmt::format("{}.{}", producer, number); }

std::string make_value(RecordId id, std::size_t size) {
  std::string value = fmt::format("{}{} {} ", kMark, id.text(), size);
  // One value a record and length: a size that the head alone has reached is written as 0.
  if (value.size() >= size) return fmt::format("{}{} {} ", kMark, id.text(), 0);
  return value + padding(id, size - value.size());
}

std::optional<RecordId> parse_value(std::string_view value) {
  if (!value.starts_with(kMark)) return std::nullopt;
  const char* const end = value.data() + value.size();
  RecordId id;
  std::size_t size = 0;
  const auto producer = std::from_chars(value.data() + kMark.size(), end, id.producer);
  if (producer.ec != std::errc() || producer.ptr == end) return std::nullopt;
  const auto number = std::from_chars(producer.ptr + 1, end, id.number);
  if (number.ec != std::errc() || number.ptr == end) return std::nullopt;
  const auto wanted = std::from_chars(number.ptr + 1, end, size);
  if (wanted.ec != std::errc() || size > std::max<std::size_t>(value.size(), kMostHead)) return std::nullopt;
  return make_value(id, size) == value ? std::optional(id) : std::nullopt;
}

std::string Promise::text() const {
  return fmt::format("{}{}{}{}", stored ? "stored" : "perhaps stored", once ? ", once" : "",
                     ordered ? ", in order" : "", acknowledged_rises ? ", acknowledged in order" : "");
}

// ---- the ledger ----

void Ledger::sent(RecordId id, const TopicPartition& partition) {
  const bool added = records_.emplace(id, Sent{partition, Fate::open, -1, {}}).second;
  KLAMM_CHECK(added, "a record sent twice by the workload: " + id.text());
}

Ledger::Sent& Ledger::find(RecordId id) {
  const auto found = records_.find(id);
  KLAMM_CHECK(found != records_.end() && found->second.fate == Fate::open,
              "an outcome for no open record: " + id.text());
  return found->second;
}

void Ledger::acknowledged(RecordId id, std::int64_t offset, Instant when) {
  Sent& record = find(id);
  record.fate = Fate::acknowledged;
  record.offset = offset;
  record.when = when;
  ++acknowledged_;
}

bool Ledger::is_acknowledged(RecordId id) const {
  const auto found = records_.find(id);
  return found != records_.end() && found->second.fate == Fate::acknowledged;
}

Promise Ledger::promise_of(std::uint32_t producer) const {
  const auto found = promises_.find(producer);
  return found == promises_.end() ? Promise() : found->second;
}

bool Ledger::is_certain(RecordId id) const {
  if (!is_acknowledged(id)) return false;
  const Promise promise = promise_of(id.producer);
  return promise.stored && promise.once && promise.ordered && !may_be_lost(records_.at(id));
}

void Ledger::failed(RecordId id) {
  find(id).fate = Fate::failed;
  ++failed_;
}

bool Ledger::cut_between(Instant from, Instant to) const {
  return std::any_of(cuts_.begin(), cuts_.end(), [&](Instant cut) { return from <= cut && cut <= to; });
}

// ---- judging a log ----

std::vector<std::string> Ledger::check(const Readings& log, const std::map<TopicPartition, Ends>& ends,
                                       std::size_t most) const {
  Complaints complaints(most);
  for (const auto& [partition, bounds] : ends) {
    const auto read = log.find(partition);
    const std::size_t count = read == log.end() ? 0 : read->second.size();
    if (bounds.start != 0) complaints.add("{} starts at offset {}, not 0", partition.text(), bounds.start);
    if (static_cast<std::int64_t>(count) != bounds.end) {
      complaints.add("{} ends at offset {}, but has {} records", partition.text(), bounds.end, count);
    }
  }
  const Places places = check_partitions(log, complaints);
  check_acknowledged(places, complaints);
  return complaints.take();
}

// What each partition's readings say by themselves. Returns where each record is.
Ledger::Places Ledger::check_partitions(const Readings& log, Complaints& complaints) const {
  Places places;
  for (const auto& [partition, readings] : log) {
    std::int64_t expected = 0;
    for (const Reading& reading : readings) {
      if (reading.offset != expected) {
        complaints.add("{} has offset {} where {} should be", partition.text(), reading.offset, expected);
      }
      expected = reading.offset + 1;
      const auto sent = reading.id ? records_.find(*reading.id) : records_.end();
      if (sent == records_.end()) {
        complaints.add("{} offset {} is a record that nobody sent", partition.text(), reading.offset);
        continue;
      }
      const RecordId id = *reading.id;
      if (sent->second.partition != partition) {
        complaints.add("record {} was sent to {}, and is in {} at offset {}", id.text(), sent->second.partition.text(),
                       partition.text(), reading.offset);
      }
      std::vector<std::int64_t>& found = places[id];
      if (!found.empty() && promise_of(id.producer).once) {
        complaints.add("record {} is in {} twice: at offset {} and at {}", id.text(), partition.text(), found.front(),
                       reading.offset);
      }
      found.push_back(reading.offset);
    }
    check_order(partition, readings, complaints);
  }
  return places;
}

void Ledger::check_order(const TopicPartition& partition, const std::vector<Reading>& readings,
                         Complaints& complaints) const {
  std::map<std::uint32_t, RecordId> last;  // of each producer
  for (const Reading& reading : readings) {
    if (!reading.id || !records_.contains(*reading.id)) continue;
    const RecordId id = *reading.id;
    if (!promise_of(id.producer).ordered) continue;
    const auto [before, is_first] = last.emplace(id.producer, id);
    if (!is_first && id < before->second) {
      complaints.add("record {} comes after {} in {}, and was sent before it", id.text(), before->second.text(),
                     partition.text());
    }
    before->second = std::max(before->second, id);
  }
}

// What acknowledgements promised, against what is there.
void Ledger::check_acknowledged(const Places& places, Complaints& complaints) const {
  std::map<TopicPartition, std::vector<Found>> stored;
  std::map<std::pair<std::uint32_t, TopicPartition>, std::pair<RecordId, const Sent*>> last;
  for (const auto& [id, record] : records_) {
    if (record.fate != Fate::acknowledged) continue;
    const Promise promise = promise_of(id.producer);
    if (!promise.stored) continue;
    const auto read = places.find(id);
    const bool is_read = read != places.end();
    if (record.offset < 0) {
      if (!is_read && !may_be_lost(record)) {
        complaints.add("record {}, acknowledged in {} at offset -1, is lost", id.text(), record.partition.text());
      }
      continue;
    }
    const bool is_there =
        is_read && std::find(read->second.begin(), read->second.end(), record.offset) != read->second.end();
    if (is_read && !is_there && promise.once) {
      complaints.add("record {}, acknowledged in {} at offset {}, is at offset {}", id.text(), record.partition.text(),
                     record.offset, read->second.front());
    }
    stored[record.partition].push_back({id, &record, is_there || (is_read && promise.once)});
    if (!promise.acknowledged_rises) continue;
    auto& before = last[{id.producer, record.partition}];
    if (before.second != nullptr && record.offset <= before.second->offset &&
        !cut_between({std::min(before.second->when, record.when).since_start - lag_},
                     std::max(before.second->when, record.when))) {
      complaints.add("record {} was acknowledged in {} at offset {}, and {}, sent after it, at offset {}",
                     before.first.text(), record.partition.text(), before.second->offset, id.text(), record.offset);
    }
    before = {id, &record};
  }
  for (auto& [partition, found] : stored) check_losses(found, complaints);
}

// A power cut takes the end of a log: what is lost, is lost with all that was behind it when it was there.
void Ledger::check_losses(std::vector<Found>& stored, Complaints& complaints) const {
  std::sort(stored.begin(), stored.end(),
            [](const Found& left, const Found& right) { return left.record->offset < right.record->offset; });
  for (std::size_t index = 0; index < stored.size(); ++index) {
    const Found& lost = stored[index];
    if (lost.is_there) continue;
    const Sent& record = *lost.record;
    if (!may_be_lost(record)) {
      complaints.add("record {}, acknowledged in {} at offset {}, is lost", lost.id.text(), record.partition.text(),
                     record.offset);
      continue;
    }
    for (std::size_t behind = index + 1; behind < stored.size(); ++behind) {
      const Found& other = stored[behind];
      if (!other.is_there || other.record->offset == record.offset) continue;
      if (cut_between({std::min(other.record->when, record.when).since_start - lag_},
                      std::max(other.record->when, record.when)))
        continue;
      complaints.add("record {}, acknowledged in {} at offset {}, is lost, but not {} behind it at offset {}",
                     lost.id.text(), record.partition.text(), record.offset, other.id.text(), other.record->offset);
      break;
    }
  }
}

std::size_t Ledger::lost_by_right(const Readings& log) const {
  std::map<RecordId, bool> read;
  for (const auto& [partition, readings] : log) {
    for (const Reading& reading : readings) {
      if (reading.id) read[*reading.id] = true;
    }
  }
  std::size_t lost = 0;
  for (const auto& [id, record] : records_) {
    if (record.fate == Fate::acknowledged && may_be_lost(record) && !read.contains(id)) ++lost;
  }
  return lost;
}

// ---- judging a reader ----

namespace {

// The log's reading at an offset; null if it has none.
const Reading* at_offset(const std::vector<Reading>& log, std::int64_t offset) {
  const auto found = std::lower_bound(log.begin(), log.end(), offset,
                                      [](const Reading& left, std::int64_t wanted) { return left.offset < wanted; });
  return found == log.end() || found->offset != offset ? nullptr : &*found;
}

const std::vector<Reading>& of_partition(const Readings& readings, const TopicPartition& partition) {
  static const std::vector<Reading> nothing;
  const auto found = readings.find(partition);
  return found == readings.end() ? nothing : found->second;
}

}  // namespace

std::vector<std::string> Ledger::compare(const Readings& live, const Readings& log, std::size_t most) {
  Complaints complaints(most);
  for (const auto& [partition, readings] : live) {
    const std::vector<Reading>& truth = of_partition(log, partition);
    std::int64_t expected = 0;
    for (const Reading& reading : readings) {
      if (reading.offset != expected && !reading.jumped) {
        complaints.add("a reader of {} got offset {} where {} should be", partition.text(), reading.offset, expected);
      }
      expected = reading.offset + 1;
      const Reading* same = at_offset(truth, reading.offset);
      if (same == nullptr) {
        complaints.add("a reader of {} saw offset {}, which the log does not have", partition.text(), reading.offset);
      } else if (same->id != reading.id) {
        complaints.add("a reader of {} saw record {} at offset {}, where the log has {}", partition.text(),
                       name_of(reading), reading.offset, name_of(*same));
      }
    }
  }
  return complaints.take();
}

std::vector<std::string> Ledger::check_sightings(const Readings& live, std::size_t most) const {
  Complaints complaints(most);
  for (const auto& [partition, readings] : live) {
    for (const Reading& reading : readings) {
      const auto sent = reading.id ? records_.find(*reading.id) : records_.end();
      if (sent == records_.end()) {
        complaints.add("a reader of {} saw at offset {} a record that nobody sent", partition.text(), reading.offset);
      } else if (sent->second.partition != partition) {
        complaints.add("a reader of {} saw at offset {} record {}, which was sent to {}", partition.text(),
                       reading.offset, reading.id->text(), sent->second.partition.text());
      }
    }
  }
  return complaints.take();
}

bool Ledger::covers(const Readings& live, const Readings& log) {
  for (const auto& [partition, readings] : log) {
    std::map<std::int64_t, RecordId> missing;
    for (const Reading& reading : readings) {
      if (reading.id) missing.emplace(reading.offset, *reading.id);
    }
    for (const Reading& reading : of_partition(live, partition)) {
      const auto found = missing.find(reading.offset);
      if (found != missing.end() && reading.id == found->second) missing.erase(found);
    }
    if (!missing.empty()) return false;
  }
  return true;
}

// ---- lies ----

std::optional<Lie> lie_named(std::string_view name) {
  constexpr std::array kNames{
      std::pair{std::string_view("lost"), Lie::lost},         std::pair{std::string_view("hole"), Lie::hole},
      std::pair{std::string_view("twice"), Lie::twice},       std::pair{std::string_view("swapped"), Lie::swapped},
      std::pair{std::string_view("stranger"), Lie::stranger}, std::pair{std::string_view("changed"), Lie::changed},
  };
  for (const auto& [known, lie] : kNames) {
    if (known == name) return lie;
  }
  return std::nullopt;
}

namespace {

// Where a lie fits: two neighbours of one producer of which all is promised.
bool fits(const Ledger& ledger, const Reading& left, const Reading& right) {
  return left.id && right.id && left.id->producer == right.id->producer && ledger.is_certain(*left.id) &&
         ledger.is_certain(*right.id);
}

}  // namespace

bool tell(Lie lie, const Ledger& ledger, Readings& log, std::map<TopicPartition, Ends>& ends, Random& random) {
  if (lie == Lie::none) return true;
  struct Place {
    TopicPartition partition;
    std::size_t index;
  };
  std::vector<Place> places;
  for (const auto& [partition, readings] : log) {
    for (std::size_t index = 0; index + 1 < readings.size(); ++index) {
      if (fits(ledger, readings[index], readings[index + 1])) places.push_back({partition, index});
    }
  }
  if (places.empty()) return false;
  const Place& place = places[random.below(places.size())];
  std::vector<Reading>& readings = log[place.partition];
  Reading& chosen = readings[place.index];
  std::int64_t& end = ends[place.partition].end;
  switch (lie) {
    case Lie::none: break;
    case Lie::lost:
    case Lie::hole:
      readings.erase(readings.begin() + static_cast<std::ptrdiff_t>(place.index));
      if (lie == Lie::hole) break;
      for (std::size_t index = place.index; index < readings.size(); ++index) --readings[index].offset;
      --end;
      break;
    case Lie::twice: readings.push_back({end++, chosen.id, false}); break;
    case Lie::swapped: std::swap(chosen.id, readings[place.index + 1].id); break;
    case Lie::stranger: readings.push_back({end++, RecordId{chosen.id->producer, UINT32_MAX}, false}); break;
    case Lie::changed: chosen.id.reset(); break;
  }
  return true;
}

}  // namespace klamm::simtest
