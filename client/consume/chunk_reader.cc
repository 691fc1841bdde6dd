#include "client/consume/chunk_reader.h"

#include <algorithm>

#include "protocol/record/control.h"

namespace klamm::client {

namespace {

NullableBytes to_public(const record::NullableBytes& bytes) noexcept {
  return bytes.is_null() ? NullableBytes() : NullableBytes(bytes.bytes());
}

HeaderRange to_public(const record::HeaderRange& headers) noexcept {
  if (headers.empty()) [[likely]]
    return {};
  const Bytes encoded = headers.encoded();
  return {encoded.data(), static_cast<std::uint32_t>(encoded.size()), static_cast<std::uint32_t>(headers.size())};
}

}  // namespace

ChunkReader::ChunkReader(Slice entries, std::vector<AbortedTransaction> aborted, ChunkOptions options)
    : cursor_(entries), aborted_(std::move(aborted)), options_(options), size_bytes_(entries.size()) {
  std::sort(aborted_.begin(), aborted_.end(),
            [](const auto& left, const auto& right) { return left.first_offset < right.first_offset; });
}

Result<std::size_t> ChunkReader::read(detail::RecordsBlock& block, std::size_t room, ReadPosition& position,
                                      std::string_view topic, std::int32_t partition, compress::Codecs& codecs) {
  if (fault_) return fail(*fault_);
  std::size_t given = 0;
  while (!finished_) {
    if (!in_batch_) {
      Result<void> opened = open_next(position, codecs);
      if (!opened) {
        fault_ = std::move(opened).error();
        if (given > 0) return given;  // the next read tells
        return fail(*fault_);
      }
      continue;
    }
    if (given == room) break;
    const std::size_t taken = take_records(block, room - given, position, topic, partition);
    if (taken > 0) add_owner(block, legacy_ ? legacy_->memory() : plain_);
    given += taken;
    if (given == room && !legacy_ && records_.left() > 0) break;
    if (given == room && legacy_) break;  // it may have more; seen with the next read
    Result<void> status = legacy_ ? legacy_->status() : records_.status();
    if (!status) {
      fault_ = std::move(status).error();
      if (given > 0) return given;
      return fail(*fault_);
    }
    in_batch_ = false;
    legacy_.reset();
    position.offset = std::max(position.offset, batch_next_offset_);
    if (batch_leader_epoch_ >= 0) position.leader_epoch = batch_leader_epoch_;  // also of one without records
  }
  return given;
}

std::size_t ChunkReader::take_records(detail::RecordsBlock& block, std::size_t room, ReadPosition& position,
                                      std::string_view topic, std::int32_t partition) {
  std::vector<RecordView>& records = block.records;
  const std::size_t before = records.size();
  const std::size_t end = before + room;
  record::RecordView record;
  while (records.size() < end && (legacy_ ? legacy_->next(record) : records_.next(record))) {
    if (record.offset < position.offset) [[unlikely]]
      continue;
    records.push_back({topic, partition, batch_leader_epoch_, record.offset, record.timestamp, to_public(record.key),
                       to_public(record.value), to_public(record.headers), timestamp_type_});
  }
  if (records.size() > before) {
    position.offset = records.back().offset + 1;
    if (batch_leader_epoch_ >= 0) position.leader_epoch = batch_leader_epoch_;
  }
  return records.size() - before;
}

void ChunkReader::add_owner(detail::RecordsBlock& block, const Slice& memory) {
  if (!memory.buffer()) return;
  if (!block.owners.empty() && block.owners.back().buffer() && &*block.owners.back().buffer() == &*memory.buffer())
    return;
  block.owners.push_back(memory);
}

Result<void> ChunkReader::open_next(ReadPosition& position, compress::Codecs& codecs) {
  if (!cursor_.next()) {
    finished_ = true;
    return cursor_.check_tail();  // an incomplete entry at the end is what a fetch limit leaves
  }
  if (cursor_.magic() < record::kMagic) return open_legacy(position, codecs);
  return open_batch(position, codecs);
}

Result<void> ChunkReader::open_legacy(ReadPosition&, compress::Codecs& codecs) {
  Result<record::LegacyIterator> opened =
      record::LegacyIterator::open(cursor_.entry(), codecs, options_.plain_limit_bytes);
  KLAMM_TRY(opened);
  legacy_.emplace(std::move(*opened));
  batch_next_offset_ = legacy_->last_offset() + 1;
  batch_leader_epoch_ = -1;
  timestamp_type_ = TimestampType::create_time;
  in_batch_ = true;
  return {};
}

Result<void> ChunkReader::open_batch(ReadPosition& position, compress::Codecs& codecs) {
  Result<record::BatchView> batch = cursor_.batch();
  KLAMM_TRY(batch);
  // Batches that end before the position come with the one that was asked for when the log's index is coarse.
  if (batch->next_offset() <= position.offset && !batch->is_control()) return {};
  if (options_.check_crcs) {
    Result<void> sound = batch->check_crc();
    if (!sound) return fail(std::move(sound).error().in("batch at offset " + std::to_string(batch->base_offset())));
  }
  const bool hidden = is_aborted(*batch, codecs) || batch->is_control();
  if (hidden) {
    position.offset = std::max(position.offset, batch->next_offset());
    if (batch->leader_epoch() >= 0) position.leader_epoch = batch->leader_epoch();
    return {};
  }
  Result<Slice> plain = record::plain_records(*batch, codecs, options_.plain_limit_bytes);
  if (!plain) return fail(std::move(plain).error().in("batch at offset " + std::to_string(batch->base_offset())));
  plain_ = std::move(*plain);
  records_ = record::RecordIterator(*batch, plain_.bytes());
  batch_next_offset_ = batch->next_offset();
  batch_leader_epoch_ = batch->leader_epoch();
  timestamp_type_ = batch->timestamp_type() == record::TimestampType::log_append_time ? TimestampType::log_append_time
                                                                                      : TimestampType::create_time;
  in_batch_ = true;
  return {};
}

// Follows the list of aborted transactions and the markers in the log, as the broker's answer is meant to be read.
bool ChunkReader::is_aborted(const record::BatchView& batch, compress::Codecs& codecs) {
  if (!options_.read_committed || !batch.has_producer_id()) return false;
  while (next_aborted_ < aborted_.size() && aborted_[next_aborted_].first_offset <= batch.last_offset()) {
    aborting_.insert(aborted_[next_aborted_++].producer_id);
  }
  if (batch.is_control()) {
    Result<Slice> plain = record::plain_records(batch, codecs, options_.plain_limit_bytes);
    if (!plain) return true;
    record::RecordIterator records(batch, plain->bytes());
    record::RecordView marker;
    if (!records.next(marker)) return true;
    Result<record::ControlKey> key = record::parse_control_key(marker.key);
    if (key && key->type() == record::ControlType::abort) aborting_.erase(batch.producer_id());
    return true;
  }
  return batch.is_transactional() && aborting_.contains(batch.producer_id());
}

}  // namespace klamm::client
