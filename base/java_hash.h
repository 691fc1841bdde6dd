// java.lang.String.hashCode(): Kafka places groups and transactional ids by it.
#pragma once

#include <cstdint>
#include <string_view>

namespace klamm {

// Over the UTF-16 units of `text`, which is UTF-8; what is not counts as U+FFFD, as Java decodes it.
std::int32_t java_hash(std::string_view text);
// The place of `text` among `count`: the hash without its sign, modulo count. -2^31 has no positive and counts as 0.
std::int32_t place_by_java_hash(std::string_view text, std::int32_t count);

}  // namespace klamm
