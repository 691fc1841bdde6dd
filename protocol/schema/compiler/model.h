// What a message table says, and what the compiler works out from it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace klamm::schema {

constexpr int kNoLimit = 32767;

// Versions low to high; empty if low > high.
struct Range {
  int low = 1;
  int high = 0;

  static Range all() { return {0, kNoLimit}; }
  bool empty() const { return low > high; }
  bool contains(Range other) const { return other.empty() || (low <= other.low && other.high <= high); }
  Range cut(Range other) const { return {std::max(low, other.low), std::min(high, other.high)}; }
  // The smallest range that holds both.
  Range hull(Range other) const {
    if (empty()) return other;
    if (other.empty()) return *this;
    return {std::min(low, other.low), std::max(high, other.high)};
  }
};

enum class Kind {
  boolean,
  int8,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  float64,
  uuid,
  string,
  bytes,
  records,
  structure
};

struct Field {
  std::string name;         // as in the table
  std::string member;       // its C++ name
  Kind kind = Kind::int32;  // of the element, if an array
  std::string struct_name;  // for Kind::structure
  bool is_array = false;
  Range versions;  // in which it exists, inline or tagged
  Range tagged;    // in which it is a tagged field
  int tag = -1;
  Range nullable;
  std::optional<std::string> default_text;
  std::optional<Range> flexible;
  bool ignorable = false;

  bool can_be_null() const { return !nullable.empty(); }
  // Null unless set: an empty optional.
  bool defaults_to_null() const { return can_be_null() && default_text == "null"; }
  bool is_struct() const { return kind == Kind::structure && !is_array; }
  bool is_struct_array() const { return kind == Kind::structure && is_array; }
};

struct Struct {
  std::string name;
  std::vector<Field> fields;
  Range used;                // versions of the message in which one can occur
  bool has_records = false;  // here or further inside
  bool needs_check = false;  // some value of it cannot be sent in some version
  int least_bytes = 0;       // the fewest bytes that one takes on the wire
};

struct Message {
  std::string name;
  std::string kind;
  std::string source;
  std::optional<int> key;
  Range valid;
  Range flexible;
  std::vector<std::string> listeners;
  bool latest_unstable = false;
  Struct root;                  // its name is the message's
  std::vector<Struct> structs;  // each after those that it uses

  bool is_request() const { return kind == "request"; }
  bool is_api() const { return kind == "request" || kind == "response"; }
  const Struct& find(const std::string& struct_name) const;
};

struct Schema {
  std::vector<Message> messages;                            // only those with a valid version
  std::map<int, std::string> api_names;                     // all keys, the removed ones too
  std::map<std::string, std::set<std::string>> api_traits;  // trait to API names
};

}  // namespace klamm::schema
