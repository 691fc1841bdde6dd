#include "protocol/message/api.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace klamm::protocol {
namespace {

constexpr ApiInfo kApis[] = {
#include "protocol/messages/api_table.inc"
};

}  // namespace

std::span<const ApiInfo> all_apis() noexcept { return kApis; }

const ApiInfo* find_api(std::int16_t key) noexcept {
  const auto found = std::lower_bound(std::begin(kApis), std::end(kApis), static_cast<ApiKey>(key),
                                      [](const ApiInfo& api, ApiKey wanted) { return api.key < wanted; });
  if (found == std::end(kApis) || found->key != static_cast<ApiKey>(key)) return nullptr;
  return found;
}

const ApiInfo& api_info(ApiKey key) noexcept {
  const ApiInfo* api = find_api(static_cast<std::int16_t>(key));
  KLAMM_CHECK(api != nullptr, "an API without versions");
  return *api;
}

std::string_view name(ApiKey key) noexcept {
  const ApiInfo* api = find_api(static_cast<std::int16_t>(key));
  return api == nullptr ? "Unknown" : api->name;
}

}  // namespace klamm::protocol
