// The tables of client keys (Apache Kafka 4.3): what producer, consumer and admin client share, and what each has of
// its own. The serializer classes that Kafka requires are optional here: klamm's clients send and give bytes.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/config.h"

namespace klamm::client {

std::span<const ConfigKey> common_keys();
std::span<const ConfigKey> security_keys();
std::span<const ConfigKey> producer_keys();
std::span<const ConfigKey> consumer_keys();
std::span<const ConfigKey> admin_keys();

std::optional<std::string> check_offset_reset(const ConfigValue& value);
constexpr Validator kOffsetReset = checked_by(check_offset_reset, "[latest, earliest, none, by_duration:PnDTnHnMn.nS]");

}  // namespace klamm::client
