#include "base/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace klamm {
namespace {

bool is_space(char c) { return static_cast<unsigned char>(c) <= ' '; }  // what Java's String.trim takes off

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool same(std::string_view left, std::string_view right, bool ignore_case) {
  return ignore_case ? equal_ignoring_case(left, right) : left == right;
}

// Calls visit(element) for each trimmed element of a comma separated text.
template <typename Visit>
void for_each_element(std::string_view text, Visit visit) {
  for (;;) {
    const std::size_t comma = text.find(',');
    visit(trim(text.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    text.remove_prefix(comma + 1);
  }
}

bool is_choice(const Validator& validator, std::string_view value) {
  bool found = false;
  for_each_element(validator.choices,
                   [&](std::string_view choice) { found = found || same(choice, value, validator.ignore_case); });
  return found;
}

std::string number_text(double number) {
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::fixed);
  return error == std::errc() ? std::string(buffer, end) : std::string();
}

template <typename Int>
std::optional<ConfigValue> parse_integer(std::string_view text) {
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  Int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return ConfigValue(static_cast<std::int64_t>(value));
}

// As Double.parseDouble, without hexadecimal floats.
std::optional<ConfigValue> parse_double(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  if (text == "NaN") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (text == "Infinity") {
    value = std::numeric_limits<double>::infinity();
  } else {
    if (!text.empty() && std::string_view("dDfF").find(text.back()) != std::string_view::npos) text.remove_suffix(1);
    if (text.empty() || !(text.front() == '.' || (text.front() >= '0' && text.front() <= '9'))) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  }
  return ConfigValue(negative ? -value : value);
}

ConfigValue parse_list(std::string_view text) {
  std::vector<std::string> elements;
  if (!text.empty()) {
    for_each_element(text, [&](std::string_view element) {
      if (std::find(elements.begin(), elements.end(), element) == elements.end()) elements.emplace_back(element);
    });
  }
  return elements;
}

// The text as the key's type; nothing if it is not one.
std::optional<ConfigValue> parse_typed(ConfigType type, std::string_view text) {
  text = trim(text);
  switch (type) {
    case ConfigType::boolean:
      if (same(text, "true", true)) return ConfigValue(true);
      if (same(text, "false", true)) return ConfigValue(false);
      return std::nullopt;
    case ConfigType::int16: return parse_integer<std::int16_t>(text);
    case ConfigType::int32: return parse_integer<std::int32_t>(text);
    case ConfigType::int64: return parse_integer<std::int64_t>(text);
    case ConfigType::float64: return parse_double(text);
    case ConfigType::list: return parse_list(text);
    case ConfigType::string:
    case ConfigType::class_name:
    case ConfigType::password: return ConfigValue(std::string(text));
  }
  return std::nullopt;
}

std::string parse_complaint(const ConfigKey& key) {
  if (key.type == ConfigType::boolean) return "Expected value to be either true or false";
  std::string_view type = "INT";
  std::string range = "[-2147483648,...,2147483647]";
  if (key.type == ConfigType::int16) {
    type = "SHORT";
    range = "[-32768,...,32767]";
  } else if (key.type == ConfigType::int64) {
    type = "LONG";
    range = "[-9223372036854775808,...,9223372036854775807]";
  } else if (key.type == ConfigType::float64) {
    type = "DOUBLE";
    range.clear();
  }
  if (key.validator.kind == Validator::Kind::range) range = key.validator.text();
  std::string complaint = "Not a number of type " + std::string(type);
  if (!range.empty()) complaint += " (allowed: " + range + ")";
  return complaint;
}

std::optional<std::string> range_complaint(const Validator& validator, const ConfigValue& value) {
  if (is_null(value)) return "Value must be non-null";
  const double number = std::holds_alternative<double>(value) ? std::get<double>(value)
                                                              : static_cast<double>(std::get<std::int64_t>(value));
  if (validator.or_value) {
    if (number == *validator.or_value || (number >= *validator.least && number <= *validator.most)) return std::nullopt;
    return "Value must be between " + number_text(*validator.least) + " and " + number_text(*validator.most) +
           " or equal to " + number_text(*validator.or_value);
  }
  const std::string allowed = validator.least && validator.most ? " (allowed: " + validator.text() + ")" : "";
  if (validator.least && number < *validator.least)
    return "Value must be at least " + number_text(*validator.least) + allowed;
  if (validator.most && number > *validator.most)
    return "Value must be no more than " + number_text(*validator.most) + allowed;
  if (std::isnan(number)) return "Value must be a number" + allowed;
  return std::nullopt;
}

std::optional<std::string> choice_complaint(const Validator& validator, const ConfigValue& value) {
  const std::string allowed =
      (validator.ignore_case ? "String must be one of (case insensitive): " : "String must be one of: ") +
      std::string(validator.choices);
  if (is_null(value)) return allowed;
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    for (const std::string& element : *list) {
      if (!is_choice(validator, element)) return allowed;
    }
    return std::nullopt;
  }
  if (!is_choice(validator, std::get<std::string>(value))) return allowed;
  return std::nullopt;
}

std::optional<std::string> list_complaint(const Validator& validator, const ConfigValue& value) {
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  if (list == nullptr) return std::nullopt;
  if (list->empty() && !validator.empty_list) {
    if (validator.choices.empty()) return "At least one value is needed";
    return "At least one value is needed, out of: " + std::string(validator.choices);
  }
  for (const std::string& element : *list) {
    if (element.empty()) return "The values of a list must not be empty";
  }
  return std::nullopt;
}

std::optional<std::string> complaint(const ConfigKey& key, const ConfigValue& value) {
  const Validator& validator = key.validator;
  if (auto text = list_complaint(validator, value)) return text;
  switch (validator.kind) {
    case Validator::Kind::any: return std::nullopt;
    case Validator::Kind::range: return range_complaint(validator, value);
    case Validator::Kind::one_of: return choice_complaint(validator, value);
    case Validator::Kind::non_empty_string:
      if (!is_null(value) && std::get<std::string>(value).empty()) return "String must be non-empty";
      return std::nullopt;
    case Validator::Kind::non_null:
      if (is_null(value)) return "Value must be non-null";
      return std::nullopt;
    case Validator::Kind::custom: return validator.check(value);
  }
  return std::nullopt;
}

// The digits of the shortest text that reads back as the same double, laid out as Java's Double.toString does.
std::string java_double(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  if (number == 0) return std::signbit(number) ? "-0.0" : "0.0";
  char buffer[64];
  const auto [end, error] =
      std::to_chars(buffer, buffer + sizeof buffer, std::fabs(number), std::chars_format::scientific);
  KLAMM_CHECK(error == std::errc());
  const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t mark = text.find('e');
  std::string digits(text.substr(0, 1));
  if (mark > 2) digits += text.substr(2, mark - 2);
  int exponent = 0;
  const std::string_view power = text.substr(mark + (text[mark + 1] == '+' ? 2 : 1));
  std::from_chars(power.data(), power.data() + power.size(), exponent);

  std::string out = number < 0 ? "-" : "";
  if (exponent < -3 || exponent > 6) {
    out += digits.substr(0, 1) + "." + (digits.size() > 1 ? digits.substr(1) : "0") + "E" + std::to_string(exponent);
  } else if (exponent < 0) {
    out += "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  } else {
    const auto whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() < whole) digits.append(whole - digits.size(), '0');
    out += digits.substr(0, whole) + "." + (digits.size() > whole ? digits.substr(whole) : "0");
  }
  return out;
}

std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t replaced = diagonal + (lower_case(left[i - 1]) == lower_case(right[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[right.size()];
}

}  // namespace

std::string_view name_of(ConfigType type) {
  switch (type) {
    case ConfigType::boolean: return "boolean";
    case ConfigType::string: return "string";
    case ConfigType::int32: return "int";
    case ConfigType::int16: return "short";
    case ConfigType::int64: return "long";
    case ConfigType::float64: return "double";
    case ConfigType::list: return "list";
    case ConfigType::class_name: return "class";
    case ConfigType::password: return "password";
  }
  return "";
}

std::string Validator::text() const {
  switch (kind) {
    case Kind::any: return "";
    case Kind::range: {
      std::string range = "[" + (least ? number_text(*least) : "") + (least ? ",..." : "...");
      if (most) range += "," + number_text(*most);
      return range + "]" + (or_value ? " or " + number_text(*or_value) : "");
    }
    case Kind::one_of: return (ignore_case ? "(case insensitive) [" : "[") + std::string(choices) + "]";
    case Kind::non_empty_string: return "non-empty string";
    case Kind::non_null: return "non-null string";
    case Kind::custom: return std::string(check_text);
  }
  return "";
}

Error config_error(std::string_view key, std::string_view value, std::string_view reason) {
  std::string context = "Invalid value ";
  context.append(value).append(" for configuration ").append(key).append(": ").append(reason);
  return {Errc::invalid_argument, std::move(context)};
}

Result<ConfigValue> parse_value(const ConfigKey& key, std::string_view text) {
  const std::string_view shown = key.sensitive() ? std::string_view("[hidden]") : text;
  std::optional<ConfigValue> value = parse_typed(key.type, text);
  if (!value) return fail(config_error(key.name, shown, parse_complaint(key)));
  if (const std::optional<std::string> reason = complaint(key, *value))
    return fail(config_error(key.name, shown, *reason));
  return *std::move(value);
}

ConfigValue default_value(const ConfigKey& key) {
  if (key.fallback.kind != ConfigDefault::Kind::text) return {};
  std::optional<ConfigValue> value = parse_typed(key.type, key.fallback.text);
  KLAMM_CHECK(value.has_value(), key.name);
  return *std::move(value);
}

std::optional<std::string> value_text(const ConfigValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&value)) return java_double(*number);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    std::string joined;
    for (const std::string& element : *list) joined += (joined.empty() ? "" : ",") + element;
    return joined;
  }
  return std::nullopt;
}

ConfigDef::ConfigDef(std::initializer_list<std::span<const ConfigKey>> tables) {
  for (const std::span<const ConfigKey> table : tables) keys_.insert(keys_.end(), table.begin(), table.end());
  std::sort(keys_.begin(), keys_.end(),
            [](const ConfigKey& left, const ConfigKey& right) { return left.name < right.name; });
  for (std::size_t i = 1; i < keys_.size(); ++i) KLAMM_CHECK(keys_[i - 1].name != keys_[i].name, keys_[i].name);
}

const ConfigKey* ConfigDef::find(std::string_view name) const {
  const auto found = std::lower_bound(keys_.begin(), keys_.end(), name,
                                      [](const ConfigKey& key, std::string_view wanted) { return key.name < wanted; });
  return found != keys_.end() && found->name == name ? &*found : nullptr;
}

std::optional<std::string_view> ConfigDef::nearest(std::string_view name) const {
  std::vector<std::string_view> names;
  names.reserve(keys_.size());
  for (const ConfigKey& key : keys_) {
    if (!key.internal) names.push_back(key.name);
  }
  return nearest_name(name, names);
}

std::optional<std::string_view> nearest_name(std::string_view name, std::span<const std::string_view> names) {
  constexpr std::size_t kLongestName = 256;  // longer ones are no slip, and cost
  if (name.size() > kLongestName) return std::nullopt;
  const std::size_t enough = std::max<std::size_t>(2, name.size() / 3);
  std::size_t best = enough + 1;
  std::optional<std::string_view> nearest;
  for (const std::string_view candidate : names) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

Result<ConfigValues> ConfigDef::parse(ConfigMap originals) const {
  ConfigValues values(*this, std::move(originals));
  values.values_.reserve(keys_.size());
  for (const ConfigKey& key : keys_) {
    const auto given = values.originals_.find(key.name);
    if (given != values.originals_.end()) {
      Result<ConfigValue> value = parse_value(key, given->second);
      KLAMM_TRY(value);
      values.values_.push_back(*std::move(value));
      continue;
    }
    if (key.fallback.kind == ConfigDefault::Kind::required) {
      return fail(Errc::invalid_argument,
                  "Missing required configuration \"" + std::string(key.name) + "\" which has no default value");
    }
    values.values_.push_back(default_value(key));
  }
  return values;
}

std::size_t ConfigValues::index_of(std::string_view key, std::initializer_list<ConfigType> types) const {
  const ConfigKey* found = def_->find(key);
  KLAMM_CHECK(found != nullptr, key);
  KLAMM_CHECK(types.size() == 0 || std::find(types.begin(), types.end(), found->type) != types.end(), key);
  return static_cast<std::size_t>(found - def_->keys_.data());
}

const ConfigValue& ConfigValues::value(std::string_view key) const { return values_[index_of(key, {})]; }

bool ConfigValues::get_bool(std::string_view key) const {
  const ConfigValue& value = values_[index_of(key, {ConfigType::boolean})];
  KLAMM_CHECK(!is_null(value), key);
  return std::get<bool>(value);
}

std::int32_t ConfigValues::get_int(std::string_view key) const {
  const std::optional<std::int32_t> value = find_int(key);
  KLAMM_CHECK(value.has_value(), key);
  return *value;
}

std::int64_t ConfigValues::get_long(std::string_view key) const {
  const std::optional<std::int64_t> value = find_long(key);
  KLAMM_CHECK(value.has_value(), key);
  return *value;
}

double ConfigValues::get_double(std::string_view key) const {
  const ConfigValue& value = values_[index_of(key, {ConfigType::float64})];
  KLAMM_CHECK(!is_null(value), key);
  return std::get<double>(value);
}

const std::string& ConfigValues::get_string(std::string_view key) const {
  const ConfigValue& value = values_[index_of(key, {ConfigType::string, ConfigType::class_name, ConfigType::password})];
  KLAMM_CHECK(!is_null(value), key);
  return std::get<std::string>(value);
}

const std::vector<std::string>& ConfigValues::get_list(std::string_view key) const {
  const std::vector<std::string>* list = find_list(key);
  KLAMM_CHECK(list != nullptr, key);
  return *list;
}

std::optional<std::int32_t> ConfigValues::find_int(std::string_view key) const {
  const ConfigValue& value = values_[index_of(key, {ConfigType::int32, ConfigType::int16})];
  if (is_null(value)) return std::nullopt;
  return static_cast<std::int32_t>(std::get<std::int64_t>(value));
}

std::optional<std::int64_t> ConfigValues::find_long(std::string_view key) const {
  const ConfigValue& value = values_[index_of(key, {ConfigType::int64})];
  if (is_null(value)) return std::nullopt;
  return std::get<std::int64_t>(value);
}

std::optional<std::string> ConfigValues::find_string(std::string_view key) const {
  const ConfigValue& value = values_[index_of(key, {ConfigType::string, ConfigType::class_name, ConfigType::password})];
  if (is_null(value)) return std::nullopt;
  return std::get<std::string>(value);
}

const std::vector<std::string>* ConfigValues::find_list(std::string_view key) const {
  return std::get_if<std::vector<std::string>>(&values_[index_of(key, {ConfigType::list})]);
}

}  // namespace klamm
