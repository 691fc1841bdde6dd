#include "tools/record_formatter.h"

#include <doctest/doctest.h>

#include <array>
#include <vector>

namespace klamm::tools {
namespace {

constexpr std::string_view kDefault = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";

std::string formatted(const RecordView& record,
                      std::initializer_list<std::pair<std::string_view, std::string_view>> properties) {
  Result<RecordFormatter> formatter = RecordFormatter::create(kDefault, Config(properties));
  REQUIRE(formatter);
  std::string out;
  REQUIRE(formatter->format(record, out));
  return out;
}

RecordView sample() {
  RecordView record;
  record.topic = "t";
  record.partition = 3;
  record.offset = 42;
  record.timestamp = 1700000000000;
  record.key = "k";
  record.value = "v";
  return record;
}

}  // namespace

TEST_CASE("the value alone is printed by default, null as the null literal") {
  RecordView record = sample();
  CHECK(formatted(record, {}) == "v\n");
  record.value = nullptr;
  CHECK(formatted(record, {}) == "null\n");
  CHECK(formatted(record, {{"null.literal", "NIL"}}) == "NIL\n");
}

TEST_CASE("fields come in Kafka's order, parted by the key separator") {
  RecordView record = sample();
  const std::vector<const char*> all = {"print.value",  "print.key",       "print.headers",  "print.epoch",
                                        "print.offset", "print.partition", "print.timestamp"};
  Config properties;
  for (const char* name : all) properties.set(name, "true");
  Result<RecordFormatter> formatter = RecordFormatter::create(kDefault, properties);
  REQUIRE(formatter);
  std::string out;
  REQUIRE(formatter->format(record, out));
  CHECK(out == "CreateTime:1700000000000\tPartition:3\tOffset:42\tEpoch:NOT_PRESENT\tNO_HEADERS\tk\tv\n");
  CHECK(formatted(record, {{"print.key", "true"}, {"key.separator", ": "}, {"line.separator", ";"}}) == "k: v;");
  CHECK(formatted(record, {{"print.value", "false"}, {"print.offset", "true"}}) == "Offset:42\n");
  CHECK(formatted(record, {{"print.value", "false"}}).empty());
}

TEST_CASE("headers are printed as key:value, parted by the headers separator") {
  // Two headers as in a batch: sizes as zigzag varints of one byte each.
  const std::array<std::byte, 9> encoded = {std::byte{2},   std::byte{'a'}, std::byte{2}, std::byte{'1'}, std::byte{4},
                                            std::byte{'b'}, std::byte{'c'}, std::byte{1}, std::byte{0}};
  RecordView record = sample();
  record.headers = HeaderRange(encoded.data(), 8, 2);
  CHECK(formatted(record, {{"print.headers", "true"}}) == "a:1,bc:null\tv\n");
  CHECK(formatted(record, {{"print.headers", "true"}, {"headers.separator", "|"}}) == "a:1|bc:null\tv\n");
}

TEST_CASE("deserializers print numbers, and refuse bytes of another size") {
  const std::array<std::byte, 8> eight = {std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0},
                                          std::byte{0}, std::byte{0}, std::byte{1}, std::byte{2}};
  RecordView record = sample();
  record.value = Bytes(eight);
  CHECK(formatted(record, {{"value.deserializer", "org.apache.kafka.common.serialization.LongDeserializer"}}) ==
        "258\n");
  record.value = "short";
  Result<RecordFormatter> formatter = RecordFormatter::create(
      kDefault, Config{{"value.deserializer", "org.apache.kafka.common.serialization.LongDeserializer"}});
  REQUIRE(formatter);
  std::string out;
  Result<void> refused = formatter->format(record, out);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().context() == "Size of data received by LongDeserializer is not 8");
  CHECK_FALSE(RecordFormatter::create(kDefault, Config{{"key.deserializer", "com.example.Avro"}}));
}

TEST_CASE("formatters are known by Kafka's class names, others are refused") {
  Result<RecordFormatter> nothing =
      RecordFormatter::create("org.apache.kafka.tools.consumer.NoOpMessageFormatter", Config());
  REQUIRE(nothing);
  std::string out;
  REQUIRE(nothing->format(sample(), out));
  CHECK(out.empty());
  CHECK(RecordFormatter::create("org.apache.kafka.tools.consumer.LoggingMessageFormatter", Config()));
  CHECK_FALSE(RecordFormatter::create("kafka.tools.NoOpMessageFormatter", Config()));
}

}  // namespace klamm::tools
