#include <string>
#include <vector>

#include "node_fixture.h"
#include "protocol/messages/api_versions_request.h"
#include "protocol/messages/api_versions_response.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/metadata_response.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"
#include "protocol/record/batch_builder.h"
#include "protocol/record/record.h"

using namespace klamm;
using namespace klamm::server::testing;

namespace {

Slice batch_of(const std::vector<std::string>& values) {
  record::BatchBuilder builder{record::BatchOptions{}};
  for (const std::string& value : values) REQUIRE(builder.append(1'750'000'000'000, {}, as_bytes(value)));
  compress::Codecs codecs;
  Result<Slice> batch = builder.build(codecs);
  REQUIRE(batch);
  return *batch;
}

Uuid create_topic(Client& client, const std::string& name, std::int32_t partitions) {
  const auto response = client.call<protocol::CreateTopicsResponse>(creation_of(name, partitions));
  REQUIRE(response.topics.size() == 1);
  REQUIRE(response.topics[0].error_code == 0);
  return response.topics[0].topic_id;
}

protocol::ProduceRequest produce_to(const Uuid& topic_id, std::int32_t partition, Slice batch) {
  protocol::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 10'000;
  auto& topic = request.topic_data.emplace_back();
  topic.topic_id = topic_id;
  auto& data = topic.partition_data.emplace_back();
  data.index = partition;
  data.records = wire::Records(std::move(batch));
  return request;
}

std::vector<std::string> fetch_values(Client& client, const Uuid& topic_id, std::int32_t partition,
                                      std::int64_t offset) {
  protocol::FetchRequest request;
  request.max_wait_ms = 5'000;
  request.min_bytes = 1;
  request.max_bytes = 50 << 20;
  request.session_epoch = -1;
  auto& topic = request.topics.emplace_back();
  topic.topic_id = topic_id;
  auto& asked = topic.partitions.emplace_back();
  asked.partition = partition;
  asked.fetch_offset = offset;
  asked.partition_max_bytes = 1 << 20;
  const auto response = client.call<protocol::FetchResponse>(request);
  REQUIRE(response.error_code == 0);
  REQUIRE(response.responses.size() == 1);
  const auto& data = response.responses[0].partitions.at(0);
  REQUIRE(data.error_code == 0);
  std::vector<std::string> values;
  compress::Codecs codecs;
  record::BatchCursor cursor(data.records.slice());
  while (cursor.next()) {
    Result<record::BatchView> batch = cursor.batch();
    REQUIRE(batch);
    Result<Slice> plain = record::plain_records(*batch, codecs, 1 << 20);
    REQUIRE(plain);
    record::RecordIterator records(*batch, plain->bytes());
    for (record::RecordView each; records.next(each);) {
      if (each.offset >= offset) values.emplace_back(as_text(each.value.bytes()));
    }
    REQUIRE(records.status());
  }
  return values;
}

}  // namespace

TEST_CASE("a node starts, creates a topic, takes records and gives them back, also after a restart") {
  Host host;
  Uuid topic_id;
  {
    server::testing::RunningNode node(host);
    Client client(node);
    const auto versions = client.call<protocol::ApiVersionsResponse>(protocol::ApiVersionsRequest{{"test"}, {"1"}});
    CHECK(versions.error_code == 0);
    CHECK(versions.api_keys.size() > 20);
    topic_id = create_topic(client, "log", 3);
    for (std::int32_t partition = 0; partition < 3; ++partition) {
      const auto response =
          client.call<protocol::ProduceResponse>(produce_to(topic_id, partition, batch_of({"a", "b"})));
      REQUIRE(response.responses.at(0).partition_responses.at(0).error_code == 0);
      CHECK(response.responses[0].partition_responses[0].base_offset == 0);
    }
    CHECK(fetch_values(client, topic_id, 1, 0) == std::vector<std::string>{"a", "b"});
  }
  {
    server::testing::RunningNode node(host);
    Client client(node);
    CHECK(fetch_values(client, topic_id, 2, 1) == std::vector<std::string>{"b"});
    const auto response = client.call<protocol::ProduceResponse>(produce_to(topic_id, 2, batch_of({"c"})));
    REQUIRE(response.responses.at(0).partition_responses.at(0).error_code == 0);
    CHECK(response.responses[0].partition_responses[0].base_offset == 2);
    CHECK(fetch_values(client, topic_id, 2, 2) == std::vector<std::string>{"c"});
  }
}
