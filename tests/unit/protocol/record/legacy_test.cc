#include "protocol/record/legacy.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "protocol/record/crc32c.h"
#include "tests/unit/protocol/compress/samples.h"
#include "tests/unit/protocol/record/random_records.h"

using namespace klamm;
using namespace klamm::record;
using klamm::compress::from_hex;
using klamm::compress::to_hex;

namespace {

constexpr std::size_t kEnough = 1 << 20;

template <typename Int>
void put(std::string& to, Int value) {
  std::byte bytes[sizeof value];
  store_big_endian(bytes, value);
  to += as_text(bytes);
}
void put_sized(std::string& to, const std::optional<std::string>& field) {
  put(to, field ? static_cast<std::int32_t>(field->size()) : std::int32_t{-1});
  if (field) to += *field;
}

// One entry of magic 0 or 1.
std::string message(int magic, std::int64_t offset, int attributes, TimestampMs timestamp,
                    const std::optional<std::string>& key, const std::optional<std::string>& value) {
  std::string body{static_cast<char>(magic), static_cast<char>(attributes)};
  if (magic == 1) put(body, timestamp);
  put_sized(body, key);
  put_sized(body, value);
  std::string entry;
  put(entry, offset);
  put(entry, static_cast<std::int32_t>(body.size() + 4));
  put(entry, crc32_ieee(as_bytes(body)));
  return entry + body;
}

std::string wrapper(int magic, std::int64_t offset, Compression codec, TimestampMs timestamp, const std::string& inner,
                    int more_attributes = 0) {
  Codecs codecs;
  const Slice packed = *codecs.compress(codec, compress::standard_level(codec), as_bytes(inner));
  return message(magic, offset, static_cast<int>(codec) | more_attributes, timestamp, std::nullopt,
                 std::string(packed.text()));
}

struct Read {
  std::int64_t offset;
  TimestampMs timestamp;
  std::optional<std::string> key;
  std::optional<std::string> value;
  friend bool operator==(const Read&, const Read&) = default;
};

Result<std::vector<Read>> read_entry(const std::string& entry, std::size_t limit = kEnough) {
  Codecs codecs;
  Result<LegacyIterator> records = LegacyIterator::open(Slice::copy(entry), codecs, limit);
  KLAMM_TRY(records);
  std::vector<Read> read;
  for (RecordView record; records->next(record);) {
    read.push_back({record.offset, record.timestamp, owned(record.key), owned(record.value)});
  }
  Result<void> status = records->status();
  KLAMM_TRY(status);
  CHECK(records->first_offset() == read.front().offset);
  CHECK(records->last_offset() == read.back().offset);
  return read;
}

}  // namespace

TEST_CASE("a message of magic 0 and one of magic 1 have the layout of old") {
  // Written out by hand: offset 5, size, CRC, magic, attributes, (timestamp,) key "k", value "val".
  const std::string magic_0 = message(0, 5, 0, 0, "k", "val");
  CHECK(to_hex(as_bytes(magic_0)).substr(0, 24) ==
        "0000000000000005"
        "00000012");
  CHECK(to_hex(as_bytes(magic_0)).substr(32) ==
        "00"
        "00"
        "00000001"
        "6b"
        "00000003"
        "76616c");
  CHECK((read_entry(magic_0).value() == std::vector<Read>{{5, -1, "k", "val"}}));
  const std::string magic_1 = message(1, 6, 0, 1234, std::nullopt, "val");
  CHECK(to_hex(as_bytes(magic_1)).substr(32) ==
        "01"
        "00"
        "00000000000004d2"
        "ffffffff"
        "00000003"
        "76616c");
  CHECK((read_entry(magic_1).value() == std::vector<Read>{{6, 1234, std::nullopt, "val"}}));
  CHECK((read_entry(message(1, 7, 8, 99, "", std::nullopt)).value() == std::vector<Read>{{7, 99, "", std::nullopt}}));
}

TEST_CASE("the CRC of a fixed message is the one of the standard polynomial") {
  // The body is "00 00 ffffffff ffffffff"; the CRC was computed with zlib.
  const std::string entry = message(0, 0, 0, 0, std::nullopt, std::nullopt);
  CHECK(entry.size() == kLogOverhead + kLegacyOverheadMagic0);
  CHECK(message(1, 0, 0, 0, std::nullopt, std::nullopt).size() == kLogOverhead + kLegacyOverheadMagic1);
  CHECK(LegacyView::parse(Slice::copy(entry))->check_crc().has_value());
  CHECK(to_hex(as_bytes(entry)).substr(24, 8) == "a7ec6803");
}

TEST_CASE("wrappers of magic 0 hold absolute offsets") {
  const std::string inner =
      message(0, 20, 0, 0, "a", "1") + message(0, 21, 0, 0, "b", "2") + message(0, 25, 0, 0, "c", "3");
  for (Compression codec : {Compression::gzip, Compression::snappy, Compression::lz4}) {
    CHECK((read_entry(wrapper(0, 25, codec, 0, inner)).value() ==
           std::vector<Read>{{20, -1, "a", "1"}, {21, -1, "b", "2"}, {25, -1, "c", "3"}}));
  }
}

TEST_CASE("wrappers of magic 1 hold relative offsets and name the last one") {
  const std::string inner =
      message(1, 0, 0, 10, "a", "1") + message(1, 1, 0, 30, "b", "2") + message(1, 2, 0, 20, "c", "3");
  for (Compression codec : {Compression::gzip, Compression::snappy, Compression::lz4}) {
    CHECK((read_entry(wrapper(1, 102, codec, 30, inner)).value() ==
           std::vector<Read>{{100, 10, "a", "1"}, {101, 30, "b", "2"}, {102, 20, "c", "3"}}));
    // Log append time on the wrapper holds for all.
    CHECK((read_entry(wrapper(1, 102, codec, 555, inner, 8)).value() ==
           std::vector<Read>{{100, 555, "a", "1"}, {101, 555, "b", "2"}, {102, 555, "c", "3"}}));
  }
  // After compaction: what is left keeps its place.
  const std::string thinned = message(1, 1, 0, 30, "b", "2") + message(1, 4, 0, 20, "c", "3");
  CHECK((read_entry(wrapper(1, 104, Compression::gzip, 30, thinned)).value() ==
         std::vector<Read>{{101, 30, "b", "2"}, {104, 20, "c", "3"}}));
}

TEST_CASE("the wrong lz4 header checksum of old writers is passed over in magic 0 only") {
  for (int magic : {0, 1}) {
    Codecs codecs;
    std::string packed(codecs.compress(Compression::lz4, 9, as_bytes(message(magic, 0, 0, 1, "a", "1")))->text());
    packed[6] = static_cast<char>(packed[6] ^ 0x55);
    const std::string entry = message(magic, 0, 3, 1, std::nullopt, packed);
    if (magic == 0) CHECK(read_entry(entry).has_value());
    if (magic == 1) CHECK(read_entry(entry).error() == Errc::malformed);
  }
}

TEST_CASE("old and new entries are walked together") {
  const std::string set = message(0, 1, 0, 0, "a", "1") + message(1, 2, 0, 7, "b", "2");
  BatchCursor cursor(Slice::copy(set));
  REQUIRE(cursor.next());
  CHECK(cursor.magic() == 0);
  CHECK(cursor.batch().error() == Errc::malformed);
  REQUIRE(cursor.next());
  CHECK(cursor.magic() == 1);
  CHECK(cursor.head().offset == 2);
  CHECK_FALSE(cursor.next());
  CHECK(cursor.tail() == EntryStatus::whole);
}

TEST_CASE("broken messages and wrappers are refused") {
  const std::string good = message(1, 3, 0, 5, "key", "value");
  for (std::size_t position = kLogOverhead; position < good.size(); ++position) {
    std::string broken = good;
    broken[position] = static_cast<char>(broken[position] ^ 0x20);
    CHECK_FALSE(read_entry(broken).has_value());
  }
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK(read_entry(good.substr(0, size)).error() == Errc::malformed);
  std::string crc = good;
  crc.back() = 'X';
  CHECK(read_entry(crc).error() == Errc::checksum_mismatch);

  const std::string inner = message(1, 0, 0, 5, "a", "1");
  CHECK(read_entry(wrapper(1, 0, Compression::gzip, 5, inner)).has_value());
  CHECK(read_entry(wrapper(1, 0, Compression::gzip, 5, "")).error() == Errc::malformed);
  CHECK(read_entry(wrapper(1, 0, Compression::gzip, 5, inner + inner.substr(0, 20))).error() == Errc::malformed);
  CHECK(read_entry(wrapper(0, 0, Compression::gzip, 5, inner)).error() == Errc::malformed);
  CHECK(read_entry(wrapper(1, 0, Compression::gzip, 5, wrapper(1, 0, Compression::gzip, 5, inner))).error() ==
        Errc::malformed);
  CHECK(read_entry(message(1, 0, 1, 5, std::nullopt, std::nullopt)).error() == Errc::malformed);
  CHECK(read_entry(message(1, 0, 4, 5, std::nullopt, "zstd")).error() == Errc::unsupported);
  CHECK(read_entry(message(1, 0, 6, 5, std::nullopt, "what")).error() == Errc::unsupported);
  std::string bad_inner = inner;
  bad_inner.back() = '2';
  CHECK(read_entry(wrapper(1, 0, Compression::snappy, 5, bad_inner)).error() == Errc::checksum_mismatch);
  CHECK(read_entry(wrapper(1, 0, Compression::gzip, 5, message(1, 0, 0, 5, "a", std::string(100000, 'x'))), 50000)
            .error() == Errc::too_large);
}
