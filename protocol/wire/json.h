// Messages as JSON, in the form of Kafka's own converters (dump-log, metadata-shell, request logs): names with a small
// first letter, uuids as 22 characters, bytes and records in base64.
//
// This header and the generated ones know nlohmann::json by name only; who makes or reads documents includes it.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "protocol/wire/records.h"

namespace klamm::wire {

enum class JsonStyle {
  kafka,  // tagged fields at their default are left out, as Kafka's converters do
  full,   // every field that the version has
};

// Fills one JSON object.
class JsonWriter {
 public:
  JsonWriter(nlohmann::ordered_json& object, JsonStyle style);

  bool wants_defaults() const noexcept { return style_ == JsonStyle::full; }

  template <std::integral Number>
  void put(const char* name, Number value) {
    if constexpr (std::same_as<Number, bool>) {
      put_bool(name, value);
    } else {
      put_number(name, value);
    }
  }
  void put(const char* name, double value);
  void put(const char* name, const Uuid& value);
  void put(const char* name, const std::string& value);
  void put(const char* name, const Slice& value);
  void put(const char* name, const Records& value);  // must be in memory
  void put(const char* name, const std::vector<std::int8_t>& values);
  void put(const char* name, const std::vector<std::int16_t>& values);
  void put(const char* name, const std::vector<std::int32_t>& values);
  void put(const char* name, const std::vector<std::int64_t>& values);
  void put(const char* name, const std::vector<Uuid>& values);
  void put(const char* name, const std::vector<std::string>& values);
  template <typename T>
  void put(const char* name, const std::optional<T>& value) {
    if (value) {
      put(name, *value);
    } else {
      put_null(name);
    }
  }
  void put_null(const char* name);

  // A member that is an object, or an array to which objects are added.
  JsonWriter object(const char* name);
  nlohmann::ordered_json& array(const char* name);
  JsonWriter add_object(nlohmann::ordered_json& array) const;

 private:
  void put_bool(const char* name, bool value);
  void put_number(const char* name, std::int64_t value);

  nlohmann::ordered_json& object_;
  JsonStyle style_;
};

// The first thing that did not fit while a document was read.
class JsonFault {
 public:
  void set(std::string what) {
    if (what_.empty()) what_ = std::move(what);
  }
  Result<void> result() const {
    if (what_.empty()) return {};
    return fail(Errc::invalid_argument, what_);
  }

 private:
  std::string what_;
};

// Reads one JSON object. A missing member, a wrong type or a number out of range goes to the JsonFault and leaves the
// value as it was. Members that nobody asks for are ignored, as Kafka does.
class JsonReader {
 public:
  JsonReader(const nlohmann::ordered_json& object, JsonFault& fault);

  bool has(const char* name) const;

  void get(const char* name, bool& value) const;
  template <std::integral Number>
  void get(const char* name, Number& value) const {
    std::int64_t number = value;
    get_number(name, number, std::numeric_limits<Number>::min(),
               static_cast<std::int64_t>(std::numeric_limits<Number>::max()));
    value = static_cast<Number>(number);
  }
  void get(const char* name, double& value) const;
  void get(const char* name, Uuid& value) const;
  void get(const char* name, std::string& value) const;
  void get(const char* name, Slice& value) const;
  void get(const char* name, Records& value) const;
  void get(const char* name, std::vector<std::int8_t>& values) const;
  void get(const char* name, std::vector<std::int16_t>& values) const;
  void get(const char* name, std::vector<std::int32_t>& values) const;
  void get(const char* name, std::vector<std::int64_t>& values) const;
  void get(const char* name, std::vector<Uuid>& values) const;
  void get(const char* name, std::vector<std::string>& values) const;
  template <typename T>
  void get(const char* name, std::optional<T>& value) const {
    if (is_null(name)) {
      value.reset();
    } else {
      get(name, value.emplace());
    }
  }
  // True if the member is there and null.
  bool is_null(const char* name) const;

  // A member that is an object; the elements of one that is an array of objects (0 of them if it is none).
  JsonReader object(const char* name) const;
  std::size_t array_size(const char* name) const;
  JsonReader element(const char* name, std::size_t index) const;

 private:
  const nlohmann::ordered_json* find(const char* name) const;
  void get_number(const char* name, std::int64_t& value, std::int64_t least, std::int64_t most) const;
  template <typename T, typename Convert>
  void get_elements(const char* name, std::vector<T>& values, Convert convert) const;
  template <typename Int>
  void get_ints(const char* name, std::vector<Int>& values) const;
  void wrong(const char* name, const char* expected) const;

  const nlohmann::ordered_json& object_;
  JsonFault& fault_;
};

// A generated message (or struct) as a JSON object and back. `version` must be one of the message's.
// Errc::invalid_argument names the member that does not fit.
template <typename M>
void to_json(const M& message, std::int16_t version, nlohmann::ordered_json& object,
             JsonStyle style = JsonStyle::kafka) {
  JsonWriter writer(object, style);
  message.to_json(writer, version);
}
template <typename M>
Result<M> from_json(const nlohmann::ordered_json& object, std::int16_t version) {
  JsonFault fault;
  M message;
  message.from_json(JsonReader(object, fault), version);
  const Result<void> result = fault.result();
  if (!result) return fail(result.error());
  return message;
}

}  // namespace klamm::wire
