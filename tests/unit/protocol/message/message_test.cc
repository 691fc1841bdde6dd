#include <doctest/doctest.h>

#include "protocol/message/any_message.h"
#include "protocol/message/api.h"
#include "protocol/message/header.h"
#include "protocol/message/metadata_record.h"
#include "protocol/messages/api_versions_request.h"
#include "protocol/messages/api_versions_response.h"
#include "protocol/messages/metadata/topic_record.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/sasl_handshake_request.h"
#include "protocol/messages/vote_response.h"

namespace klamm::protocol {
namespace {

std::string join(const io::Pieces& pieces) {
  std::string bytes;
  for (const io::Piece& piece : pieces) bytes += std::get<Slice>(piece).text();
  return bytes;
}

// The frame without its size, which must be right.
Slice frame_of(const io::Pieces& pieces) {
  const Slice all = Slice::copy(join(pieces));
  REQUIRE(all.size() >= 4);
  REQUIRE(load_big_endian<std::int32_t>(all.data()) == static_cast<std::int32_t>(all.size() - 4));
  return all.from(4);
}

}  // namespace

TEST_CASE("the registry has the facts of each API") {
  CHECK(all_apis().size() == 89);
  const ApiInfo& produce = api_info(ApiKey::produce);
  CHECK(produce.name == "Produce");
  CHECK(produce.min_version == 3);
  CHECK(produce.max_version == 13);
  CHECK(produce.on_broker);
  CHECK(!produce.on_controller);
  CHECK(!produce.forwarded);
  CHECK(api_info(ApiKey::init_producer_id).max_stable_version == 5);
  CHECK(api_info(ApiKey::init_producer_id).max_version == 6);
  CHECK(api_info(ApiKey::create_topics).forwarded);
  CHECK(api_info(ApiKey::vote).cluster_action);
  CHECK(!api_info(ApiKey::vote).on_broker);
  CHECK(name(ApiKey::list_offsets) == "ListOffsets");
  CHECK(find_api(static_cast<std::int16_t>(ApiKey::leader_and_isr)) == nullptr);
  CHECK(find_api(-1) == nullptr);
  CHECK(find_api(93) == nullptr);
  std::int16_t last = -1;
  for (const ApiInfo& api : all_apis()) {
    CHECK(static_cast<std::int16_t>(api.key) > last);
    last = static_cast<std::int16_t>(api.key);
    CHECK((api.on_broker || api.on_controller));
    CHECK(find_api(last) == &api);
  }
}

TEST_CASE("header versions follow flexible versions, except in the answer to ApiVersions") {
  const ApiInfo& produce = api_info(ApiKey::produce);
  CHECK(produce.request_header_version(8) == 1);
  CHECK(produce.request_header_version(9) == 2);
  CHECK(produce.response_header_version(8) == 0);
  CHECK(produce.response_header_version(9) == 1);
  const ApiInfo& versions = api_info(ApiKey::api_versions);
  CHECK(versions.request_header_version(3) == 2);
  CHECK(versions.response_header_version(3) == 0);
  CHECK(api_info(ApiKey::sasl_handshake).request_header_version(1) == 1);
  CHECK(api_info(ApiKey::vote).response_header_version(0) == 1);
}

TEST_CASE("a request frame is size, header and body") {
  const SaslHandshakeRequest handshake{.mechanism = "PLAIN"};
  CHECK(join(encode_request(handshake, 1, 7, "me")) == std::string("\0\0\0\x13"
                                                                   "\0\x11"
                                                                   "\0\x01"
                                                                   "\0\0\0\x07"
                                                                   "\0\x02me"
                                                                   "\0\x05PLAIN",
                                                                   23));
  const ApiVersionsRequest versions{.client_software_name = "k", .client_software_version = "1"};
  // Header version 2: the client id keeps its int16 length, a tagged section follows.
  CHECK(join(encode_request(versions, 3, 1, std::nullopt)) == std::string("\0\0\0\x10"
                                                                          "\0\x12"
                                                                          "\0\x03"
                                                                          "\0\0\0\x01"
                                                                          "\xff\xff"
                                                                          "\0"
                                                                          "\x02k"
                                                                          "\x02"
                                                                          "1"
                                                                          "\0",
                                                                          20));
}

TEST_CASE("a request reads back through its header") {
  ProduceRequest request;
  request.acks = 1;
  request.topic_data = {{.name = "t", .partition_data = {{.index = 2, .records = Slice::copy("batch")}}}};
  for (std::int16_t version = 3; version <= 9; ++version) {
    wire::Reader reader(frame_of(encode_request(request, version, 42, "client")));
    const Result<RequestHeader> header = read_request_header(reader);
    REQUIRE(header.has_value());
    CHECK(header->request_api_key == 0);
    CHECK(header->request_api_version == version);
    CHECK(header->correlation_id == 42);
    CHECK(header->client_id == "client");
    const Slice body = reader.read_rest();
    const auto back = wire::decode_message<ProduceRequest>(body, version);
    REQUIRE(back.has_value());
    CHECK(*back == request);
    const auto any = decode_any_request(ApiKey::produce, version, body);
    REQUIRE(any.has_value());
    CHECK((*any)->encode(version) == body);
  }
}

TEST_CASE("headers of unknown APIs and versions") {
  wire::Reader unknown(Slice::copy(std::string("\0\x7f\0\0\0\0\0\x01\xff\xff", 10)));
  const auto refused = read_request_header(unknown);
  REQUIRE(!refused.has_value());
  CHECK(code_of(refused.error()) == ErrorCode::invalid_request);
  // ApiVersions in version 99: the header is readable, so that version 0 can be answered.
  wire::Reader future(Slice::copy(std::string("\0\x12\0\x63\0\0\0\x01\xff\xff\0", 11)));
  const auto header = read_request_header(future);
  REQUIRE(header.has_value());
  CHECK(header->request_api_version == 99);
  CHECK(!header->client_id.has_value());
  wire::Reader cut(Slice::copy(std::string("\0\x12\0", 3)));
  const auto malformed = read_request_header(cut);
  REQUIRE(!malformed.has_value());
  CHECK(malformed.error() == Errc::malformed);
}

TEST_CASE("a response reads back through its header, and another correlation id is refused") {
  const VoteResponse vote{.error_code = 3};
  const Slice frame = frame_of(encode_response(vote, 2, 9));
  CHECK(load_big_endian<std::int32_t>(frame.data()) == 9);
  CHECK(frame[4] == std::byte{0});  // the header's tagged section
  const auto back = decode_response<VoteResponse>(frame, 2, 9);
  REQUIRE(back.has_value());
  CHECK(*back == vote);
  const auto other = decode_response<VoteResponse>(frame, 2, 10);
  REQUIRE(!other.has_value());
  CHECK(other.error() == Errc::malformed);
  // No tagged section in the header of an ApiVersions response, though its body is flexible.
  const Slice versions = frame_of(encode_response(ApiVersionsResponse{.error_code = 1}, 3, 5));
  CHECK(versions[4] == std::byte{0});
  CHECK(versions[5] == std::byte{1});
}

TEST_CASE("decoding an API by number refuses versions that it does not have") {
  CHECK(!decode_any_request(ApiKey::produce, 2, Slice()).has_value());
  CHECK(!decode_any_response(ApiKey::leader_and_isr, 0, Slice()).has_value());
}

TEST_CASE("metadata records stand behind frame version, type and version") {
  const metadata::TopicRecord topic{.name = "t", .topic_id = {1, 2}};
  const Slice bytes = encode_metadata_record(topic, 0);
  CHECK(bytes[0] == std::byte{1});
  CHECK(bytes[1] == std::byte{2});
  CHECK(bytes[2] == std::byte{0});
  wire::Reader reader(bytes);
  const auto head = read_metadata_record_head(reader);
  REQUIRE(head.has_value());
  CHECK(head->type == metadata::TopicRecord::kRecordType);
  const auto back = wire::decode_message<metadata::TopicRecord>(reader.read_rest(), head->version);
  REQUIRE(back.has_value());
  CHECK(*back == topic);
  wire::Reader future(Slice::copy(std::string("\x02\x02\0", 3)));
  CHECK(read_metadata_record_head(future).error() == Errc::unsupported);
  wire::Reader empty{Slice()};
  CHECK(read_metadata_record_head(empty).error() == Errc::malformed);
}

}  // namespace klamm::protocol
