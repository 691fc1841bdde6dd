#include <doctest/doctest.h>
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "protocol/error.h"
#include "protocol/messages/describe_topic_partitions_response.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/messages/group/consumer_group_member_metadata_value.h"
#include "protocol/messages/heartbeat_request.h"
#include "protocol/messages/metadata/partition_record.h"
#include "protocol/messages/offset_delete_request.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"
#include "protocol/wire/json.h"
#include "protocol/wire/message.h"

namespace klamm::protocol {
namespace {

std::string hex(const Slice& bytes) {
  std::string text;
  for (const std::byte byte : bytes.bytes()) text += fmt::format("{:02x}", std::to_integer<int>(byte));
  return text;
}

std::string join(const io::Pieces& pieces) {
  std::string bytes;
  for (const io::Piece& piece : pieces) bytes += std::get<Slice>(piece).text();
  return bytes;
}

ProduceRequest produce_of(Slice first, Slice second) {
  return {.acks = -1,
          .timeout_ms = 1000,
          .topic_data = {
              {.name = "a", .partition_data = {{.index = 0, .records = first}, {.index = 1, .records = second}}}}};
}

}  // namespace

TEST_CASE("messages know their API, versions and response") {
  static_assert(ProduceRequest::kApiKey == ApiKey::produce);
  static_assert(std::is_same_v<ProduceRequest::Response, ProduceResponse>);
  static_assert(FetchRequest::kMinVersion == 4 && FetchRequest::kMaxVersion == 18 && FetchRequest::kFlexibleFrom == 12);
  static_assert(metadata::PartitionRecord::kRecordType == 3);
  static_assert(OffsetDeleteRequest::kFlexibleFrom == 32767);
  CHECK(FetchRequest::kName == "FetchRequest");
}

TEST_CASE("members start at the defaults of their tables") {
  const FetchRequest fetch;
  CHECK(fetch.max_bytes == 0x7fffffff);
  CHECK(fetch.replica_id == -1);
  CHECK(fetch.replica_state.replica_epoch == -1);
  CHECK(!fetch.cluster_id.has_value());
  CHECK(FetchRequest::FetchPartition{}.high_watermark == 9223372036854775807);
  CHECK(DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponseTopic{}.topic_authorized_operations ==
        -2147483648);
  // Declared nullable, but null only if set so.
  CHECK(group::ConsumerGroupMemberMetadataValue{}.classic_member_metadata.has_value());
}

TEST_CASE("records go out as the slices they came in, between the parts of one buffer") {
  const Slice first = Slice::copy("first batch");
  const Slice second = Slice::copy("second batch");
  const ProduceRequest request = produce_of(first, second);
  for (const std::int16_t version : {std::int16_t{3}, std::int16_t{9}}) {
    const io::Pieces pieces = wire::encode_pieces(request, version);
    REQUIRE(pieces.size() >= 4);
    CHECK(std::get<Slice>(pieces[1]).data() == first.data());
    CHECK(std::get<Slice>(pieces[3]).data() == second.data());
    CHECK(join(pieces) == wire::encode_message(request, version).text());
    CHECK(io::size_of(pieces) == request.encoded_size(version));
  }
}

TEST_CASE("decoded records are parts of the frame") {
  const Slice frame = wire::encode_message(produce_of(Slice::copy("xyz"), Slice()), 9);
  const Result<ProduceRequest> request = wire::decode_message<ProduceRequest>(frame, 9);
  REQUIRE(request.has_value());
  const wire::Records& records = request->topic_data[0].partition_data[0].records;
  CHECK(records.slice().text() == "xyz");
  CHECK(records.slice().data() > frame.begin());
  CHECK(records.slice().data() < frame.end());
  CHECK(records.slice().buffer().operator->() == frame.buffer().operator->());
  CHECK(!request->topic_data[0].partition_data[1].records.is_null());
  CHECK(request->topic_data[0].partition_data[1].records.empty());
}

TEST_CASE("records may be regions of files, which only pieces can carry") {
  FetchResponse response;
  io::Pieces records = {io::FileRegion{nullptr, 100, 5000}, Slice::copy("tail")};
  response.responses.push_back({.partitions = {{.records = wire::Records(records)}}});
  const io::Pieces pieces = wire::encode_pieces(response, 18);
  REQUIRE(pieces.size() == 4);
  CHECK(std::get<io::FileRegion>(pieces[1]).size == 5000);
  CHECK(io::size_of(pieces) == response.encoded_size(18));
}

TEST_CASE("a field that the version lacks is an error if it is set, unless it is ignorable") {
  FetchRequest request;
  CHECK(request.check(4).has_value());
  request.rack_id = "r1";  // from version 11, ignorable
  CHECK(request.check(4).has_value());
  request.forgotten_topics_data.emplace_back();  // from version 7
  const Result<void> refused = request.check(4);
  REQUIRE(!refused.has_value());
  CHECK(code_of(refused.error()) == ErrorCode::unsupported_version);
  CHECK(refused.error().context().find("FetchRequest.ForgottenTopicsData") != std::string::npos);
  CHECK(request.check(7).has_value());
  CHECK(!request.check(19).has_value());
}

TEST_CASE("null is an error where the version does not allow it") {
  HeartbeatRequest request;
  request.group_instance_id = std::nullopt;
  CHECK(request.check(0).has_value());
  ProduceRequest produce = produce_of(Slice(), Slice());
  produce.topic_data[0].name = std::string(32768, 'x');
  const Result<void> too_long = produce.check(9);
  REQUIRE(!too_long.has_value());
  CHECK(too_long.error() == Errc::invalid_argument);
}

TEST_CASE("unknown tagged fields are checked for order, known numbers and a version that carries them") {
  FetchRequest request;
  request.unknown_tags = {{5, Slice::copy("x")}};
  CHECK(request.check(12).has_value());
  CHECK(!request.check(11).has_value());
  request.unknown_tags = {{5, Slice()}, {5, Slice()}};
  CHECK(!request.check(12).has_value());
  request.unknown_tags = {{1, Slice()}};
  CHECK(!request.check(12).has_value());
}

TEST_CASE("unknown tagged fields are sent between known ones in order of their tags") {
  metadata::PartitionRecord record;
  record.eligible_leader_replicas = {7};                // tag 1
  record.last_known_elr = std::vector<std::int32_t>{};  // tag 2
  record.unknown_tags = {{3, Slice::copy("u")}, {300, Slice()}};
  const Slice bytes = wire::encode_message(record, 2);
  CHECK(
      hex(bytes).ends_with("04"
                           "01"
                           "05"
                           "0200000007"
                           "02"
                           "01"
                           "01"
                           "03"
                           "01"
                           "75"
                           "ac02"
                           "00"));
  const auto back = wire::decode_message<metadata::PartitionRecord>(bytes, 2);
  REQUIRE(back.has_value());
  CHECK(*back == record);
}

TEST_CASE("a null struct in a tagged field is a tag of one zero byte") {
  group::ConsumerGroupMemberMetadataValue value;
  const std::size_t without = value.encoded_size(0);
  value.classic_member_metadata = std::nullopt;
  const Slice bytes = wire::encode_message(value, 0);
  CHECK(bytes.size() == without + 3);
  CHECK(
      hex(bytes).ends_with("01"
                           "00"
                           "01"
                           "00"));
  const auto back = wire::decode_message<group::ConsumerGroupMemberMetadataValue>(bytes, 0);
  REQUIRE(back.has_value());
  CHECK(*back == value);
}

TEST_CASE("a tagged field must fill its size exactly") {
  ProduceRequest request;
  Slice bytes = wire::encode_message(FetchRequest{.cluster_id = "abc"}, 12);
  REQUIRE(wire::decode_message<FetchRequest>(bytes, 12).has_value());
  // The section ends "01 00 04 04 a b c": number of fields, tag, size, length + 1, text.
  bytes.mutable_data()[bytes.size() - 5] = std::byte{3};
  const auto short_size = wire::decode_message<FetchRequest>(bytes, 12);
  REQUIRE(!short_size.has_value());
  CHECK(short_size.error() == Errc::malformed);
}

TEST_CASE("messages behind their version read back") {
  const HeartbeatRequest request{.group_id = "g", .generation_id = 3, .member_id = "m"};
  const Slice bytes = wire::encode_versioned(request, 3);
  CHECK(hex(bytes.part(0, 2)) == "0003");
  const auto back = wire::decode_versioned<HeartbeatRequest>(bytes);
  REQUIRE(back.has_value());
  CHECK(*back == request);
  CHECK(!wire::decode_versioned<HeartbeatRequest>(Slice::copy("\x01")).has_value());
}

TEST_CASE("JSON that does not fit is refused by the member's name") {
  const auto read = [](const char* text) {
    return wire::from_json<HeartbeatRequest>(nlohmann::ordered_json::parse(text), 3);
  };
  CHECK(read(R"({"groupId":"g","generationId":1,"memberId":"m","groupInstanceId":null})").has_value());
  CHECK(read(R"({"groupId":"g","generationId":1,"memberId":"m"})").error().context() == "groupInstanceId: missing");
  CHECK(!read(R"({"groupId":7,"generationId":1,"memberId":"m","groupInstanceId":null})").has_value());
  CHECK(!read(R"({"groupId":"g","generationId":4294967296,"memberId":"m","groupInstanceId":null})").has_value());
  CHECK(!read(R"(["groupId"])").has_value());
}

TEST_CASE("JSON leaves tagged fields at their default out unless asked") {
  nlohmann::ordered_json object;
  wire::to_json(FetchRequest{}, 18, object);
  CHECK(!object.contains("clusterId"));
  CHECK(object.contains("maxWaitMs"));
  wire::to_json(FetchRequest{}, 18, object, wire::JsonStyle::full);
  CHECK(object.contains("clusterId"));
}

}  // namespace klamm::protocol
