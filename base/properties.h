// Text in the format of Java's .properties files: server.properties, producer.config and Kafka's meta.properties.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace klamm {

// Settings by name, as they come from a file or a command line, before they have types.
using ConfigMap = std::map<std::string, std::string, std::less<>>;

// Keys and values in the order of their first appearance. A key that comes twice has its last value, as in Java.
// Values are UTF-8. A plain value, not shared between threads.
class Properties {
 public:
  struct Entry {
    std::string key;
    std::string value;
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  Properties() = default;
  explicit Properties(std::vector<Entry> entries);

  // Reads comments (# and !), the separators '=', ':' and white space, lines continued by a backslash, and the escapes
  // \t \n \r \f \uXXXX. Bytes over 0x7f are taken as UTF-8 if the whole text is valid UTF-8, else as Latin-1 (which is
  // all that Java reads). Fails with Errc::malformed and the line number on a broken \u escape, nothing else is an
  // error.
  static Result<Properties> parse(std::string_view text);

  // The value of `key`, or nothing. The view lives until the next change.
  std::optional<std::string_view> get(std::string_view key) const;
  bool contains(std::string_view key) const { return get(key).has_value(); }
  // Replaces the value where the key stands, or appends.
  void set(std::string key, std::string value);

  const std::vector<Entry>& entries() const noexcept { return entries_; }
  std::size_t size() const noexcept { return entries_.size(); }
  ConfigMap to_map() const;

  // The text that Java's Properties.store writes: a '#' line for each comment, then key=value lines; everything outside
  // printable ASCII as \uXXXX. Reading it gives the same entries.
  std::string text(std::span<const std::string> comments = {}) const;

  friend bool operator==(const Properties&, const Properties&) = default;

 private:
  std::vector<Entry> entries_;
};

}  // namespace klamm
