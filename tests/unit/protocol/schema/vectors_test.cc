// Every message of Apache Kafka 4.3.1 in every version, against bytes that its own serializer wrote
// (tests/golden/vectors.jsonl: source, class, version, value, hex).
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "protocol/schema/catalog.h"
#include "protocol/wire/reader.h"
#include "tests/unit/why.h"

namespace klamm::protocol {
namespace {

using json = nlohmann::ordered_json;

struct Vector {
  const MessageType* type = nullptr;
  std::int16_t version = 0;
  json value;
  std::string bytes;
  std::string label;
};

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
  }
  return bytes;
}

const MessageType* type_of(const std::string& source, std::string name) {
  if (const MessageType* type = find_message(source, name)) return type;
  if (name.ends_with("Data")) name.resize(name.size() - 4);
  return find_message(source, name);
}

const std::vector<Vector>& vectors() {
  static const std::vector<Vector> all = [] {
    std::vector<Vector> read;
    std::ifstream file(std::string(KLAMM_SOURCE_DIR) + "/tests/golden/vectors.jsonl");
    for (std::string line; std::getline(file, line);) {
      const json row = json::parse(line);
      const auto name = row[1].get<std::string>();
      read.push_back({type_of(row[0].get<std::string>(), name), row[2].get<std::int16_t>(), row[3],
                      from_hex(row[4].get<std::string>()), name + " v" + std::to_string(row[2].get<int>())});
    }
    return read;
  }();
  return all;
}

std::unique_ptr<AnyMessage> decoded(const Vector& vector, const std::string& bytes) {
  Result<std::unique_ptr<AnyMessage>> message = vector.type->decode(Slice::copy(bytes), vector.version);
  if (!message) return nullptr;
  return std::move(*message);
}

json full_json(const AnyMessage& message, std::int16_t version) {
  json object = json::object();
  message.to_json(object, version, wire::JsonStyle::full);
  return object;
}

// The bytes with one more tagged field in the last section, which is the message's own; empty if it cannot be found.
std::string with_unknown_tag(const Vector& vector) {
  for (std::size_t count_at = vector.bytes.size(); count_at-- > 0;) {
    std::string bytes = vector.bytes;
    bytes[count_at] = static_cast<char>(bytes[count_at] + 1);
    bytes += "\x7f\x02hi";
    const std::unique_ptr<AnyMessage> message = decoded(vector, bytes);
    if (message && full_json(*message, vector.version) == vector.value) return bytes;
  }
  return {};
}

}  // namespace

TEST_CASE("the vectors cover every message in every version") {
  std::set<std::pair<const MessageType*, std::int16_t>> covered;
  for (const Vector& vector : vectors()) {
    REQUIRE_MESSAGE(vector.type != nullptr, vector.label);
    covered.insert({vector.type, vector.version});
  }
  std::size_t versions = 0;
  for (const MessageType& type : message_catalog()) {
    for (int version = type.min_version; version <= type.max_version; ++version) {
      CAPTURE(type.name);
      CHECK(covered.count({&type, static_cast<std::int16_t>(version)}) == 1);
      ++versions;
    }
  }
  CHECK(versions == 728);
  CHECK(message_catalog().size() == 272);
}

TEST_CASE("bytes of Kafka's serializer decode to the value and encode to the same bytes") {
  for (const Vector& vector : vectors()) {
    CAPTURE(vector.label);
    const std::unique_ptr<AnyMessage> message = decoded(vector, vector.bytes);
    REQUIRE(message != nullptr);
    CHECK(full_json(*message, vector.version) == vector.value);
    CHECK(message->encoded_size(vector.version) == vector.bytes.size());
    CHECK(message->encode(vector.version) == Slice::copy(vector.bytes));
    CHECK(message->check(vector.version).has_value());
  }
}

TEST_CASE("pieces join to the same bytes, and records are not copied") {
  for (const Vector& vector : vectors()) {
    CAPTURE(vector.label);
    const Slice frame = Slice::copy(vector.bytes);
    Result<std::unique_ptr<AnyMessage>> message = vector.type->decode(frame, vector.version);
    REQUIRE(message.has_value());
    std::string joined;
    for (const io::Piece& piece : (*message)->encode_pieces(vector.version)) {
      const auto& slice = std::get<Slice>(piece);
      if (slice.data() >= frame.begin() && slice.data() < frame.end()) {
        CHECK(slice.text() == frame.text().substr(static_cast<std::size_t>(slice.data() - frame.data()), slice.size()));
      }
      joined += slice.text();
    }
    CHECK(joined == vector.bytes);
  }
}

TEST_CASE("the value as JSON encodes to the bytes of Kafka's serializer") {
  for (const Vector& vector : vectors()) {
    CAPTURE(vector.label);
    Result<std::unique_ptr<AnyMessage>> message = vector.type->from_json(vector.value, vector.version);
    REQUIRE_MESSAGE(message.has_value(), why_of(message));
    CHECK((*message)->encode(vector.version) == Slice::copy(vector.bytes));
    const std::unique_ptr<AnyMessage> same = decoded(vector, vector.bytes);
    REQUIRE(same != nullptr);
    CHECK(same->equals(**message));
  }
}

TEST_CASE("JSON in Kafka's own style reads back to the same message") {
  for (const Vector& vector : vectors()) {
    CAPTURE(vector.label);
    const std::unique_ptr<AnyMessage> message = decoded(vector, vector.bytes);
    REQUIRE(message != nullptr);
    json object;
    message->to_json(object, vector.version, wire::JsonStyle::kafka);
    Result<std::unique_ptr<AnyMessage>> back = vector.type->from_json(object, vector.version);
    REQUIRE(back.has_value());
    CHECK((*back)->equals(*message));
  }
}

TEST_CASE("no proper prefix of a message decodes") {
  for (const Vector& vector : vectors()) {
    CAPTURE(vector.label);
    for (std::size_t size = 0; size < vector.bytes.size(); ++size) {
      CAPTURE(size);
      // A copy of exactly this size, so that a sanitizer sees every read past it.
      CHECK(decoded(vector, vector.bytes.substr(0, size)) == nullptr);
    }
    CHECK(decoded(vector, vector.bytes + '\0') == nullptr);
  }
}

TEST_CASE("an unknown tagged field is kept and sent again") {
  std::size_t tried = 0;
  for (const Vector& vector : vectors()) {
    if (!vector.type->is_flexible(vector.version)) continue;
    CAPTURE(vector.label);
    const std::string bytes = with_unknown_tag(vector);
    REQUIRE(!bytes.empty());
    const std::unique_ptr<AnyMessage> message = decoded(vector, bytes);
    REQUIRE(message != nullptr);
    CHECK(message->encode(vector.version) == Slice::copy(bytes));
    CHECK(message->check(vector.version).has_value());
    CHECK(!message->equals(*decoded(vector, vector.bytes)));
    ++tried;
  }
  CHECK(tried > 300);
}

TEST_CASE("any changed byte gives an error or a message that encodes to something that decodes") {
  for (const Vector& vector : vectors()) {
    CAPTURE(vector.label);
    for (std::size_t at = 0; at < vector.bytes.size(); ++at) {
      for (const char value : {'\x00', '\x7f', '\xff'}) {
        std::string bytes = vector.bytes;
        bytes[at] = value;
        const std::unique_ptr<AnyMessage> message = decoded(vector, bytes);
        if (!message) continue;
        const Slice again = message->encode(vector.version);
        const std::unique_ptr<AnyMessage> same = decoded(vector, std::string(again.text()));
        REQUIRE(same != nullptr);
        CHECK(same->encode(vector.version) == again);
      }
    }
  }
}

TEST_CASE("a version that does not exist is refused") {
  for (const MessageType& type : message_catalog()) {
    CAPTURE(type.name);
    CHECK(!type.decode(Slice(), static_cast<std::int16_t>(type.max_version + 1)).has_value());
    CHECK(!type.decode(Slice(), static_cast<std::int16_t>(type.min_version - 1)).has_value());
    CHECK(!type.make()->check(static_cast<std::int16_t>(type.max_version + 1)).has_value());
  }
}

}  // namespace klamm::protocol
