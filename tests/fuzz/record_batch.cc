// Any bytes as the records field of a request or a piece of a log: walked, checked, inspected, read, rebuilt. The first
// byte chooses whether CRCs are made right first, and whether the bytes are instead the records of a batch (compressed
// by us, or taken as compressed), so that mutations reach the record decoder and not only the checks in front of it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "protocol/record/batch_builder.h"
#include "protocol/record/control.h"
#include "protocol/record/crc32c.h"
#include "protocol/record/legacy.h"

namespace {

using namespace klamm;
using namespace klamm::record;

constexpr std::size_t kLimit = 1 << 20;

void demand(bool condition) {
  if (!condition) std::abort();
}

// Touches every byte that a record claims to have.
std::size_t touch(const RecordView& record) {
  std::size_t sum = 0;
  for (std::byte byte : record.key.bytes()) sum += static_cast<std::size_t>(byte);
  for (std::byte byte : record.value.bytes()) sum += static_cast<std::size_t>(byte);
  for (const Header& header : record.headers) {
    for (char letter : header.key) sum += static_cast<unsigned char>(letter);
    for (std::byte byte : header.value.bytes()) sum += static_cast<std::size_t>(byte);
  }
  return sum;
}

void read_batch(const Slice& entry, Codecs& codecs) {
  const Result<BatchView> batch = BatchView::parse(entry);
  demand(batch.has_value());
  (void)batch->check_crc();
  const Result<BatchFacts> facts = inspect_records(*batch, codecs, {.limit_bytes = kLimit, .list_null_keys = true});
  const Result<Slice> plain = plain_records(*batch, codecs, kLimit);
  if (!plain) {
    demand(!facts.has_value() || batch->record_count() == 0);
    return;
  }
  std::int32_t count = 0;
  std::size_t sum = 0;
  RecordIterator records(*batch, plain->bytes());
  for (RecordView record; records.next(record); ++count) {
    sum += touch(record);
    if (batch->is_control()) {
      (void)parse_control_key(record.key);
      (void)parse_transaction_marker(record.value);
    }
  }
  const bool good = records.status().has_value();
  demand(sum != SIZE_MAX);
  demand(good == facts.has_value());  // two readers, one opinion
  if (!good || count == 0) return;
  demand(count == facts->record_count);
  const Result<Slice> rebuilt = recompress(*batch, Compression::lz4, 9, codecs, kLimit);
  demand(rebuilt.has_value());
  const Result<BatchView> again = BatchView::parse(*rebuilt);
  demand(again.has_value() && again->crc_fits() && again->record_count() == count);
  demand(inspect_records(*again, codecs)->dense_offsets);
}

void read_message(const Slice& entry, Codecs& codecs) {
  Result<LegacyIterator> records = LegacyIterator::open(entry, codecs, kLimit);
  if (!records) return;
  std::size_t sum = 0;
  for (RecordView record; records->next(record);) sum += touch(record);
  demand(sum != SIZE_MAX);
  (void)records->status();
}

}  // namespace

namespace {

void read_entries(const Slice& entries, bool repair, Codecs& codecs) {
  BatchCursor cursor(entries);
  while (cursor.next()) {
    const Slice& entry = cursor.entry();
    if (cursor.magic() == kMagic) {
      if (repair) {
        const BatchHeader header = BatchView::parse(entry)->header();
        write_batch_header({entry.mutable_data(), entry.size()}, header);
      }
      read_batch(entry, codecs);
    } else {
      if (repair) {
        store_big_endian(entry.mutable_data() + kLogOverhead, crc32_ieee(entry.bytes().subspan(kMagicPosition)));
      }
      read_message(entry, codecs);
    }
  }
  (void)cursor.check_tail();
}

// A batch around the bytes as its records. Bits of `mode`: 3-5 codec (5 to 7: unknown ones), 6 compress them by it.
Slice wrap_records(std::uint8_t mode, std::uint8_t count, Bytes records, Codecs& codecs) {
  const int codec = (mode >> 3) & 7;
  Slice batch;
  if ((mode & 0x40) && codec <= 4) {
    const auto compression = static_cast<Compression>(codec);
    batch = *codecs.compress(compression, compress::standard_level(compression), records, kBatchHeaderSize);
  } else {
    batch = *codecs.compress(Compression::none, 0, records, kBatchHeaderSize);
  }
  const int time_type = (mode & 4) ? kLogAppendTimeBit : 0;
  write_batch_header({batch.mutable_data(), batch.size()}, {.base_offset = 1000,
                                                            .attributes = static_cast<std::int16_t>(codec | time_type),
                                                            .last_offset_delta = count - 1,
                                                            .base_timestamp = 5000,
                                                            .max_timestamp = 6000,
                                                            .record_count = count});
  return batch;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static Codecs codecs;
  const Bytes bytes = std::as_bytes(std::span(data + 2, size - 2));
  if (data[0] & 2) {
    read_batch(wrap_records(data[0], data[1], bytes, codecs), codecs);
  } else {
    // A copy of exactly the size, so that the sanitizer sees any read beyond.
    read_entries(Slice::copy(bytes), data[0] & 1, codecs);
  }
  return 0;
}
