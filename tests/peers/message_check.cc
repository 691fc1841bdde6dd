// klamm's side of tests/peers/messages.sh: generated messages against lines that Kafka's serializers wrote, one message
// a line: source class version hex json.
//
//   message_check compare            decodes each line of stdin and encodes it again, and compares bytes and JSON;
//   prints
//                                    what differs, then how many did not
//   message_check mutate SEED COUNT  for each line, COUNT messages of the same type and version with other values, in
//                                    the same form, for Kafka to read
#include <fmt/core.h>

#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "protocol/schema/catalog.h"

namespace klamm::protocol {
namespace {

using json = nlohmann::ordered_json;

struct Line {
  const MessageType* type = nullptr;
  std::string name;  // source and class, as Kafka writes them
  std::int16_t version = 0;
  std::string bytes;
  json value;
};

// Kafka's class is named like the message, with "Data" behind a request, a response and a header.
const MessageType* type_of(const std::string& source, std::string name) {
  if (const MessageType* type = find_message(source, name)) return type;
  if (name.ends_with("Data")) name.resize(name.size() - 4);
  return find_message(source, name);
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
    unsigned value = 0;
    std::from_chars(hex.data() + at, hex.data() + at + 2, value, 16);
    bytes += static_cast<char>(value);
  }
  return bytes;
}

std::string to_hex(const Slice& bytes) {
  std::string hex;
  for (const std::byte byte : bytes.bytes()) hex += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return hex;
}

std::optional<Line> parse(const std::string& text) {
  std::vector<std::string> words;
  std::size_t from = 0;
  while (words.size() < 4) {
    const std::size_t space = text.find(' ', from);
    if (space == std::string::npos) return std::nullopt;
    words.push_back(text.substr(from, space - from));
    from = space + 1;
  }
  Line line;
  line.type = type_of(words[0], words[1]);
  line.name = words[0] + " " + words[1];
  line.version = static_cast<std::int16_t>(std::stoi(words[2]));
  line.bytes = from_hex(words[3]);
  line.value = json::parse(text.substr(from), nullptr, false);
  return line;
}

json json_of(const AnyMessage& message, std::int16_t version) {
  json object = json::object();
  message.to_json(object, version, wire::JsonStyle::kafka);
  return object;
}

// Kafka's converters print records as an empty text.
void blank_records(json& value) {
  for (auto& [name, member] : value.items()) {
    if (member.is_string() && (name == "records" || name == "unalignedRecords")) member = "";
    if (member.is_structured()) blank_records(member);
  }
}

std::string line_of(const Line& line, const AnyMessage& message) {
  return fmt::format("{} {} {} {}", line.name, line.version, to_hex(message.encode(line.version)),
                     json_of(message, line.version).dump());
}

// What is wrong with klamm's reading of a line; empty if nothing.
std::string fault_in(const Line& line) {
  if (line.type == nullptr) return "no such message";
  const Result<std::unique_ptr<AnyMessage>> message = line.type->decode(Slice::copy(line.bytes), line.version);
  if (!message) return message.error().message();
  const Slice again = (*message)->encode(line.version);
  if (again.text() != line.bytes) return "encodes to " + to_hex(again);
  const Result<void> check = (*message)->check(line.version);
  if (!check) return "check: " + check.error().message();
  json value = json_of(**message, line.version);
  blank_records(value);
  if (value != line.value) return "as JSON " + value.dump();
  const Result<std::unique_ptr<AnyMessage>> from_json = line.type->from_json(line.value, line.version);
  if (!from_json) return "from JSON: " + from_json.error().message();
  return {};
}

int compare() {
  constexpr std::size_t kShown = 20;
  std::set<std::pair<const MessageType*, std::int16_t>> kinds;
  std::size_t right = 0;
  std::size_t wrong = 0;
  for (std::string text; std::getline(std::cin, text);) {
    const std::optional<Line> line = parse(text);
    const std::string fault = line ? fault_in(*line) : "not a line of this form";
    if (fault.empty()) {
      ++right;
      kinds.insert({line->type, line->version});
    } else if (wrong++ < kShown) {
      fmt::print("{}: {}\n", text.substr(0, 400), fault);
    }
  }
  std::size_t all_kinds = 0;
  for (const MessageType& type : message_catalog())
    all_kinds += static_cast<std::size_t>(type.max_version - type.min_version + 1);
  fmt::print("{} compared, {} different, {} of {} messages and versions\n", right, wrong, kinds.size(), all_kinds);
  return wrong == 0 && kinds.size() == all_kinds ? 0 : 1;
}

// Changes values in a JSON document so that a message may still be made of it.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  void mutate(json& value) {
    if (random_.chance(0.05)) {
      value = nullptr;
    } else if (value.is_object()) {
      for (json& member : value) mutate(member);
    } else if (value.is_array()) {
      mutate_array(value);
    } else if (random_.chance(0.5)) {
      mutate_leaf(value);
    }
  }

 private:
  void mutate_array(json& array) {
    if (array.empty()) return;
    if (random_.chance(0.1)) {
      array.clear();
    } else if (random_.chance(0.2)) {
      array.erase(array.size() - 1);
    } else if (random_.chance(0.3)) {
      array.push_back(json(array.front()));
    }
    for (json& element : array) mutate(element);
  }

  void mutate_leaf(json& value) {
    if (value.is_boolean()) {
      value = !value.get<bool>();
    } else if (value.is_number_float()) {
      value = random_.unit() * 1e6 - 5e5;
    } else if (value.is_number()) {
      // Small numbers fit every type; the edges come from the other side.
      value = random_.between(-128, 127);
    } else if (value.is_string()) {
      mutate_text(value);
    }
  }

  void mutate_text(json& value) {
    const auto old = value.get<std::string>();
    // Uuids and base64 must stay what they are: a changed letter in the front, the same length.
    std::string text = old;
    if (!text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) != 0) {
      text[0] = static_cast<char>('a' + random_.below(26));
    }
    value = text;
  }

  Random random_;
};

int mutate(std::uint64_t seed, int count) {
  Mutator mutator(seed);
  for (std::string text; std::getline(std::cin, text);) {
    const std::optional<Line> line = parse(text);
    if (!line || line->type == nullptr) return 1;
    for (int left = count; left > 0; --left) {
      json value = line->value;
      for (json& member : value) mutator.mutate(member);
      const Result<std::unique_ptr<AnyMessage>> message = line->type->from_json(value, line->version);
      // Null where it may not be, a number out of range, a text that is no base64: another try.
      if (!message || !(*message)->check(line->version)) continue;
      fmt::print("{}\n", line_of(*line, **message));
    }
  }
  return 0;
}

}  // namespace
}  // namespace klamm::protocol

int main(int argument_count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + argument_count);
  if (words.size() == 1 && words[0] == "compare") return klamm::protocol::compare();
  if (words.size() == 3 && words[0] == "mutate") {
    return klamm::protocol::mutate(std::stoull(words[1]), std::stoi(words[2]));
  }
  std::cerr << "usage: message_check compare | mutate SEED COUNT\n";
  return 2;
}
