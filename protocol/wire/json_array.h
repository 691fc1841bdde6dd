// Structs and arrays of them in JSON; included by generated sources only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/wire/json.h"

namespace klamm::wire {

template <typename Struct>
void put_struct(JsonWriter& json, const char* name, const Struct& value, std::int16_t version) {
  JsonWriter inner = json.object(name);
  value.to_json(inner, version);
}
template <typename Struct>
void put_struct(JsonWriter& json, const char* name, const std::optional<Struct>& value, std::int16_t version) {
  if (value) {
    put_struct(json, name, *value, version);
  } else {
    json.put_null(name);
  }
}

template <typename Struct>
void put_structs(JsonWriter& json, const char* name, const std::vector<Struct>& values, std::int16_t version) {
  nlohmann::ordered_json& array = json.array(name);
  for (const Struct& value : values) {
    JsonWriter element = json.add_object(array);
    value.to_json(element, version);
  }
}
template <typename Struct>
void put_structs(JsonWriter& json, const char* name, const std::optional<std::vector<Struct>>& values,
                 std::int16_t version) {
  if (values) {
    put_structs(json, name, *values, version);
  } else {
    json.put_null(name);
  }
}

template <typename Struct>
void get_struct(const JsonReader& json, const char* name, Struct& value, std::int16_t version) {
  value.from_json(json.object(name), version);
}
template <typename Struct>
void get_struct(const JsonReader& json, const char* name, std::optional<Struct>& value, std::int16_t version) {
  value.reset();
  if (!json.is_null(name)) get_struct(json, name, value.emplace(), version);
}

template <typename Struct>
void get_structs(const JsonReader& json, const char* name, std::vector<Struct>& values, std::int16_t version) {
  values.clear();
  Struct::resize(values, json.array_size(name));
  for (std::size_t index = 0; index < values.size(); ++index)
    values[index].from_json(json.element(name, index), version);
}
template <typename Struct>
void get_structs(const JsonReader& json, const char* name, std::optional<std::vector<Struct>>& values,
                 std::int16_t version) {
  values.reset();
  if (!json.is_null(name)) get_structs(json, name, values.emplace(), version);
}

}  // namespace klamm::wire
