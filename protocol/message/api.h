// The one registry of APIs: which exist, in which versions, where they are served. Made from the message tables and
// schema/apis.txt; nothing else in klamm lists APIs.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "protocol/messages/api_key.h"

namespace klamm::protocol {

struct ApiInfo {
  ApiKey key;
  std::string_view name;  // "ListOffsets"
  std::int16_t min_version;
  std::int16_t max_version;
  // The highest version served unless unstable.api.versions.enable is set; min_version - 1 if none is.
  std::int16_t max_stable_version;
  std::int16_t flexible_from;  // first version in the flexible encoding; 32767 if none
  bool on_broker;              // served by a broker's listeners
  bool on_controller;          // served by a controller's listeners
  bool cluster_action;         // the sender needs the ClusterAction permission
  bool forwarded;              // a broker passes it on to the controller in an Envelope
  // False for ApiVersions: its response has header version 0 always, so that it can be read before versions are agreed.
  bool response_header_follows;

  bool has_version(std::int16_t version) const noexcept { return version >= min_version && version <= max_version; }
  bool is_flexible(std::int16_t version) const noexcept { return version >= flexible_from; }
  // Defined for versions that do not exist, too: the header of such a request has to be read to refuse it.
  std::int16_t request_header_version(std::int16_t version) const noexcept { return is_flexible(version) ? 2 : 1; }
  std::int16_t response_header_version(std::int16_t version) const noexcept {
    return response_header_follows && is_flexible(version) ? 1 : 0;
  }
};

// The lowest Produce version that ApiVersions responses claim, for old librdkafka clients; lower than what is served.
constexpr std::int16_t kAdvertisedProduceMinVersion = 0;

// All APIs with at least one version, in order of their keys.
std::span<const ApiInfo> all_apis() noexcept;
// nullptr for a number that is no API, or one without any version.
const ApiInfo* find_api(std::int16_t key) noexcept;
// For a key that has versions; anything else is a broken invariant.
const ApiInfo& api_info(ApiKey key) noexcept;
// "ListOffsets"; "Unknown" for what find_api does not know.
std::string_view name(ApiKey key) noexcept;

}  // namespace klamm::protocol
