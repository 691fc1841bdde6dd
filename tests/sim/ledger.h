// What clients sent, what they were promised, and what was read back: the judge of a simulated run. Pure bookkeeping.
//
// The rules (topics without compaction, retention or transactions):
//   - what was never sent is not there, and nothing is in another partition than it was sent to
//   - offsets run from the log's start to its end without holes
//   - what a producer's settings promise of its records (Promise): an acknowledged one is in the log at the offset of
//     its acknowledgement, no record is there twice, the records of a partition are in the order of sending
//   - where nothing is flushed before it is acknowledged, a power cut may take the tail of each log, and nothing else:
//     an acknowledged record may be lost only with all that was behind it at the time
//   - what a reader saw while things broke is what the log says in the end, offset by offset
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "klamm/record.h"

namespace klamm::simtest {

// A record's name: who sent it, and its place among all that this producer sent.
struct RecordId {
  std::uint32_t producer = 0;
  std::uint32_t number = 0;
  std::string text() const;  // "2.17"
  friend auto operator<=>(const RecordId&, const RecordId&) = default;
};

// A value of `size` bytes (or a few more) that tells its record, and whether a byte of it is changed or missing.
std::string make_value(RecordId id, std::size_t size);
std::optional<RecordId> parse_value(std::string_view value);

// What a producer's settings promise. Default: those of an idempotent producer.
struct Promise {
  bool stored = true;   // what is acknowledged is in the log, at the offset of its acknowledgement (not with acks=0)
  bool once = true;     // no record is in the log twice (idempotent, or nothing is ever sent again)
  bool ordered = true;  // each partition has the records in the order of sending (idempotent)
  bool acknowledged_rises = true;  // the offsets of acknowledgements rise in the order of sending (also with one
                                   // request in flight)
  std::string text() const;
};

struct Reading {
  std::int64_t offset = -1;
  std::optional<RecordId> id;  // nothing: the value is no record's
  bool jumped = false;         // the reader had moved its position before it
};
// One reader's way through the partitions, in the order of reading.
using Readings = std::map<TopicPartition, std::vector<Reading>>;

// The offsets that the broker tells: of the first record, and after the last one.
struct Ends {
  std::int64_t start = 0;
  std::int64_t end = 0;
};

class Ledger {
 public:
  // Before the producer's first record; without it, all is promised.
  void promised(std::uint32_t producer, Promise promise) { promises_[producer] = promise; }
  // In the order of sending.
  void sent(RecordId id, const TopicPartition& partition);
  // `offset` -1: the broker did not tell.
  void acknowledged(RecordId id, std::int64_t offset, Instant when = {});
  void failed(RecordId id);
  // The broker's machine lost power, and logs may have lost their tails: what was stored before it is not promised to
  // be there. An acknowledgement tells of a record that was in the log at most `lag` before it came.
  void power_cut(Instant when) { cuts_.push_back(when); }
  void set_lag(Duration lag) { lag_ = lag; }

  std::size_t sent_count() const noexcept { return records_.size(); }
  std::size_t acknowledged_count() const noexcept { return acknowledged_; }
  std::size_t failed_count() const noexcept { return failed_; }
  std::size_t open_count() const noexcept { return records_.size() - acknowledged_ - failed_; }
  bool is_acknowledged(RecordId id) const;
  // Acknowledged, and promised to be where the acknowledgement says, exactly once and in order.
  bool is_certain(RecordId id) const;

  // One line for each rule broken by a whole reading of the log; at most `most`.
  std::vector<std::string> check(const Readings& log, const std::map<TopicPartition, Ends>& ends,
                                 std::size_t most = 5) const;
  // Acknowledged records that the log lost by right, in power cuts.
  std::size_t lost_by_right(const Readings& log) const;
  // What was read during the run, against the log that `check` has judged.
  static std::vector<std::string> compare(const Readings& live, const Readings& log, std::size_t most = 5);
  // The same where logs may have lost their tails meanwhile: all that was read was sent to that partition.
  std::vector<std::string> check_sightings(const Readings& live, std::size_t most = 5) const;
  // True if the reader has seen all that the log has.
  static bool covers(const Readings& live, const Readings& log);

 private:
  enum class Fate { open, acknowledged, failed };
  struct Sent {
    TopicPartition partition;
    Fate fate = Fate::open;
    std::int64_t offset = -1;
    Instant when;  // of the acknowledgement
  };
  struct Found {  // an acknowledged record with an offset, and whether the log has it there
    RecordId id;
    const Sent* record;
    bool is_there;
  };
  using Places = std::map<RecordId, std::vector<std::int64_t>>;
  class Complaints;

  Sent& find(RecordId id);
  Promise promise_of(std::uint32_t producer) const;
  Places check_partitions(const Readings& log, Complaints& complaints) const;
  void check_order(const TopicPartition& partition, const std::vector<Reading>& readings, Complaints& complaints) const;
  void check_acknowledged(const Places& places, Complaints& complaints) const;
  void check_losses(std::vector<Found>& stored, Complaints& complaints) const;
  bool cut_between(Instant from, Instant to) const;
  bool may_be_lost(const Sent& record) const { return cut_between({record.when.since_start - lag_}, Instant::never()); }

  std::map<RecordId, Sent> records_;
  std::map<std::uint32_t, Promise> promises_;
  std::vector<Instant> cuts_;
  Duration lag_{0};
  std::size_t acknowledged_ = 0;
  std::size_t failed_ = 0;
};

// A lie about the log to tell the judge, to see that it notices.
enum class Lie {
  none,
  lost,      // an acknowledged record is gone, and the log closed over it
  hole,      // the same, and its offset is missing
  twice,     // a record is there once more, at the end
  swapped,   // two neighbours of one producer have changed places
  stranger,  // a record that nobody sent, at the end
  changed,   // a record's content is not what was sent
};
std::optional<Lie> lie_named(std::string_view name);
// Makes it of records of which all is promised, chosen by `random`. False if the log has too few of them.
bool tell(Lie lie, const Ledger& ledger, Readings& log, std::map<TopicPartition, Ends>& ends, Random& random);

}  // namespace klamm::simtest
