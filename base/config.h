// Configuration with types: tables of keys (ConfigKey), a registry over them (ConfigDef), and a parsed set
// (ConfigValues). It parses and complains as Apache Kafka's ConfigDef does, so that a value which is good there is good
// here. Knows no key by itself: the tables are in broker/config and client/core.
//
// Everything is immutable once made and may be read from any thread. Errors are Errc::invalid_argument; their context()
// is the whole sentence, in Kafka's words where Kafka has them: it names key, value and what is allowed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/properties.h"
#include "base/result.h"

namespace klamm {

// The numbers are those of DescribeConfigs' ConfigType field.
enum class ConfigType : std::int8_t {
  boolean = 1,
  string = 2,
  int32 = 3,
  int16 = 4,
  int64 = 5,
  float64 = 6,
  list = 7,        // comma separated
  class_name = 8,  // a Java class name: kept as text, nothing is loaded
  password = 9,    // as string, never shown
};
std::string_view name_of(ConfigType type);  // "boolean", "int", "long" …, as Kafka's documentation writes them

enum class Importance : std::int8_t { high, medium, low };

// When a broker key may be changed.
enum class UpdateMode : std::int8_t { read_only, cluster_wide, per_broker };

// A parsed value; monostate is null ("not set, and no default"). Integers of all widths are int64.
using ConfigValue = std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<std::string>>;
inline bool is_null(const ConfigValue& value) { return std::holds_alternative<std::monostate>(value); }

// What a value must be besides parseable. Literal type: tables are constexpr.
struct Validator {
  // Says what is wrong with the value, or nothing if it is good. Called for null too.
  using Check = std::optional<std::string> (*)(const ConfigValue& value);
  enum class Kind : std::int8_t { any, range, one_of, non_empty_string, non_null, custom };

  Kind kind = Kind::any;
  std::optional<double> least = {};
  std::optional<double> most = {};
  std::optional<double> or_value = {};  // range: this value is good too
  std::string_view choices = {};        // one_of: "a, b, c". For a list, each element must be one
  bool ignore_case = false;             // one_of
  bool empty_list = true;               // lists: false if at least one element is needed
  Check check = nullptr;                // custom
  std::string_view check_text = {};     // custom: what is allowed, for people

  // What is allowed, as Kafka's documentation writes it ("[0,...]", "[a, b]"); empty if everything is.
  std::string text() const;
};

constexpr Validator kAny{};
constexpr Validator at_least(double least) { return {.kind = Validator::Kind::range, .least = least}; }
constexpr Validator between(double least, double most) {
  return {.kind = Validator::Kind::range, .least = least, .most = most};
}
constexpr Validator between_or(double least, double most, double or_value) {
  return {.kind = Validator::Kind::range, .least = least, .most = most, .or_value = or_value};
}
constexpr Validator one_of(std::string_view choices) { return {.kind = Validator::Kind::one_of, .choices = choices}; }
constexpr Validator one_of_any_case(std::string_view choices) {
  return {.kind = Validator::Kind::one_of, .choices = choices, .ignore_case = true};
}
constexpr Validator some_of(std::string_view choices) {
  return {.kind = Validator::Kind::one_of, .choices = choices, .empty_list = false};
}
constexpr Validator kNonEmpty{.kind = Validator::Kind::non_empty_string};
constexpr Validator kNonNull{.kind = Validator::Kind::non_null};
constexpr Validator kNonEmptyList{.empty_list = false};
constexpr Validator checked_by(Validator::Check check, std::string_view text) {
  return {.kind = Validator::Kind::custom, .check = check, .check_text = text};
}

// A default: a text to be parsed as a set value is, null, or none (the key must be set).
struct ConfigDefault {
  enum class Kind : std::int8_t { text, null, required };
  Kind kind = Kind::null;
  std::string_view text;
  constexpr ConfigDefault(Kind default_kind) : kind(default_kind) {}
  constexpr ConfigDefault(const char* default_text) : kind(Kind::text), text(default_text) {}
};
constexpr ConfigDefault kNoDefault{ConfigDefault::Kind::null};
constexpr ConfigDefault kRequired{ConfigDefault::Kind::required};

// One line of a table: ConfigKey{"num.io.threads", kInt, "8", at_least(1), kHigh}.cluster_wide().about("…").
struct ConfigKey {
  std::string_view name;
  ConfigType type;
  ConfigDefault fallback;
  Validator validator;
  Importance importance;
  UpdateMode update = UpdateMode::read_only;
  bool internal = false;      // left out of descriptions unless it is set
  std::string_view doc = {};  // one sentence, may be empty

  constexpr ConfigKey cluster_wide() const { return with_update(UpdateMode::cluster_wide); }
  constexpr ConfigKey per_broker() const { return with_update(UpdateMode::per_broker); }
  constexpr ConfigKey hidden() const {
    ConfigKey copy = *this;
    copy.internal = true;
    return copy;
  }
  constexpr ConfigKey about(std::string_view text) const {
    ConfigKey copy = *this;
    copy.doc = text;
    return copy;
  }
  bool sensitive() const { return type == ConfigType::password; }

 private:
  constexpr ConfigKey with_update(UpdateMode mode) const {
    ConfigKey copy = *this;
    copy.update = mode;
    return copy;
  }

 public:
  constexpr ConfigKey(std::string_view key_name, ConfigType key_type, ConfigDefault key_default,
                      Validator key_validator, Importance key_importance)
      : name(key_name), type(key_type), fallback(key_default), validator(key_validator), importance(key_importance) {}
};

// Short names for tables.
namespace config_table {
constexpr ConfigType kBoolean = ConfigType::boolean;
constexpr ConfigType kInt = ConfigType::int32;
constexpr ConfigType kShort = ConfigType::int16;
constexpr ConfigType kLong = ConfigType::int64;
constexpr ConfigType kDouble = ConfigType::float64;
constexpr ConfigType kString = ConfigType::string;
constexpr ConfigType kList = ConfigType::list;
constexpr ConfigType kClass = ConfigType::class_name;
constexpr ConfigType kPassword = ConfigType::password;
constexpr Importance kHigh = Importance::high;
constexpr Importance kMedium = Importance::medium;
constexpr Importance kLow = Importance::low;
}  // namespace config_table

// "Invalid value X for configuration K: Y" as an Error.
Error config_error(std::string_view key, std::string_view value, std::string_view reason);

// The text as a value of the key's type, then checked by its validator. Numbers and booleans may have white space
// around; a list's elements are trimmed, must not be empty, and count once each.
Result<ConfigValue> parse_value(const ConfigKey& key, std::string_view text);
// The key's default as a value; null for keys without one.
ConfigValue default_value(const ConfigKey& key);
// The value as Kafka shows it: lists joined by commas, doubles in Java's form, nothing for null.
std::optional<std::string> value_text(const ConfigValue& value);

class ConfigValues;

// A registry of keys. Made once from tables and kept for the life of the program (ConfigValues point into it).
class ConfigDef {
 public:
  // A name that comes twice is a broken invariant.
  explicit ConfigDef(std::initializer_list<std::span<const ConfigKey>> tables);

  const ConfigKey* find(std::string_view name) const;                    // null: no such key
  const std::vector<ConfigKey>& keys() const noexcept { return keys_; }  // by name
  // The key whose name is most like `name`, if one is near enough to be what was meant.
  std::optional<std::string_view> nearest(std::string_view name) const;

  // Parses and checks every known key, and takes the defaults of those not set. Unknown names are left alone (and stay
  // in the originals): the caller decides what they mean. The first bad key is the error.
  Result<ConfigValues> parse(ConfigMap originals) const;

 private:
  friend class ConfigValues;
  std::vector<ConfigKey> keys_;
};

// "linger.ms" for "linger.msec": the nearest of `names` by edit distance, if near enough to be a slip.
std::optional<std::string_view> nearest_name(std::string_view name, std::span<const std::string_view> names);

// A parsed set. Getters check (KLAMM_CHECK) that the key is in the registry and has the type asked for, and those that
// return plain values that it is not null: a wrong name is a bug of the program, not of its user.
class ConfigValues {
 public:
  bool get_bool(std::string_view key) const;
  std::int32_t get_int(std::string_view key) const;  // int and short keys
  std::int64_t get_long(std::string_view key) const;
  double get_double(std::string_view key) const;
  const std::string& get_string(std::string_view key) const;  // string, class and password keys
  const std::vector<std::string>& get_list(std::string_view key) const;

  std::optional<std::int32_t> find_int(std::string_view key) const;
  std::optional<std::int64_t> find_long(std::string_view key) const;
  std::optional<std::string> find_string(std::string_view key) const;
  const std::vector<std::string>* find_list(std::string_view key) const;  // null: not set

  const ConfigValue& value(std::string_view key) const;
  // True if the key was given, not defaulted.
  bool given(std::string_view key) const { return originals_.contains(key); }
  const ConfigMap& originals() const noexcept { return originals_; }
  const ConfigDef& def() const noexcept { return *def_; }

 private:
  friend class ConfigDef;
  ConfigValues(const ConfigDef& def, ConfigMap originals) : def_(&def), originals_(std::move(originals)) {}

  std::size_t index_of(std::string_view key, std::initializer_list<ConfigType> types) const;

  const ConfigDef* def_;
  ConfigMap originals_;
  std::vector<ConfigValue> values_;  // in the order of def_->keys()
};

}  // namespace klamm
