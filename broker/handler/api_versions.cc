// ApiVersions: what is in the dispatch table of the listener, and the features of the cluster.
#include <algorithm>

#include "broker/handler/dispatch.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/metadata/features.h"
#include "protocol/message/api.h"
#include "protocol/messages/api_versions_request.h"
#include "protocol/messages/api_versions_response.h"

namespace klamm::handler {
namespace {

using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;

std::span<const Served> apis_of(const Call&) { return served_apis(); }
std::span<const ControllerServed> apis_of(const ControllerCall&) { return controller_apis(); }

template <typename CallType>
void add_apis(const CallType& call, ApiVersionsResponse& response) {
  for (const Row<CallType>& served : apis_of(call)) {
    const protocol::ApiInfo& api = protocol::api_info(served.key);
    auto& range = response.api_keys.emplace_back();
    range.api_key = static_cast<std::int16_t>(served.key);
    range.min_version =
        served.key == protocol::ApiKey::produce ? protocol::kAdvertisedProduceMinVersion : api.min_version;
    range.max_version = api.max_stable_version;
  }
}

// Software names: letters, digits, '-' and '.', beginning and ending with a letter or digit (KIP-511).
bool valid_software_name(std::string_view name) {
  auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  if (name.empty() || !alphanumeric(name.front()) || !alphanumeric(name.back())) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) { return alphanumeric(c) || c == '-' || c == '.'; });
}

template <typename CallType>
io::Task<ApiVersionsResponse> describe(CallType& call, ApiVersionsRequest request) {
  ApiVersionsResponse response;
  if (call.version >= 3 &&
      (!valid_software_name(request.client_software_name) || !valid_software_name(request.client_software_version))) {
    response.error_code = code(protocol::ErrorCode::invalid_request);
    co_return response;
  }
  add_apis(call, response);
  for (const auto& [name, range] : metadata::supported_features()) {
    // Version 3 clients read a minimum of 0 as an error (KAFKA-17011): features from 0 on are for version 4.
    if (call.version < 4 && range.min == 0) continue;
    auto& feature = response.supported_features.emplace_back();
    feature.name = name;
    feature.min_version = range.min;
    feature.max_version = range.max;
  }
  const metadata::ImageRef image = call.services.image();
  response.finalized_features_epoch = image->provenance.last_offset;
  auto add_finalized = [&](std::string_view name, std::int16_t level) {
    auto& feature = response.finalized_features.emplace_back();
    feature.name = name;
    feature.min_version_level = level;
    feature.max_version_level = level;
  };
  for (const auto& [name, level] : image->features) add_finalized(name, level);
  const std::int16_t kraft_version = image->provenance.kraft_version;
  if (kraft_version > 0) add_finalized(metadata::kKRaftVersionFeature, kraft_version);
  co_return response;
}

template <typename CallType>
io::Task<Reply> serve(CallType& call, Slice body) {
  const protocol::ApiInfo& api = protocol::api_info(protocol::ApiKey::api_versions);
  if (call.version >= api.min_version && call.version <= api.max_stable_version) {
    return serve_with<&describe<CallType>, ApiVersionsRequest, ApiVersionsResponse>(call, std::move(body));
  }
  return [](CallType& newer) -> io::Task<Reply> {  // the client learns what it may ask and asks again
    newer.version = 0;
    ApiVersionsResponse response;
    response.error_code = code(protocol::ErrorCode::unsupported_version);
    add_apis(newer, response);
    co_return respond(newer, response);
  }(call);
}

}  // namespace

io::Task<Reply> api_versions(Call& call, Slice body) { return serve(call, std::move(body)); }
io::Task<Reply> api_versions(ControllerCall& call, Slice body) { return serve(call, std::move(body)); }

}  // namespace klamm::handler
