#include "base/duration.h"

#include <charconv>
#include <limits>
#include <system_error>

#include "base/text.h"

namespace klamm {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// [+-]digits at the front of `text`, taken off it.
bool take_number(std::string_view& text, std::int64_t& value, bool& negative) {
  negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || !is_digit(text.front())) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (negative) value = -value;
  return true;
}

// The digits behind the point of the seconds, as milliseconds.
bool take_fraction(std::string_view& text, std::int64_t& ms) {
  text.remove_prefix(1);
  std::size_t digits = 0;
  std::int64_t unit = 100;
  ms = 0;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1), ++digits, unit /= 10) {
    ms += (text.front() - '0') * unit;
  }
  return digits <= 9;
}

}  // namespace

std::optional<std::int64_t> parse_iso_duration_ms(std::string_view text) {
  constexpr std::int64_t kMs[] = {86'400'000, 3'600'000, 60'000, 1000};
  constexpr std::string_view kUnits = "DHMS";
  const bool minus = text.starts_with('-');
  if (minus || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || upper_case(text.front()) != 'P') return std::nullopt;
  text.remove_prefix(1);

  std::int64_t total = 0;
  std::size_t next_unit = 0;  // units come in order, each once
  bool in_time = false;
  bool any_after_mark = false;
  bool any = false;
  while (!text.empty()) {
    if (upper_case(text.front()) == 'T' && !in_time) {
      in_time = true;
      text.remove_prefix(1);
      if (next_unit == 0) next_unit = 1;
      continue;
    }
    std::int64_t number = 0;
    bool negative = false;
    if (!take_number(text, number, negative) || text.empty()) return std::nullopt;
    std::int64_t fraction_ms = 0;
    const bool fraction = text.front() == '.';
    if (fraction && (!take_fraction(text, fraction_ms) || text.empty())) return std::nullopt;
    const std::size_t unit = kUnits.find(upper_case(text.front()));
    text.remove_prefix(1);
    if (unit == std::string_view::npos || unit < next_unit || (unit > 0) != in_time || (fraction && unit != 3))
      return std::nullopt;
    next_unit = unit + 1;
    any = true;
    any_after_mark = any_after_mark || in_time;
    std::int64_t part = 0;
    if (__builtin_mul_overflow(number, kMs[unit], &part) ||
        __builtin_add_overflow(part, negative ? -fraction_ms : fraction_ms, &part) ||
        __builtin_add_overflow(total, part, &total)) {
      return std::nullopt;
    }
  }
  if (!any || in_time != any_after_mark) return std::nullopt;
  if (!minus) return total;
  if (total == std::numeric_limits<std::int64_t>::min()) return std::nullopt;
  return -total;
}

}  // namespace klamm
