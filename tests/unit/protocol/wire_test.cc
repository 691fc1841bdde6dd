#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "protocol/wire/reader.h"
#include "protocol/wire/size.h"
#include "protocol/wire/writer.h"

namespace klamm::wire {
namespace {

Slice bytes_of(std::initializer_list<int> values) {
  std::string bytes;
  for (const int value : values) bytes += static_cast<char>(value);
  return Slice::copy(bytes);
}

template <typename Value, typename Write, typename Read>
void round_trip(const std::vector<Value>& values, Write write, Read read) {
  for (const Value value : values) {
    CAPTURE(value);
    Writer writer(write(static_cast<Writer*>(nullptr), value));
    write(&writer, value);
    Reader reader(writer.take_slice());
    CHECK(read(reader) == value);
    CHECK(reader.finish().has_value());
  }
}

}  // namespace

TEST_CASE("varints read back at every length, and their sizes are exact") {
  std::vector<std::int64_t> longs = {
      0, 1, -1, 63, 64, -64, -65, std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()};
  std::vector<std::int32_t> ints = {0, 1, -1, std::numeric_limits<std::int32_t>::max(),
                                    std::numeric_limits<std::int32_t>::min()};
  std::vector<std::uint64_t> unsigned_longs = {0, 127, 128, ~std::uint64_t{0}};
  std::vector<std::uint32_t> unsigned_ints = {0, 127, 128, ~std::uint32_t{0}};
  Random random(1);
  for (int bits = 0; bits < 64; ++bits) {
    unsigned_longs.push_back(random.next() >> bits);
    longs.push_back(static_cast<std::int64_t>(random.next()) >> bits);
    unsigned_ints.push_back(static_cast<std::uint32_t>(random.next() >> (bits / 2 + 32)));
    ints.push_back(static_cast<std::int32_t>(random.next()) >> (bits / 2));
  }
  round_trip(
      longs,
      [](Writer* writer, std::int64_t value) {
        if (writer) writer->write_varlong(value);
        return size_of_varlong(value);
      },
      [](Reader& reader) { return reader.read_varlong(); });
  round_trip(
      ints,
      [](Writer* writer, std::int32_t value) {
        if (writer) writer->write_varint(value);
        return size_of_varint(value);
      },
      [](Reader& reader) { return reader.read_varint(); });
  round_trip(
      unsigned_longs,
      [](Writer* writer, std::uint64_t value) {
        if (writer) writer->write_uvarint(value);
        return size_of_uvarint(value);
      },
      [](Reader& reader) { return reader.read_uvarlong(); });
  round_trip(
      unsigned_ints,
      [](Writer* writer, std::uint32_t value) {
        if (writer) writer->write_uvarint(value);
        return size_of_uvarint(value);
      },
      [](Reader& reader) { return reader.read_uvarint(); });
}

TEST_CASE("varints that are too long for their type are faults") {
  Reader too_wide(bytes_of({0xff, 0xff, 0xff, 0xff, 0x10}));
  too_wide.read_uvarint();
  CHECK(!too_wide.ok());
  Reader too_long(bytes_of({0x80, 0x80, 0x80, 0x80, 0x80, 0x00}));
  too_long.read_uvarint();
  CHECK(!too_long.ok());
  Reader wide64(bytes_of({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}));
  wide64.read_uvarlong();
  CHECK(!wide64.ok());
  Reader unfinished(bytes_of({0x80}));
  unfinished.read_uvarint();
  CHECK(!unfinished.ok());
}

TEST_CASE("fixed-width values are big-endian") {
  Writer writer(1 + 2 + 4 + 8 + 8 + 16);
  writer.write_bool(true);
  writer.write_int16(-2);
  writer.write_uint32(0x01020304);
  writer.write_int64(5);
  writer.write_float64(1.5);
  writer.write_uuid({1, 2});
  const Slice bytes = writer.take_slice();
  CHECK(bytes[1] == std::byte{0xff});
  CHECK(bytes[3] == std::byte{1});
  Reader reader(bytes);
  CHECK(reader.read_bool());
  CHECK(reader.read_int16() == -2);
  CHECK(reader.read_uint32() == 0x01020304);
  CHECK(reader.read_int64() == 5);
  CHECK(reader.read_float64() == 1.5);
  CHECK(reader.read_uuid() == Uuid{1, 2});
  CHECK(reader.finish().has_value());
}

TEST_CASE("the first fault sticks, and every read after it gives a default") {
  Reader reader(bytes_of({0, 1, 2}));
  CHECK(reader.read_int16() == 1);
  CHECK(reader.read_int32() == 0);
  CHECK(!reader.ok());
  CHECK(reader.read_int8() == 0);
  CHECK(reader.read_string(true).empty());
  CHECK(reader.read_bytes(false).empty());
  CHECK(reader.read_array<std::int32_t>(true).empty());
  CHECK(reader.remaining() == 0);
  reader.fail("a later fault");
  const Result<void> status = reader.finish();
  REQUIRE(!status.has_value());
  CHECK(status.error() == Errc::malformed);
  CHECK(status.error().context() == "the bytes end too early (at byte 2 of 3)");
}

TEST_CASE("bytes left over are a fault of finish alone") {
  Reader reader(bytes_of({1, 2}));
  reader.read_int8();
  CHECK(reader.status().has_value());
  CHECK(!reader.finish().has_value());
}

TEST_CASE("hostile lengths are faults and reserve nothing") {
  for (const bool flexible : {false, true}) {
    CAPTURE(flexible);
    // The largest length that fits, with two bytes behind it.
    const Slice huge =
        flexible ? bytes_of({0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2}) : bytes_of({0x7f, 0xff, 0xff, 0xff, 1, 2});
    const Slice huge_text = flexible ? huge : bytes_of({0x7f, 0xff, 1, 2});
    Reader text(huge_text);
    CHECK(text.read_string(flexible).capacity() < 64);
    CHECK(!text.ok());
    Reader blob(huge);
    CHECK(blob.read_bytes(flexible).empty());
    CHECK(!blob.ok());
    Reader numbers(huge);
    CHECK(numbers.read_array<std::int64_t>(flexible).capacity() == 0);
    CHECK(!numbers.ok());
    Reader texts(huge);
    CHECK(texts.read_nullable_array<std::string>(flexible)->capacity() < 4);
    CHECK(!texts.ok());
    Reader structs(huge);
    CHECK(structs.read_count(flexible, 1) == 0);
    CHECK(!structs.ok());
  }
}

TEST_CASE("memory reserved for an array does not exceed the bytes that are left") {
  // 40 strings of one byte each could follow; a string object takes more than that.
  Reader reader(Slice::copy(std::string(1, 41) + std::string(40, 1)));
  const std::size_t count = reader.read_count(true, 1);
  CHECK(count == 40);
  CHECK(reader.reservable(count, 32) == 2);
  CHECK(reader.reservable(1, 32) == 1);
}

TEST_CASE("negative lengths other than null are faults") {
  Reader text(bytes_of({0xff, 0xfe}));
  CHECK(!text.read_nullable_string(false).value_or("").size());
  CHECK(!text.ok());
  Reader array(bytes_of({0xff, 0xff, 0xff, 0xfe}));
  array.read_nullable_count(false, 4);
  CHECK(!array.ok());
}

TEST_CASE("null is a fault where it is not asked for") {
  for (const bool flexible : {false, true}) {
    const Slice null = flexible ? bytes_of({0}) : bytes_of({0xff, 0xff, 0xff, 0xff});
    Reader nullable(null);
    CHECK(!nullable.read_nullable_bytes(flexible).has_value());
    CHECK(nullable.finish().has_value());
    Reader needed(null);
    needed.read_bytes(flexible);
    CHECK(!needed.ok());
    Reader text(null);
    text.read_string(flexible);
    CHECK(!text.ok());
    Reader count(null);
    count.read_count(flexible, 1);
    CHECK(!count.ok());
    Reader records(null);
    CHECK(records.read_nullable_records(flexible).is_null());
  }
}

TEST_CASE("strings over 32767 bytes are faults in the compact form too") {
  Reader reader(Slice::copy(std::string("\x81\x80\x02", 3) + std::string(40000, 'x')));  // 32768 + 1
  reader.read_string(true);
  CHECK(!reader.ok());
}

TEST_CASE("sub-slices share the frame's buffer") {
  const Slice frame = bytes_of({3, 'a', 'b', 'c'});
  Reader reader(frame);
  const Slice part = reader.read_bytes(true);  // length + 1 = 3
  CHECK(part.text() == "ab");
  CHECK(part.data() == frame.data() + 1);
}

TEST_CASE("unknown tagged fields are kept in order, and refused out of order") {
  Reader good(bytes_of({2, 4, 1, 'x', 9, 0}));
  UnknownTags tags;
  good.read_unknown_tags(tags);
  CHECK(good.finish().has_value());
  REQUIRE(tags.size() == 2);
  CHECK(tags[0].tag == 4);
  CHECK(tags[0].value.text() == "x");
  CHECK(size_of(tags) == 5);
  for (const int second : {4, 3}) {
    Reader bad(bytes_of({2, 4, 0, second, 0}));
    UnknownTags into;
    bad.read_unknown_tags(into);
    CHECK(!bad.ok());
  }
  Reader many(bytes_of({100, 1, 0}));
  UnknownTags none;
  many.read_unknown_tags(none);
  CHECK(!many.ok());
}

TEST_CASE("records compare by their bytes and join without file regions") {
  CHECK(Records().is_null());
  CHECK(!(Records() == Records(Slice())));
  const Records joined(io::Pieces{Slice::copy("ab"), Slice::copy("c")});
  CHECK(joined == Records(Slice::copy("abc")));
  CHECK(joined.slice().text() == "abc");
  CHECK(!joined.is_single());
  const Records file(io::Pieces{io::FileRegion{nullptr, 0, 3}});
  CHECK(!(file == joined));
  CHECK(file == file);
  CHECK(!file.in_memory());
  CHECK(file.size() == 3);
}

TEST_CASE("what was written reads back in both forms") {
  for (const bool flexible : {false, true}) {
    const std::optional<std::string> none;
    const std::vector<std::int32_t> numbers = {1, -2, 3};
    const std::vector<std::string> texts = {"", "two"};
    const std::optional<std::vector<Uuid>> uuids = std::vector<Uuid>{{1, 2}};
    const Slice blob = Slice::copy("blob");
    const std::size_t bytes = size_of(none, flexible) + size_of(std::string("text"), flexible) +
                              size_of(blob, flexible) + size_of_fixed(numbers, flexible) + size_of(texts, flexible) +
                              size_of_fixed(uuids, flexible) + size_of(Records(blob), flexible);
    Writer writer(bytes, RecordsMode::copy);
    writer.write_string(none, flexible);
    writer.write_string(std::string("text"), flexible);
    writer.write_bytes(blob, flexible);
    writer.write_array(numbers, flexible);
    writer.write_array(texts, flexible);
    writer.write_array(uuids, flexible);
    writer.write_records(blob, flexible);
    Reader reader(writer.take_slice());
    CHECK(!reader.read_nullable_string(flexible).has_value());
    CHECK(reader.read_string(flexible) == "text");
    CHECK(reader.read_bytes(flexible) == blob);
    CHECK(reader.read_array<std::int32_t>(flexible) == numbers);
    CHECK(reader.read_array<std::string>(flexible) == texts);
    CHECK(reader.read_nullable_array<Uuid>(flexible) == uuids);
    CHECK(reader.read_records(flexible) == Records(blob));
    CHECK(reader.finish().has_value());
  }
}

}  // namespace klamm::wire
