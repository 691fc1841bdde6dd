// What the controller's computations share. Each is a pure function `(const Compute&, request) -> Decision<response>`:
// it looks at the state as it is after all records appended so far and says which records to append and what to answer.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "broker/config/broker_config.h"
#include "broker/config/dynamic_config.h"
#include "broker/metadata/image.h"
#include "broker/metadata/record.h"
#include "protocol/error.h"

namespace klamm::controller {

using metadata::BrokerRegistration;
using metadata::ConfigResource;
using metadata::ConfigResourceType;
using metadata::ImageRef;
using metadata::MetadataImage;
using metadata::MetadataVersion;
using metadata::PartitionRegistration;
using metadata::Record;
using metadata::Records;
using metadata::TopicImage;
using protocol::ErrorCode;
namespace messages = protocol::metadata;

// The most records that one request may cause.
constexpr std::size_t kMaxRecordsPerRequest = 10'000;

// The settings that computations look at; borrowed by Compute.
struct Settings {
  std::int32_t node_id = 0;
  std::string cluster_id;
  const config::BrokerConfig* file = nullptr;  // the node's own settings; null: all defaults
  std::int32_t num_partitions = 1;             // num.partitions
  std::int16_t default_replication_factor = 1;
  bool delete_topic_enable = true;
  std::int64_t session_timeout_ms = 9'000;
};

// What is known of a broker's heartbeats. Soft state: a new leader begins anew.
struct BrokerSession {
  Instant last_contact;
  std::int64_t metadata_offset = -1;             // up to which the broker says it has published
  std::int64_t controlled_shutdown_offset = -1;  // of the records that moved its leaderships away; -1: none
  std::int64_t registered_at = -1;  // offset of its newest RegisterBroker record, where it is not its epoch
  bool heard = false;  // it sent heartbeats; else it only registered, or is presumed alive for having been so before
};
using Sessions = std::map<std::int32_t, BrokerSession>;

struct Compute {
  const MetadataImage& image;
  const Settings& settings;
  const Sessions& sessions;
  Random& random;
  Instant now;
  std::int64_t next_offset = 0;  // which the first appended record will get

  MetadataVersion version() const {
    return image.metadata_version().value_or(MetadataVersion{MetadataVersion::kMinimum});
  }
  const BrokerRegistration* broker(std::int32_t id) const { return image.cluster.broker(id); }
  bool is_active(std::int32_t id) const {
    const BrokerRegistration* registration = broker(id);
    return registration != nullptr && registration->active();
  }
  // Settings in force on this node: its file, the cluster's and its own run-time settings.
  config::BrokerLayers layers() const {
    return {&image.configs.of_broker(settings.node_id), &image.configs.cluster_default(), settings.file};
  }
};

template <typename Response>
struct Decision {
  Records records;
  Response response;
  bool atomic = true;  // all records in one batch
};

// A fault found by a computation: the code and the sentence that the response carries.
struct Fault {
  ErrorCode code = ErrorCode::none;
  std::string message;
  explicit operator bool() const noexcept { return code != ErrorCode::none; }
};

// The Kafka code and text of an error.
inline Fault fault_of(const Error& error) {
  const std::string& text = error.context();
  return {protocol::code_of(error), text.empty() ? error.message() : text};
}

template <typename Message>
void set_fault(Message& message, const Fault& fault) {
  message.error_code = protocol::to_wire(fault.code);
  message.error_message = fault.message.empty() ? std::string(protocol::default_message(fault.code)) : fault.message;
}

// Whether a request of this broker with this epoch may speak for it: STALE_BROKER_EPOCH if not.
inline Fault check_broker_epoch(const Compute& compute, std::int32_t id, std::int64_t epoch) {
  const BrokerRegistration* broker = compute.broker(id);
  if (broker == nullptr)
    return {ErrorCode::stale_broker_epoch, fmt::format("No broker registration found for broker id {}", id)};
  if (broker->epoch != epoch) {
    return {ErrorCode::stale_broker_epoch,
            fmt::format("Expected broker epoch {}, but got broker epoch {}", broker->epoch, epoch)};
  }
  return {};
}

}  // namespace klamm::controller
