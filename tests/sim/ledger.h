// What clients sent, what they were promised, and what was read back: the judge of a simulated run. Pure bookkeeping.
//
// The rules (a topic without compaction, retention or transactions; idempotent producers):
//   - an acknowledged record is in the log exactly once, at the offset of its acknowledgement, with its content
//   - any other record that was sent is there at most once; what was never sent is not there
//   - the records of one producer in one partition are in the order in which it sent them
//   - offsets run from the log's start to its end without holes
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

struct Reading {
  std::int64_t offset = -1;
  std::optional<RecordId> id;  // nothing: the value is no record's
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
  // In the order of sending.
  void sent(RecordId id, const TopicPartition& partition);
  // `offset` -1: the broker did not tell.
  void acknowledged(RecordId id, std::int64_t offset);
  void failed(RecordId id);

  std::size_t sent_count() const noexcept { return records_.size(); }
  std::size_t acknowledged_count() const noexcept { return acknowledged_; }
  std::size_t failed_count() const noexcept { return failed_; }
  std::size_t open_count() const noexcept { return records_.size() - acknowledged_ - failed_; }
  bool is_acknowledged(RecordId id) const;

  // One line for each rule broken by a whole reading of the log; at most `most`.
  std::vector<std::string> check(const Readings& log, const std::map<TopicPartition, Ends>& ends,
                                 std::size_t most = 5) const;
  // The same for what was read during the run, against the log that `check` has judged.
  static std::vector<std::string> compare(const Readings& live, const Readings& log, std::size_t most = 5);

 private:
  enum class Fate { open, acknowledged, failed };
  struct Sent {
    TopicPartition partition;
    Fate fate = Fate::open;
    std::int64_t offset = -1;
  };
  Sent& find(RecordId id);

  std::map<RecordId, Sent> records_;
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
// Makes it of acknowledged records, chosen by `random`. False if the log has too few of them.
bool tell(Lie lie, const Ledger& ledger, Readings& log, std::map<TopicPartition, Ends>& ends, Random& random);

}  // namespace klamm::simtest
