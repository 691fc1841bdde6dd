#include "broker/raft/control_records.h"

#include "protocol/messages/kraft_version_record.h"
#include "protocol/messages/leader_change_message.h"
#include "protocol/messages/snapshot_footer_record.h"
#include "protocol/messages/snapshot_header_record.h"
#include "protocol/messages/voters_record.h"
#include "protocol/record/control.h"
#include "protocol/wire/message.h"

namespace klamm::raft {
namespace {

using record::ControlRecord;
using record::ControlType;

protocol::VotersRecord to_record(const VoterSet& voters) {
  protocol::VotersRecord message;
  for (const auto& [id, voter] : voters.by_id()) {
    protocol::VotersRecord::Voter entry;
    entry.voter_id = id;
    entry.voter_directory_id = voter.key.directory_id;
    for (const Endpoint& endpoint : voter.endpoints) {
      protocol::VotersRecord::Endpoint address;
      address.name = endpoint.name;
      address.host = endpoint.host;
      address.port = endpoint.port;
      entry.endpoints.push_back(std::move(address));
    }
    entry.kraft_version_feature.min_supported_version = voter.kraft_version_min;
    entry.kraft_version_feature.max_supported_version = voter.kraft_version_max;
    message.voters.push_back(std::move(entry));
  }
  return message;
}

VoterSet from_record(const protocol::VotersRecord& message) {
  std::vector<Voter> voters;
  for (const auto& entry : message.voters) {
    Voter voter;
    voter.key = {entry.voter_id, entry.voter_directory_id};
    for (const auto& address : entry.endpoints) voter.endpoints.push_back({address.name, address.host, address.port});
    voter.kraft_version_min = entry.kraft_version_feature.min_supported_version;
    voter.kraft_version_max = entry.kraft_version_feature.max_supported_version;
    voters.push_back(std::move(voter));
  }
  return VoterSet(std::move(voters));
}

// The values of a batch's control records, kept alive until the batch is built.
struct ControlBatch {
  std::vector<Slice> values;
  std::vector<ControlType> types;

  void add(ControlType type, Slice value) {
    types.push_back(type);
    values.push_back(std::move(value));
  }
  void add_voters(const VoterSet& voters) {
    protocol::KRaftVersionRecord version;
    version.kraft_version = 1;
    add(ControlType::kraft_version, wire::encode_message(version, 0));
    add(ControlType::kraft_voters, wire::encode_message(to_record(voters), 0));
  }
  Slice build(std::int64_t base_offset, std::int32_t epoch, TimestampMs now_ms) const {
    std::vector<ControlRecord> records;
    for (std::size_t index = 0; index < values.size(); ++index)
      records.push_back({types[index], values[index].bytes()});
    return record::build_control_batch(records, base_offset, epoch, now_ms);
  }
};

// The message in a control record's value; its first field is its version.
template <typename Message>
Result<Message> decode_value(record::NullableBytes value) {
  wire::Reader peek(Slice::borrow(value.bytes()));
  const std::int16_t version = peek.read_int16();
  if (!peek.ok()) return fail(Errc::malformed, std::string(Message::kName) + ": empty control record");
  return wire::decode_message<Message>(Slice::copy(value.bytes()), version);
}

Result<void> read_record(ControlType type, record::NullableBytes value, ControlFacts& facts) {
  switch (type) {
    case ControlType::leader_change: facts.leader_change = true; return {};
    case ControlType::snapshot_header: {
      auto message = decode_value<protocol::SnapshotHeaderRecord>(value);
      KLAMM_TRY(message);
      facts.snapshot_header = true;
      facts.last_contained_ms = message->last_contained_log_timestamp;
      return {};
    }
    case ControlType::snapshot_footer: facts.snapshot_footer = true; return {};
    case ControlType::kraft_version: {
      auto message = decode_value<protocol::KRaftVersionRecord>(value);
      KLAMM_TRY(message);
      facts.kraft_version = message->kraft_version;
      return {};
    }
    case ControlType::kraft_voters: {
      auto message = decode_value<protocol::VotersRecord>(value);
      KLAMM_TRY(message);
      facts.voters = from_record(*message);
      return {};
    }
    case ControlType::abort:
    case ControlType::commit: return {};
  }
  return {};
}

}  // namespace

Slice leader_change_batch(const LeaderChange& change, std::int64_t base_offset, std::int32_t epoch,
                          TimestampMs now_ms) {
  protocol::LeaderChangeMessage message;
  message.leader_id = change.leader_id;
  const auto fill = [](const std::vector<std::int32_t>& ids,
                       std::vector<protocol::LeaderChangeMessage::Voter>& voters) {
    for (const std::int32_t id : ids) voters.emplace_back().voter_id = id;
  };
  fill(change.voters, message.voters);
  fill(change.granting_voters, message.granting_voters);
  ControlBatch batch;
  batch.add(ControlType::leader_change, wire::encode_message(message, 0));
  if (change.voter_records != nullptr) batch.add_voters(*change.voter_records);
  return batch.build(base_offset, epoch, now_ms);
}

Slice voters_batch(const VoterSet& voters, std::int64_t base_offset, std::int32_t epoch, TimestampMs now_ms) {
  ControlBatch batch;
  batch.add(ControlType::kraft_voters, wire::encode_message(to_record(voters), 0));
  return batch.build(base_offset, epoch, now_ms);
}

Slice snapshot_header_batch(TimestampMs last_contained_ms, const VoterSet* voters, std::int32_t epoch,
                            TimestampMs now_ms) {
  protocol::SnapshotHeaderRecord message;
  message.last_contained_log_timestamp = last_contained_ms;
  ControlBatch batch;
  batch.add(ControlType::snapshot_header, wire::encode_message(message, 0));
  if (voters != nullptr) batch.add_voters(*voters);
  return batch.build(0, epoch, now_ms);
}

Slice snapshot_footer_batch(std::int64_t base_offset, std::int32_t epoch, TimestampMs now_ms) {
  ControlBatch batch;
  batch.add(ControlType::snapshot_footer, wire::encode_message(protocol::SnapshotFooterRecord(), 0));
  return batch.build(base_offset, epoch, now_ms);
}

Result<ControlFacts> read_control_batch(const record::BatchView& batch) {
  ControlFacts facts;
  if (batch.is_compressed()) return fail(Errc::malformed, "a compressed control batch");
  record::RecordIterator records(batch, batch.records_bytes());
  for (record::RecordView record; records.next(record);) {
    Result<record::ControlKey> key = record::parse_control_key(record.key);
    KLAMM_TRY(key);
    ++facts.record_count;
    const std::optional<ControlType> type = key->type();
    if (!type) continue;
    Result<void> read = read_record(*type, record.value, facts);
    KLAMM_TRY(read);
  }
  Result<void> status = records.status();
  KLAMM_TRY(status);
  return facts;
}

}  // namespace klamm::raft
