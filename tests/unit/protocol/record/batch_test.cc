#include "protocol/record/batch.h"

#include <doctest/doctest.h>

#include <string>

#include "protocol/record/batch_builder.h"
#include "protocol/record/control.h"
#include "protocol/record/crc32c.h"
#include "protocol/record/varint.h"
#include "tests/unit/protocol/compress/samples.h"

using namespace klamm;
using namespace klamm::record;
using klamm::compress::from_hex;
using klamm::compress::to_hex;

namespace {

Slice one_batch(std::string_view value = "value") {
  Codecs codecs;
  BatchBuilder builder(BatchOptions{});
  builder.append(1000, "key", value);
  builder.append(1003, nullptr, value);
  return *builder.build(codecs, {.id = 7, .epoch = 2, .base_sequence = 2147483647, .transactional = true});
}

MutableBytes writable(const Slice& slice) { return {slice.mutable_data(), slice.size()}; }

}  // namespace

TEST_CASE("checksums give the published values and can be extended") {
  CHECK(crc32c(as_bytes("123456789")) == 0xe3069283u);
  CHECK(crc32c({}) == 0);
  CHECK(crc32c(as_bytes("56789"), crc32c(as_bytes("1234"))) == 0xe3069283u);
  CHECK(crc32_ieee(as_bytes("123456789")) == 0xcbf43926u);
}

TEST_CASE("varints of every length are written and read back") {
  const auto check = [](auto value, std::size_t size) {
    std::byte bytes[16];
    const std::byte* const end = write_varint_bits(bytes, zigzag(value));
    CHECK(static_cast<std::size_t>(end - bytes) == size);
    CHECK(varint_bits_size(zigzag(value)) == size);
    decltype(value) read = 0;
    CHECK(read_varint(bytes, end, read) == end);
    CHECK(read == value);
    for (const std::byte* cut = bytes; cut < end; ++cut) CHECK(read_varint(bytes, cut, read) == nullptr);
  };
  for (std::int32_t value : {0, -1, 1, 63, -64}) check(value, 1);
  for (std::int32_t value : {64, -65, 8191, -8192}) check(value, 2);
  for (std::int32_t value : {8192, -8193, 1048575, -1048576}) check(value, 3);
  for (std::int32_t value : {1048576, 134217727}) check(value, 4);
  for (std::int32_t value : {134217728, INT32_MAX, INT32_MIN}) check(value, 5);
  for (std::int64_t value : {INT64_MAX, INT64_MIN}) check(value, 10);
  check(std::int64_t{1} << 40, 6);
  CHECK(to_hex(Bytes{}) == "");
}

TEST_CASE("varints that are longer than their type are refused") {
  const auto refused = [](std::string_view hex) {
    const std::string bytes = from_hex(hex);
    const Bytes view = as_bytes(bytes);
    std::int32_t small = 0;
    return read_varint(view.data(), view.data() + view.size(), small) == nullptr;
  };
  CHECK(refused("ffffffff10"));
  CHECK(refused("ffffffffff01"));
  CHECK(refused("808080808000"));
  CHECK_FALSE(refused("ffffffff0f"));
  const std::string too_long = from_hex("ffffffffffffffffff02");
  std::int64_t large = 0;
  CHECK(read_varint(as_bytes(too_long).data(), as_bytes(too_long).data() + 10, large) == nullptr);
}

TEST_CASE("a batch's bytes are Kafka's layout") {
  Codecs codecs;
  BatchBuilder builder({.base_offset = 0x0102030405060708, .leader_epoch = 9});
  builder.append(1'600'000'000'000, "k", "v");
  const Slice batch = *builder.build(codecs, {.id = 0x1122, .epoch = 3, .base_sequence = 4});
  const std::string hex = to_hex(batch.bytes());
  CHECK(hex.substr(0, 34) ==
        "0102030405060708"
        "0000003a"
        "00000009"
        "02");
  CHECK(hex.substr(42) ==
        "0000"
        "00000000"
        "0000017487"
        "6e8000"
        "00000174876e8000"
        "0000000000001122"
        "0003"
        "00000004"
        "00000001"
        "10"
        "00"
        "00"
        "00"
        "02"
        "6b"
        "02"
        "76"
        "00");
  CHECK(load_big_endian<std::uint32_t>(batch.data() + 17) == crc32c(batch.bytes().subspan(21)));
}

TEST_CASE("a commit marker has the bytes that Kafka writes") {
  const Slice batch = build_transaction_marker(true, 5, 1, 0, 1000);
  CHECK(batch.size() == 78);
  CHECK(to_hex(batch.bytes().subspan(61)) ==
        "200000000800000001"
        "0c"
        "000000000000"
        "00");
  const BatchView view = *BatchView::parse(batch);
  CHECK(view.attributes() == 48);
  CHECK(view.is_control());
  CHECK(view.is_transactional());
  CHECK(view.base_sequence() == -1);
  CHECK(view.last_sequence() == -1);
  CHECK(view.check_crc().has_value());
}

TEST_CASE("all header fields are read from the view") {
  const BatchView view = *BatchView::parse(one_batch());
  CHECK(view.base_offset() == 0);
  CHECK(view.last_offset() == 1);
  CHECK(view.next_offset() == 2);
  CHECK(view.leader_epoch() == -1);
  CHECK(view.base_timestamp() == 1000);
  CHECK(view.max_timestamp() == 1003);
  CHECK(view.producer_id() == 7);
  CHECK(view.has_producer_id());
  CHECK(view.producer_epoch() == 2);
  CHECK(view.base_sequence() == 2147483647);
  CHECK(view.last_sequence() == 0);  // after the largest comes 0
  CHECK(view.record_count() == 2);
  CHECK(view.is_transactional());
  CHECK_FALSE(view.is_control());
  CHECK_FALSE(view.has_delete_horizon());
  CHECK(view.compression() == Compression::none);
  CHECK(view.timestamp_type() == TimestampType::create_time);
  const BatchHeader header = view.header();
  CHECK(header.batch_length == static_cast<std::int32_t>(view.size_bytes() - 12));
  CHECK(header.crc == view.crc());
  CHECK(header.last_offset_delta == 1);
}

TEST_CASE("offset and leader epoch lie outside of the CRC; the time stamps and the producer do not") {
  const Slice batch = one_batch();
  const std::uint32_t crc = BatchView::parse(batch)->crc();
  patch_base_offset(writable(batch), 123456789012);
  patch_leader_epoch(writable(batch), 42);
  BatchView view = *BatchView::parse(batch);
  CHECK(view.base_offset() == 123456789012);
  CHECK(view.last_offset() == 123456789013);
  CHECK(view.leader_epoch() == 42);
  CHECK(view.crc() == crc);
  CHECK(view.crc_fits());

  patch_max_timestamp_and_type(writable(batch), 5555, TimestampType::log_append_time);
  CHECK(view.max_timestamp() == 5555);
  CHECK(view.timestamp_type() == TimestampType::log_append_time);
  CHECK(view.is_transactional());
  CHECK(view.crc() != crc);
  CHECK(view.crc_fits());
  patch_max_timestamp_and_type(writable(batch), 1003, TimestampType::create_time);
  CHECK(view.crc() == crc);

  patch_producer(writable(batch), {.id = 8, .epoch = 0, .base_sequence = 10, .transactional = false});
  CHECK(view.producer_id() == 8);
  CHECK(view.base_sequence() == 10);
  CHECK_FALSE(view.is_transactional());
  CHECK(view.crc_fits());
}

TEST_CASE("a flipped bit anywhere behind the CRC is seen") {
  const Slice batch = one_batch();
  for (std::size_t position = 17; position < batch.size(); ++position) {
    CAPTURE(position);
    batch.mutable_data()[position] ^= std::byte{4};
    Result<void> checked = BatchView::parse(batch)->check_crc();
    REQUIRE_FALSE(checked.has_value());
    CHECK(checked.error() == Errc::checksum_mismatch);
    batch.mutable_data()[position] ^= std::byte{4};
  }
  CHECK(BatchView::parse(batch)->check_crc().has_value());
}

TEST_CASE("bytes that are not exactly one batch are malformed") {
  const Slice batch = one_batch();
  for (std::size_t size = 0; size < batch.size(); ++size) {
    CHECK(BatchView::parse(batch.part(0, size)).error() == Errc::malformed);
  }
  const std::string longer = std::string(batch.text()) + "x";
  CHECK(BatchView::parse(Slice::copy(longer)).error() == Errc::malformed);
  std::string other_magic(batch.text());
  for (char magic : {'\0', '\1', '\3', '\xff'}) {
    other_magic[16] = magic;
    CHECK(BatchView::parse(Slice::copy(other_magic)).error() == Errc::malformed);
  }
  // The length field says less than a header.
  std::string short_length(batch.text().substr(0, 60));
  short_length[8] = short_length[9] = short_length[10] = 0;
  short_length[11] = 48;
  CHECK(BatchView::parse(Slice::copy(short_length)).error() == Errc::malformed);
}

TEST_CASE("the cursor walks concatenated batches and tells a cut tail from nonsense") {
  const Slice first = one_batch("first");
  const Slice second = one_batch("the second one");
  const std::string both = std::string(first.text()) + std::string(second.text());
  for (std::size_t size = 0; size <= both.size(); ++size) {
    CAPTURE(size);
    BatchCursor cursor(Slice::copy(std::string_view(both).substr(0, size)));
    std::size_t entries = 0;
    while (cursor.next()) {
      CHECK(cursor.entry() == (entries == 0 ? first : second));
      CHECK(cursor.position() == (entries == 0 ? 0 : first.size()));
      CHECK(cursor.magic() == 2);
      ++entries;
    }
    CHECK(entries == (size == both.size() ? 2 : size >= first.size() ? 1 : 0));
    const bool whole = size == 0 || size == first.size() || size == both.size();
    CHECK(cursor.tail() == (whole ? EntryStatus::whole : EntryStatus::incomplete));
    CHECK(cursor.check_tail().has_value());
  }
  for (std::size_t wrong : {8u, 16u}) {
    std::string broken = both;
    broken[first.size() + wrong] = '\x85';
    BatchCursor cursor(Slice::copy(broken));
    CHECK(cursor.next());
    CHECK_FALSE(cursor.next());
    CHECK(cursor.tail() == EntryStatus::malformed);
    CHECK(cursor.check_tail().error() == Errc::malformed);
    CHECK(cursor.position() == first.size());
  }
}

TEST_CASE("an entry's head is told as far as the bytes go") {
  const Slice batch = one_batch();
  EntryHead head = peek_entry(batch.bytes().first(11));
  CHECK(head.status == EntryStatus::incomplete);
  CHECK(head.size_bytes == 0);
  head = peek_entry(batch.bytes().first(12));
  CHECK(head.size_bytes == batch.size());
  CHECK(head.magic == -1);
  head = peek_entry(batch.bytes().first(17));
  CHECK(head.magic == 2);
  CHECK(head.status == EntryStatus::incomplete);
  CHECK(peek_entry(batch.bytes()).status == EntryStatus::whole);
  // Zeroes, as in a preallocated file, are no entry.
  const std::string zeroes(100, '\0');
  CHECK(peek_entry(as_bytes(zeroes)).status == EntryStatus::malformed);
}

TEST_CASE("control keys and markers are built and parsed") {
  for (int type = 0; type <= 6; ++type) {
    const auto key = control_key(static_cast<ControlType>(type));
    CHECK(parse_control_key(Bytes(key))->type() == static_cast<ControlType>(type));
  }
  CHECK_FALSE(parse_control_key(as_bytes(from_hex("00000007")))->type().has_value());
  CHECK(parse_control_key(as_bytes(from_hex("00010001")))->type() == ControlType::commit);
  CHECK(parse_control_key(as_bytes(from_hex("ffff0001"))).error() == Errc::malformed);
  CHECK(parse_control_key(as_bytes(from_hex("0000"))).error() == Errc::malformed);
  CHECK(parse_control_key(nullptr).error() == Errc::malformed);
  CHECK(parse_transaction_marker(as_bytes(from_hex("000000000011")))->coordinator_epoch == 17);
  CHECK(parse_transaction_marker(as_bytes(from_hex("0000000000"))).error() == Errc::malformed);
  CHECK(parse_transaction_marker(nullptr).error() == Errc::malformed);
}

TEST_CASE("a control batch holds the records given, at the offset given") {
  const ControlRecord records[] = {{ControlType::kraft_version, as_bytes("one")},
                                   {ControlType::kraft_voters, as_bytes("two")}};
  const Slice batch = build_control_batch(records, 50, 6, 999);
  const BatchView view = *BatchView::parse(batch);
  CHECK(view.attributes() == 32);
  CHECK(view.base_offset() == 50);
  CHECK(view.last_offset() == 51);
  CHECK(view.leader_epoch() == 6);
  CHECK(view.max_timestamp() == 999);
  CHECK(view.crc_fits());
  RecordIterator iterator(view, view.records_bytes());
  RecordView record;
  REQUIRE(iterator.next(record));
  CHECK(parse_control_key(record.key)->type() == ControlType::kraft_version);
  CHECK(record.value.text() == "one");
  REQUIRE(iterator.next(record));
  CHECK(parse_control_key(record.key)->type() == ControlType::kraft_voters);
  CHECK_FALSE(iterator.next(record));
  CHECK(iterator.status().has_value());
}
