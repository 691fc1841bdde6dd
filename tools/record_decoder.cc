#include "tools/record_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include <nlohmann/json.hpp>

#include "broker/metadata/record.h"
#include "protocol/messages/consumer_protocol_assignment.h"
#include "protocol/messages/consumer_protocol_subscription.h"
#include "protocol/messages/group/consumer_group_current_member_assignment_key.h"
#include "protocol/messages/group/consumer_group_current_member_assignment_value.h"
#include "protocol/messages/group/consumer_group_member_metadata_key.h"
#include "protocol/messages/group/consumer_group_member_metadata_value.h"
#include "protocol/messages/group/consumer_group_metadata_key.h"
#include "protocol/messages/group/consumer_group_metadata_value.h"
#include "protocol/messages/group/consumer_group_partition_metadata_key.h"
#include "protocol/messages/group/consumer_group_partition_metadata_value.h"
#include "protocol/messages/group/consumer_group_regular_expression_key.h"
#include "protocol/messages/group/consumer_group_regular_expression_value.h"
#include "protocol/messages/group/consumer_group_target_assignment_member_key.h"
#include "protocol/messages/group/consumer_group_target_assignment_member_value.h"
#include "protocol/messages/group/consumer_group_target_assignment_metadata_key.h"
#include "protocol/messages/group/consumer_group_target_assignment_metadata_value.h"
#include "protocol/messages/group/group_metadata_key.h"
#include "protocol/messages/group/group_metadata_value.h"
#include "protocol/messages/group/legacy_offset_commit_key.h"
#include "protocol/messages/group/legacy_offset_commit_value.h"
#include "protocol/messages/group/offset_commit_key.h"
#include "protocol/messages/group/offset_commit_value.h"
#include "protocol/messages/group/share_group_current_member_assignment_key.h"
#include "protocol/messages/group/share_group_current_member_assignment_value.h"
#include "protocol/messages/group/share_group_member_metadata_key.h"
#include "protocol/messages/group/share_group_member_metadata_value.h"
#include "protocol/messages/group/share_group_metadata_key.h"
#include "protocol/messages/group/share_group_metadata_value.h"
#include "protocol/messages/group/share_group_state_partition_metadata_key.h"
#include "protocol/messages/group/share_group_state_partition_metadata_value.h"
#include "protocol/messages/group/share_group_target_assignment_member_key.h"
#include "protocol/messages/group/share_group_target_assignment_member_value.h"
#include "protocol/messages/group/share_group_target_assignment_metadata_key.h"
#include "protocol/messages/group/share_group_target_assignment_metadata_value.h"
#include "protocol/messages/group/streams_group_current_member_assignment_key.h"
#include "protocol/messages/group/streams_group_current_member_assignment_value.h"
#include "protocol/messages/group/streams_group_member_metadata_key.h"
#include "protocol/messages/group/streams_group_member_metadata_value.h"
#include "protocol/messages/group/streams_group_metadata_key.h"
#include "protocol/messages/group/streams_group_metadata_value.h"
#include "protocol/messages/group/streams_group_target_assignment_member_key.h"
#include "protocol/messages/group/streams_group_target_assignment_member_value.h"
#include "protocol/messages/group/streams_group_target_assignment_metadata_key.h"
#include "protocol/messages/group/streams_group_target_assignment_metadata_value.h"
#include "protocol/messages/group/streams_group_topology_key.h"
#include "protocol/messages/group/streams_group_topology_value.h"
#include "protocol/messages/kraft_version_record.h"
#include "protocol/messages/leader_change_message.h"
#include "protocol/messages/share/share_snapshot_key.h"
#include "protocol/messages/share/share_snapshot_value.h"
#include "protocol/messages/share/share_update_key.h"
#include "protocol/messages/share/share_update_value.h"
#include "protocol/messages/snapshot_footer_record.h"
#include "protocol/messages/snapshot_header_record.h"
#include "protocol/messages/transaction/transaction_log_key.h"
#include "protocol/messages/transaction/transaction_log_value.h"
#include "protocol/messages/voters_record.h"
#include "protocol/record/control.h"
#include "protocol/wire/json.h"
#include "protocol/wire/message.h"

namespace klamm::tools {
namespace {

using json = nlohmann::ordered_json;
namespace group = protocol::group;

std::string dump(const json& document) { return document.dump(-1, ' ', false, json::error_handler_t::replace); }

// A key or value of a coordinator's log: the number in front (type of the key, version of the value) and the message.
struct Numbered {
  std::int16_t number = -1;
  json data;
};

template <typename M>
Result<json> message_json(const Slice& bytes, std::int16_t version) {
  Result<M> message = wire::decode_message<M>(bytes, version);
  KLAMM_TRY(message);
  json data = json::object();
  wire::to_json(*message, version, data);
  return data;
}

// Subscription and assignment of a member of the classic protocol, readable instead of in base64.
template <typename M>
void unpack(json& member, const char* name, const Slice& bytes) {
  wire::Reader reader(bytes);
  const std::int16_t version = reader.read_int16();
  if (!reader.ok()) return;
  Result<M> message = wire::read_message<M>(reader, std::min(version, M::kMaxVersion));
  if (!message) return;
  json data = json::object();
  wire::to_json(*message, std::min(version, M::kMaxVersion), data);
  member[name] = std::move(data);
}

Result<json> group_metadata_json(const Slice& bytes, std::int16_t version) {
  Result<group::GroupMetadataValue> value = wire::decode_message<group::GroupMetadataValue>(bytes, version);
  KLAMM_TRY(value);
  json data = json::object();
  wire::to_json(*value, version, data);
  if (value->protocol_type != "consumer") return data;
  for (std::size_t index = 0; index < value->members.size(); ++index) {
    json& member = data["members"][index];
    unpack<protocol::ConsumerProtocolSubscription>(member, "subscription", value->members[index].subscription);
    unpack<protocol::ConsumerProtocolAssignment>(member, "assignment", value->members[index].assignment);
  }
  return data;
}

struct Row {
  std::int16_t type;
  Result<json> (*key)(const Slice& bytes, std::int16_t version);
  Result<json> (*value)(const Slice& bytes, std::int16_t version);
};
template <typename Key, typename Value>
constexpr Row row() {
  static_assert(Key::kRecordType == Value::kRecordType);
  return {Key::kRecordType, message_json<Key>, message_json<Value>};
}

constexpr Row kOffsetRows[] = {
    row<group::LegacyOffsetCommitKey, group::LegacyOffsetCommitValue>(),
    row<group::OffsetCommitKey, group::OffsetCommitValue>(),
    {group::GroupMetadataKey::kRecordType, message_json<group::GroupMetadataKey>, group_metadata_json},
    row<group::ConsumerGroupMetadataKey, group::ConsumerGroupMetadataValue>(),
    row<group::ConsumerGroupPartitionMetadataKey, group::ConsumerGroupPartitionMetadataValue>(),
    row<group::ConsumerGroupMemberMetadataKey, group::ConsumerGroupMemberMetadataValue>(),
    row<group::ConsumerGroupTargetAssignmentMetadataKey, group::ConsumerGroupTargetAssignmentMetadataValue>(),
    row<group::ConsumerGroupTargetAssignmentMemberKey, group::ConsumerGroupTargetAssignmentMemberValue>(),
    row<group::ConsumerGroupCurrentMemberAssignmentKey, group::ConsumerGroupCurrentMemberAssignmentValue>(),
    row<group::ShareGroupMemberMetadataKey, group::ShareGroupMemberMetadataValue>(),
    row<group::ShareGroupMetadataKey, group::ShareGroupMetadataValue>(),
    row<group::ShareGroupTargetAssignmentMetadataKey, group::ShareGroupTargetAssignmentMetadataValue>(),
    row<group::ShareGroupTargetAssignmentMemberKey, group::ShareGroupTargetAssignmentMemberValue>(),
    row<group::ShareGroupCurrentMemberAssignmentKey, group::ShareGroupCurrentMemberAssignmentValue>(),
    row<group::ShareGroupStatePartitionMetadataKey, group::ShareGroupStatePartitionMetadataValue>(),
    row<group::ConsumerGroupRegularExpressionKey, group::ConsumerGroupRegularExpressionValue>(),
    row<group::StreamsGroupMetadataKey, group::StreamsGroupMetadataValue>(),
    row<group::StreamsGroupMemberMetadataKey, group::StreamsGroupMemberMetadataValue>(),
    row<group::StreamsGroupTargetAssignmentMetadataKey, group::StreamsGroupTargetAssignmentMetadataValue>(),
    row<group::StreamsGroupTargetAssignmentMemberKey, group::StreamsGroupTargetAssignmentMemberValue>(),
    row<group::StreamsGroupCurrentMemberAssignmentKey, group::StreamsGroupCurrentMemberAssignmentValue>(),
    row<group::StreamsGroupTopologyKey, group::StreamsGroupTopologyValue>(),
};
constexpr Row kTransactionRows[] = {
    row<protocol::transaction::TransactionLogKey, protocol::transaction::TransactionLogValue>()};
constexpr Row kShareRows[] = {row<protocol::share::ShareSnapshotKey, protocol::share::ShareSnapshotValue>(),
                              row<protocol::share::ShareUpdateKey, protocol::share::ShareUpdateValue>()};

// {"type":"2","data":{...}}
std::string numbered_text(const char* name, std::int16_t number, const json& data) {
  return fmt::format("{{\"{}\":\"{}\",\"data\":{}}}", name, number, dump(data));
}

DecodedRecord decode_coordinator_record(const record::RecordView& record, std::span<const Row> rows) {
  const auto skipped = [&](std::string_view why) {
    return DecodedRecord{fmt::format("Error at offset {}, skipping. {}", record.offset, why), std::nullopt};
  };
  if (record.key.is_null()) return skipped("The record has no key.");
  wire::Reader key(Slice::borrow(record.key.bytes()));
  const std::int16_t type = key.read_int16();
  if (!key.ok()) return skipped("The key is too short.");
  const Row* known = nullptr;
  for (const Row& one : rows) {
    if (one.type == type) known = &one;
  }
  if (known == nullptr)
    return {fmt::format("Unknown record type {} at offset {}, skipping.", type, record.offset), std::nullopt};
  Result<json> key_data = known->key(key.read_rest(), 0);
  if (!key_data) return skipped(key_data.error().message());
  DecodedRecord decoded;
  decoded.key = numbered_text("type", type, *key_data);
  decoded.value = "<DELETE>";
  if (record.value.is_null()) return decoded;
  wire::Reader value(Slice::borrow(record.value.bytes()));
  const std::int16_t version = value.read_int16();
  if (!value.ok()) return skipped("The value is too short.");
  Result<json> value_data = known->value(value.read_rest(), version);
  if (!value_data) return skipped(value_data.error().message());
  decoded.value = numbered_text("version", version, *value_data);
  return decoded;
}

std::string plain_text(const record::NullableBytes& bytes, RecordDecoding decoding) {
  if (decoding == RecordDecoding::int32 && bytes.size() == 4)
    return std::to_string(load_big_endian<std::int32_t>(bytes.data()));
  if (decoding == RecordDecoding::int64 && bytes.size() == 8)
    return std::to_string(load_big_endian<std::int64_t>(bytes.data()));
  return std::string(bytes.text());
}

// The control message; its version is its own first field.
template <typename M>
std::string control_json(const record::RecordView& record) {
  if (record.value.size() < sizeof(std::int16_t)) return "malformed";
  const auto version = load_big_endian<std::int16_t>(record.value.data());
  Result<json> data = message_json<M>(Slice::borrow(record.value.bytes()), version);
  return data ? dump(*data) : data.error().message();
}

}  // namespace

Result<RecordDecoding> decoding_of_class(std::string_view class_name) {
  constexpr std::string_view kPackage = "org.apache.kafka.tools.api.";
  std::string_view name = class_name;
  if (name.starts_with(kPackage)) name.remove_prefix(kPackage.size());
  if (name == "StringDecoder" || name == "DefaultDecoder" || name.empty()) return RecordDecoding::text;
  if (name == "IntegerDecoder") return RecordDecoding::int32;
  if (name == "LongDecoder") return RecordDecoding::int64;
  return fail(Errc::invalid_argument, fmt::format("decoder {}: klamm has StringDecoder, DefaultDecoder, IntegerDecoder "
                                                  "and LongDecoder of org.apache.kafka.tools.api",
                                                  class_name));
}

DecodedRecord decode_record(const record::RecordView& record, RecordDecoding key, RecordDecoding value) {
  switch (value) {
    case RecordDecoding::offsets: return decode_coordinator_record(record, kOffsetRows);
    case RecordDecoding::transactions: return decode_coordinator_record(record, kTransactionRows);
    case RecordDecoding::share_state: return decode_coordinator_record(record, kShareRows);
    case RecordDecoding::cluster_metadata: {
      Result<metadata::Record> decoded = metadata::decode_record(Slice::borrow(record.value.bytes()));
      if (decoded) return {std::nullopt, metadata::record_text(*decoded)};
      return {std::nullopt, fmt::format("Error at {}, skipping. {}", record.offset, decoded.error().message())};
    }
    case RecordDecoding::text:
    case RecordDecoding::int32:
    case RecordDecoding::int64: break;
  }
  DecodedRecord plain;
  if (!record.key.is_null()) plain.key = plain_text(record.key, key);
  if (!record.value.is_null()) plain.value = plain_text(record.value, value);
  return plain;
}

std::string control_text(const record::RecordView& record) {
  Result<record::ControlKey> key = record::parse_control_key(record.key);
  const std::optional<record::ControlType> type = key ? key->type() : std::nullopt;
  if (!type) return fmt::format(" controlType: UNKNOWN({})", key ? key->raw_type : std::int16_t{-1});
  switch (*type) {
    case record::ControlType::abort:
    case record::ControlType::commit: {
      Result<record::TransactionMarker> marker = record::parse_transaction_marker(record.value);
      return fmt::format(" endTxnMarker: {} coordinatorEpoch: {}",
                         *type == record::ControlType::commit ? "COMMIT" : "ABORT",
                         marker ? marker->coordinator_epoch : -1);
    }
    case record::ControlType::leader_change:
      return " LeaderChange: " + control_json<protocol::LeaderChangeMessage>(record);
    case record::ControlType::snapshot_header:
      return " SnapshotHeader " + control_json<protocol::SnapshotHeaderRecord>(record);
    case record::ControlType::snapshot_footer:
      return " SnapshotFooter " + control_json<protocol::SnapshotFooterRecord>(record);
    case record::ControlType::kraft_version:
      return " KRaftVersion " + control_json<protocol::KRaftVersionRecord>(record);
    case record::ControlType::kraft_voters: return " KRaftVoters " + control_json<protocol::VotersRecord>(record);
  }
  return {};
}

}  // namespace klamm::tools
