#include "protocol/wire/json.h"

#include <array>
#include <nlohmann/json.hpp>

namespace klamm::wire {
namespace {

using json = nlohmann::ordered_json;

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64(Bytes bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    for (std::size_t index = 0; index < 3; ++index) {
      group = (group << 8) | (index < count ? std::to_integer<std::uint32_t>(bytes[at + index]) : 0);
    }
    for (std::size_t index = 0; index < 4; ++index) {
      text += index <= count ? kAlphabet[(group >> (18 - 6 * index)) & 63] : '=';
    }
  }
  return text;
}

std::optional<Slice> from_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const std::size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>((bits >> held) & 0xFF);
  }
  return Slice::copy(bytes);
}

const json& empty_object() {
  static const json object = json::object();
  return object;
}

}  // namespace

// --- writing ---

JsonWriter::JsonWriter(json& object, JsonStyle style) : object_(object), style_(style) {
  if (!object_.is_object()) object_ = json::object();
}

void JsonWriter::put_bool(const char* name, bool value) { object_[name] = value; }
void JsonWriter::put_number(const char* name, std::int64_t value) { object_[name] = value; }
void JsonWriter::put_null(const char* name) { object_[name] = nullptr; }
void JsonWriter::put(const char* name, double value) { object_[name] = value; }
void JsonWriter::put(const char* name, const Uuid& value) { object_[name] = value.text(); }
void JsonWriter::put(const char* name, const std::string& value) { object_[name] = value; }
void JsonWriter::put(const char* name, const Slice& value) { object_[name] = base64(value); }

void JsonWriter::put(const char* name, const Records& value) {
  if (value.is_null()) {
    put_null(name);
  } else {
    put(name, value.slice());
  }
}

void JsonWriter::put(const char* name, const std::vector<std::int8_t>& values) { object_[name] = values; }
void JsonWriter::put(const char* name, const std::vector<std::int16_t>& values) { object_[name] = values; }
void JsonWriter::put(const char* name, const std::vector<std::int32_t>& values) { object_[name] = values; }
void JsonWriter::put(const char* name, const std::vector<std::int64_t>& values) { object_[name] = values; }
void JsonWriter::put(const char* name, const std::vector<std::string>& values) { object_[name] = values; }

void JsonWriter::put(const char* name, const std::vector<Uuid>& values) {
  json& array = this->array(name);
  for (const Uuid& value : values) array.push_back(value.text());
}

JsonWriter JsonWriter::object(const char* name) { return {object_[name] = json::object(), style_}; }
json& JsonWriter::array(const char* name) { return object_[name] = json::array(); }
JsonWriter JsonWriter::add_object(json& array) const { return {array.emplace_back(json::object()), style_}; }

// --- reading ---

JsonReader::JsonReader(const json& object, JsonFault& fault) : object_(object), fault_(fault) {
  if (!object_.is_object()) fault_.set("an object was expected");
}

bool JsonReader::has(const char* name) const { return object_.is_object() && object_.contains(name); }

const json* JsonReader::find(const char* name) const {
  if (!object_.is_object()) return nullptr;
  const auto member = object_.find(name);
  if (member != object_.end()) return &*member;
  fault_.set(std::string(name) + ": missing");
  return nullptr;
}

bool JsonReader::is_null(const char* name) const {
  const json* value = find(name);
  return value != nullptr && value->is_null();
}

void JsonReader::wrong(const char* name, const char* expected) const {
  fault_.set(std::string(name) + ": " + expected + " was expected");
}

void JsonReader::get(const char* name, bool& value) const {
  const json* found = find(name);
  if (found == nullptr) return;
  if (!found->is_boolean()) return wrong(name, "a boolean");
  value = found->get<bool>();
}

namespace {

// A whole number between the limits; nullopt for everything else.
std::optional<std::int64_t> whole_number(const json& value, std::int64_t least, std::int64_t most) {
  if (!value.is_number_integer()) return std::nullopt;
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > kMost) return std::nullopt;
  const auto number = value.get<std::int64_t>();
  if (number < least || number > most) return std::nullopt;
  return number;
}

}  // namespace

void JsonReader::get_number(const char* name, std::int64_t& value, std::int64_t least, std::int64_t most) const {
  const json* found = find(name);
  if (found == nullptr) return;
  const std::optional<std::int64_t> number = whole_number(*found, least, most);
  if (!number) return wrong(name, "a whole number in the range of its type");
  value = *number;
}

void JsonReader::get(const char* name, double& value) const {
  const json* found = find(name);
  if (found == nullptr) return;
  if (!found->is_number()) return wrong(name, "a number");
  value = found->get<double>();
}

void JsonReader::get(const char* name, Uuid& value) const {
  std::string text;
  get(name, text);
  const std::optional<Uuid> uuid = Uuid::parse(text);
  if (!uuid) return wrong(name, "a uuid of 22 characters");
  value = *uuid;
}

void JsonReader::get(const char* name, std::string& value) const {
  const json* found = find(name);
  if (found == nullptr) return;
  if (!found->is_string()) return wrong(name, "a text");
  value = found->get<std::string>();
}

void JsonReader::get(const char* name, Slice& value) const {
  std::string text;
  get(name, text);
  std::optional<Slice> bytes = from_base64(text);
  if (!bytes) return wrong(name, "base64");
  value = *std::move(bytes);
}

void JsonReader::get(const char* name, Records& value) const {
  std::optional<Slice> bytes;
  get(name, bytes);
  value = bytes ? Records(*std::move(bytes)) : Records();
}

template <typename T, typename Convert>
void JsonReader::get_elements(const char* name, std::vector<T>& values, Convert convert) const {
  values.clear();
  const json* found = find(name);
  if (found == nullptr) return;
  if (!found->is_array()) return wrong(name, "an array");
  for (const json& element : *found) {
    const std::optional<T> value = convert(element);
    if (!value) return wrong(name, "an array of another type");
    values.push_back(*value);
  }
}

template <typename Int>
void JsonReader::get_ints(const char* name, std::vector<Int>& values) const {
  get_elements(name, values, [](const json& element) -> std::optional<Int> {
    const auto number = whole_number(element, std::numeric_limits<Int>::min(), std::numeric_limits<Int>::max());
    if (!number) return std::nullopt;
    return static_cast<Int>(*number);
  });
}

void JsonReader::get(const char* name, std::vector<std::int8_t>& values) const { get_ints(name, values); }
void JsonReader::get(const char* name, std::vector<std::int16_t>& values) const { get_ints(name, values); }
void JsonReader::get(const char* name, std::vector<std::int32_t>& values) const { get_ints(name, values); }
void JsonReader::get(const char* name, std::vector<std::int64_t>& values) const { get_ints(name, values); }

void JsonReader::get(const char* name, std::vector<Uuid>& values) const {
  get_elements(name, values, [](const json& element) -> std::optional<Uuid> {
    if (!element.is_string()) return std::nullopt;
    return Uuid::parse(element.get<std::string>());
  });
}

void JsonReader::get(const char* name, std::vector<std::string>& values) const {
  get_elements(name, values, [](const json& element) -> std::optional<std::string> {
    if (!element.is_string()) return std::nullopt;
    return element.get<std::string>();
  });
}

JsonReader JsonReader::object(const char* name) const {
  const json* found = find(name);
  if (found == nullptr || !found->is_object()) {
    wrong(name, "an object");
    return {empty_object(), fault_};
  }
  return {*found, fault_};
}

std::size_t JsonReader::array_size(const char* name) const {
  const json* found = find(name);
  if (found == nullptr) return 0;
  if (found->is_array()) return found->size();
  wrong(name, "an array");
  return 0;
}

JsonReader JsonReader::element(const char* name, std::size_t index) const { return {object_[name][index], fault_}; }

}  // namespace klamm::wire
