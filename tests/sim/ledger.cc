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

// Collects complaints up to a bound.
class Complaints {
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

}  // namespace

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

// ---- the ledger ----

void Ledger::sent(RecordId id, const TopicPartition& partition) {
  const bool added = records_.emplace(id, Sent{partition}).second;
  KLAMM_CHECK(added, "a record sent twice by the workload: " + id.text());
}

Ledger::Sent& Ledger::find(RecordId id) {
  const auto found = records_.find(id);
  KLAMM_CHECK(found != records_.end() && found->second.fate == Fate::open,
              "an outcome for no open record: " + id.text());
  return found->second;
}

void Ledger::acknowledged(RecordId id, std::int64_t offset) {
  Sent& record = find(id);
  record.fate = Fate::acknowledged;
  record.offset = offset;
  ++acknowledged_;
}

bool Ledger::is_acknowledged(RecordId id) const {
  const auto found = records_.find(id);
  return found != records_.end() && found->second.fate == Fate::acknowledged;
}

void Ledger::failed(RecordId id) {
  find(id).fate = Fate::failed;
  ++failed_;
}

std::vector<std::string> Ledger::check(const Readings& log, const std::map<TopicPartition, Ends>& ends,
                                       std::size_t most) const {
  Complaints complaints(most);
  std::map<RecordId, std::int64_t> found;
  for (const auto& [partition, bounds] : ends) {
    const auto read = log.find(partition);
    const std::size_t count = read == log.end() ? 0 : read->second.size();
    if (bounds.start != 0) complaints.add("{} starts at offset {}, not 0", partition.text(), bounds.start);
    if (static_cast<std::int64_t>(count) != bounds.end) {
      complaints.add("{} ends at offset {}, but has {} records", partition.text(), bounds.end, count);
    }
  }
  for (const auto& [partition, readings] : log) {
    std::int64_t expected = 0;
    std::map<std::uint32_t, RecordId> last;  // of each producer
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
      const auto [first, once] = found.emplace(id, reading.offset);
      if (!once) {
        complaints.add("record {} is in {} twice: at offset {} and at {}", id.text(), partition.text(), first->second,
                       reading.offset);
        continue;
      }
      const auto [before, is_first] = last.emplace(id.producer, id);
      if (!is_first && id < before->second) {
        complaints.add("record {} comes after {} in {}, and was sent before it", id.text(), before->second.text(),
                       partition.text());
      }
      before->second = std::max(before->second, id);
    }
  }
  for (const auto& [id, record] : records_) {
    if (record.fate != Fate::acknowledged) continue;
    const auto read = found.find(id);
    if (read == found.end()) {
      complaints.add("record {}, acknowledged in {} at offset {}, is lost", id.text(), record.partition.text(),
                     record.offset);
    } else if (record.offset >= 0 && record.offset != read->second) {
      complaints.add("record {}, acknowledged in {} at offset {}, is at offset {}", id.text(), record.partition.text(),
                     record.offset, read->second);
    }
  }
  return complaints.take();
}

std::vector<std::string> Ledger::compare(const Readings& live, const Readings& log, std::size_t most) {
  Complaints complaints(most);
  const std::vector<Reading> nothing;
  for (const auto& [partition, readings] : live) {
    const auto known = log.find(partition);
    const std::vector<Reading>& truth = known == log.end() ? nothing : known->second;
    std::int64_t expected = 0;
    for (const Reading& reading : readings) {
      if (reading.offset != expected) {
        complaints.add("a reader of {} got offset {} where {} should be", partition.text(), reading.offset, expected);
      }
      expected = reading.offset + 1;
      const auto same = std::lower_bound(truth.begin(), truth.end(), reading.offset,
                                         [](const Reading& left, std::int64_t offset) { return left.offset < offset; });
      if (same == truth.end() || same->offset != reading.offset) {
        complaints.add("a reader of {} saw offset {}, which the log does not have", partition.text(), reading.offset);
      } else if (same->id != reading.id) {
        complaints.add("a reader of {} saw record {} at offset {}, where the log has {}", partition.text(),
                       name_of(reading), reading.offset, name_of(*same));
      }
    }
  }
  return complaints.take();
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

// Where a lie fits: two acknowledged neighbours of one producer.
bool fits(const Ledger& ledger, const Reading& left, const Reading& right) {
  return left.id && right.id && left.id->producer == right.id->producer && ledger.is_acknowledged(*left.id) &&
         ledger.is_acknowledged(*right.id);
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
    case Lie::twice: readings.push_back({end++, chosen.id}); break;
    case Lie::swapped: std::swap(chosen.id, readings[place.index + 1].id); break;
    case Lie::stranger: readings.push_back({end++, RecordId{chosen.id->producer, UINT32_MAX}}); break;
    case Lie::changed: chosen.id.reset(); break;
  }
  return true;
}

}  // namespace klamm::simtest
