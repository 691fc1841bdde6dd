// One record of the metadata log: the message and the version it is written in. In the log's batches a record's value
// is uvarint frame version 1, uvarint type, uvarint version, message; key null. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "broker/metadata/features.h"
#include "protocol/messages/metadata/abort_transaction_record.h"
#include "protocol/messages/metadata/access_control_entry_record.h"
#include "protocol/messages/metadata/begin_transaction_record.h"
#include "protocol/messages/metadata/broker_registration_change_record.h"
#include "protocol/messages/metadata/clear_elr_record.h"
#include "protocol/messages/metadata/client_quota_record.h"
#include "protocol/messages/metadata/config_record.h"
#include "protocol/messages/metadata/delegation_token_record.h"
#include "protocol/messages/metadata/end_transaction_record.h"
#include "protocol/messages/metadata/feature_level_record.h"
#include "protocol/messages/metadata/fence_broker_record.h"
#include "protocol/messages/metadata/no_op_record.h"
#include "protocol/messages/metadata/partition_change_record.h"
#include "protocol/messages/metadata/partition_record.h"
#include "protocol/messages/metadata/producer_ids_record.h"
#include "protocol/messages/metadata/register_broker_record.h"
#include "protocol/messages/metadata/register_controller_record.h"
#include "protocol/messages/metadata/remove_access_control_entry_record.h"
#include "protocol/messages/metadata/remove_delegation_token_record.h"
#include "protocol/messages/metadata/remove_topic_record.h"
#include "protocol/messages/metadata/remove_user_scram_credential_record.h"
#include "protocol/messages/metadata/topic_record.h"
#include "protocol/messages/metadata/unfence_broker_record.h"
#include "protocol/messages/metadata/unregister_broker_record.h"
#include "protocol/messages/metadata/user_scram_credential_record.h"
#include "protocol/messages/metadata/zk_migration_state_record.h"

namespace klamm::metadata {

namespace messages = protocol::metadata;

using RecordMessage =
    std::variant<messages::RegisterBrokerRecord, messages::UnregisterBrokerRecord, messages::TopicRecord,
                 messages::PartitionRecord, messages::ConfigRecord, messages::PartitionChangeRecord,
                 messages::FenceBrokerRecord, messages::UnfenceBrokerRecord, messages::RemoveTopicRecord,
                 messages::DelegationTokenRecord, messages::UserScramCredentialRecord, messages::FeatureLevelRecord,
                 messages::ClientQuotaRecord, messages::ProducerIdsRecord, messages::BrokerRegistrationChangeRecord,
                 messages::AccessControlEntryRecord, messages::RemoveAccessControlEntryRecord, messages::NoOpRecord,
                 messages::ZkMigrationStateRecord, messages::RemoveUserScramCredentialRecord,
                 messages::BeginTransactionRecord, messages::EndTransactionRecord, messages::AbortTransactionRecord,
                 messages::RemoveDelegationTokenRecord, messages::RegisterControllerRecord, messages::ClearElrRecord>;

struct Record {
  RecordMessage message;
  std::int16_t version = 0;
};
using Records = std::vector<Record>;

// The record type's number and its name ("TopicRecord").
std::int16_t type_of(const Record& record);
std::string_view name_of(const Record& record);

// A record's value as it stands in the log.
Slice encode_record(const Record& record);
std::vector<Slice> encode_records(std::span<const Record> records);
// Errc::unsupported for a frame, type or version that this build does not know, Errc::malformed for bytes that do not
// fit.
Result<Record> decode_record(const Slice& value);

// For people: type, version and fields as JSON, in the form of Kafka's metadata decoder.
std::string record_text(const Record& record);

}  // namespace klamm::metadata
