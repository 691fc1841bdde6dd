// Durations as text, in the form that Java's Duration.parse reads: PnDTnHnMn.nS, any part left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace klamm {

// Milliseconds of "P1DT2H30M5.25S", "-PT5M", "pt10s"; nothing if it is not such a text or does not fit. Each number may
// have a sign. What is finer than a millisecond is cut off towards zero.
std::optional<std::int64_t> parse_iso_duration_ms(std::string_view text);

}  // namespace klamm
