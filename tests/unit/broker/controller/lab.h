// A controller's state for tests of single computations: no log, no clock, records replayed at once.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "broker/controller/compute.h"
#include "broker/controller/features.h"
#include "broker/metadata/delta.h"
#include "broker/metadata/image_writer.h"
#include "tests/unit/why.h"

namespace klamm::controller {

class Lab {
 public:
  explicit Lab(bool elr = true) : random_(7) {
    settings.node_id = 100;
    settings.cluster_id = "cluster";
    metadata::FeatureLevels features = metadata::served_features(MetadataVersion{});
    if (!elr) features.erase(std::string(metadata::kElrVersionFeature));
    apply(bootstrap_transaction(feature_records(MetadataVersion{}, features), nullptr));
  }

  Compute view() { return {*image, settings, sessions, random_, now, offset}; }

  void apply(const Records& records) {
    metadata::MetadataDelta delta(image);
    for (const Record& record : records) {
      // Through the bytes, as in the log.
      Result<Record> decoded = metadata::decode_record(metadata::encode_record(record));
      REQUIRE(decoded.has_value());
      Result<void> replayed = delta.replay(*decoded);
      REQUIRE_MESSAGE(replayed.has_value(), why_of(replayed));
    }
    offset += static_cast<std::int64_t>(records.size());
    image = delta.apply({offset - 1, 1, 0});
  }
  // Applies a decision and returns its response.
  template <typename Response>
  Response take(Decision<Response> decision) {
    apply(decision.records);
    return std::move(decision.response);
  }

  void add_broker(std::int32_t id, bool unfenced = true, std::optional<std::string> rack = std::nullopt) {
    BrokerRegistration broker;
    broker.id = id;
    broker.epoch = offset;
    broker.incarnation_id = Uuid{1000, static_cast<std::uint64_t>(id)};
    broker.listeners = {{"PLAINTEXT", "host" + std::to_string(id), 9092, 0}};
    broker.features = metadata::supported_features();
    broker.rack = std::move(rack);
    broker.fenced = !unfenced;
    broker.directories = {Uuid{2000, static_cast<std::uint64_t>(id)}};
    apply({metadata::broker_record(broker, MetadataVersion{})});
    sessions[id] = {.last_contact = now, .metadata_offset = offset, .heard = true};
  }

  const PartitionRegistration& partition(std::string_view topic, std::int32_t index = 0) {
    const PartitionRegistration* found = image->topics.partition(topic, index);
    REQUIRE(found != nullptr);
    return *found;
  }
  std::int64_t epoch_of(std::int32_t id) { return image->cluster.broker(id)->epoch; }

  Settings settings;
  Sessions sessions;
  Instant now{std::chrono::seconds(100)};
  ImageRef image = MetadataImage::none();
  std::int64_t offset = 0;

 private:
  Random random_;
};

inline ErrorCode code(std::int16_t number) { return protocol::error_code_from(number); }

}  // namespace klamm::controller

template <>
struct doctest::StringMaker<klamm::protocol::ErrorCode> {
  static doctest::String convert(klamm::protocol::ErrorCode code) {
    const std::string text(klamm::protocol::name(code));
    return doctest::String(text.c_str());
  }
};
