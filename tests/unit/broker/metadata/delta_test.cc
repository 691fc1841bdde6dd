#include "broker/metadata/delta.h"

#include <doctest/doctest.h>

#include "broker/metadata/image_writer.h"
#include "broker/metadata/record.h"

namespace klamm::metadata {
namespace {

constexpr Uuid kTopicA{10, 1};
constexpr Uuid kTopicB{10, 2};

Record topic(std::string name, Uuid id) {
  messages::TopicRecord message;
  message.name = std::move(name);
  message.topic_id = id;
  return {std::move(message), 0};
}

Record partition(Uuid id, std::int32_t index, std::vector<std::int32_t> replicas) {
  PartitionRegistration registration;
  registration.isr = replicas;
  registration.leader = replicas.front();
  for (std::size_t position = 0; position < replicas.size(); ++position)
    registration.directories.push_back(kUnassignedDirectory);
  registration.replicas = std::move(replicas);
  return partition_record(id, index, registration, MetadataVersion{});
}

Record broker(std::int32_t id, std::int64_t epoch) {
  BrokerRegistration registration;
  registration.id = id;
  registration.epoch = epoch;
  registration.incarnation_id = Uuid{77, static_cast<std::uint64_t>(id)};
  registration.listeners = {{"PLAINTEXT", "host", 9092, 0}};
  registration.features = {{"metadata.version", {7, 30}}};
  registration.rack = "r1";
  registration.directories = {Uuid{55, static_cast<std::uint64_t>(id)}};
  return broker_record(registration, MetadataVersion{});
}

template <typename Message>
Record record_of(Message message, std::int16_t version = 0) {
  return {std::move(message), version};
}

ImageRef replayed(ImageRef base, const Records& records) {
  MetadataDelta delta(std::move(base));
  for (const Record& record : records) REQUIRE(delta.replay(record).has_value());
  return delta.apply({static_cast<std::int64_t>(records.size()), 1, 0});
}

// Something of everything.
Records all_kinds() {
  Records records;
  records.push_back(feature_record(kMetadataVersionFeature, 30));
  records.push_back(feature_record(kElrVersionFeature, 1));
  records.push_back(broker(1, 5));
  records.push_back(broker(2, 6));
  messages::BrokerRegistrationChangeRecord unfence;
  unfence.broker_id = 1;
  unfence.broker_epoch = 5;
  unfence.fenced = -1;
  unfence.cordoned_log_dirs = std::vector<Uuid>();
  records.push_back(record_of(unfence, 3));
  ControllerRegistration controller;
  controller.id = 1;
  controller.listeners = {{"CONTROLLER", "host", 9093, 0}};
  controller.features = {{"kraft.version", {0, 1}}};
  records.push_back(controller_record(controller));
  records.push_back(topic("a", kTopicA));
  records.push_back(partition(kTopicA, 0, {1, 2}));
  records.push_back(partition(kTopicA, 1, {2, 1}));
  records.push_back(topic("b", kTopicB));
  records.push_back(partition(kTopicB, 0, {1}));
  records.push_back(config_record({ConfigResourceType::topic, "a"}, "retention.ms", "1000"));
  records.push_back(config_record({ConfigResourceType::broker, ""}, "min.insync.replicas", "1"));
  messages::ProducerIdsRecord ids;
  ids.broker_id = 1;
  ids.broker_epoch = 5;
  ids.next_producer_id = 3000;
  records.push_back(record_of(ids));
  messages::ClientQuotaRecord quota;
  quota.entity.emplace_back().entity_type = "user";
  quota.entity.back().entity_name = std::nullopt;
  quota.key = "producer_byte_rate";
  quota.value = 1e6;
  records.push_back(record_of(quota));
  messages::AccessControlEntryRecord acl;
  acl.id = Uuid{1, 1};
  acl.resource_type = 2;
  acl.resource_name = "a";
  acl.principal = "User:x";
  acl.host = "*";
  records.push_back(record_of(acl));
  messages::UserScramCredentialRecord scram;
  scram.name = "x";
  scram.mechanism = 1;
  scram.salt = Slice::copy("salt");
  scram.stored_key = Slice::copy("stored");
  scram.server_key = Slice::copy("server");
  scram.iterations = 4096;
  records.push_back(record_of(scram));
  messages::DelegationTokenRecord token;
  token.owner = "User:x";
  token.requester = "User:y";
  token.renewers = {"User:z"};
  token.token_id = "t";
  records.push_back(record_of(token));
  return records;
}

TEST_CASE("records of every kind end up in the image") {
  const ImageRef image = replayed(MetadataImage::none(), all_kinds());
  CHECK(image->metadata_version()->level == 30);
  CHECK(image->elr_enabled());
  REQUIRE(image->cluster.broker(1) != nullptr);
  CHECK_FALSE(image->cluster.broker(1)->fenced);
  CHECK(image->cluster.broker(1)->cordoned_directories == std::vector<Uuid>());
  CHECK(image->cluster.broker(2)->fenced);
  CHECK(image->cluster.broker(2)->epoch == 6);
  CHECK(image->cluster.controllers.size() == 1);
  CHECK(image->topics.find("a")->partition_count() == 2);
  CHECK(image->topics.find(kTopicA)->partition(1)->leader == 2);
  CHECK(image->configs.of_topic("a").at("retention.ms") == "1000");
  CHECK(image->configs.cluster_default().at("min.insync.replicas") == "1");
  CHECK(image->next_producer_id == 3000);
  CHECK(image->client_quotas.size() == 1);
  CHECK(image->acls.size() == 1);
  CHECK(image->scram.find(ScramKey{"x", 1})->iterations == 4096);
  CHECK(image->tokens.find("t")->renewers == std::vector<std::string>{"User:z"});
}

TEST_CASE("an image written as records and replayed is the same image, also through their bytes") {
  const ImageRef image = replayed(MetadataImage::none(), all_kinds());
  Records again;
  for (const Record& record : write_image(image)) {
    Result<Record> decoded = decode_record(encode_record(record));
    REQUIRE(decoded.has_value());
    CHECK(type_of(*decoded) == type_of(record));
    again.push_back(std::move(*decoded));
  }
  CHECK(same_content(*image, *replayed(MetadataImage::none(), again)));
  CHECK(same_content(*image, *full_delta(image)->apply({})));
}

TEST_CASE("a snapshot is written in Kafka's order") {
  std::vector<int> types;
  for (const Record& record : write_image(replayed(MetadataImage::none(), all_kinds())))
    types.push_back(type_of(record));
  CHECK(types == std::vector<int>{12, 12, 0, 0, 27, 2, 3, 3, 2, 3, 4, 4, 14, 15, 18, 11, 10});
}

TEST_CASE("record versions follow the metadata.version") {
  Records records = all_kinds();
  for (const auto& [level, expected_broker, expected_partition] :
       {std::tuple{30, 4, 2}, {25, 3, 2}, {17, 3, 1}, {9, 2, 0}, {7, 1, 0}}) {
    CAPTURE(level);
    Records here = records;
    here.push_back(feature_record(kMetadataVersionFeature, static_cast<std::int16_t>(level)));
    for (const Record& record : write_image(replayed(MetadataImage::none(), here))) {
      if (type_of(record) == 0) CHECK(record.version == expected_broker);
      if (type_of(record) == 3) CHECK(record.version == expected_partition);
      CHECK(decode_record(encode_record(record)).has_value());
    }
  }
}

TEST_CASE("a partition change bumps the partition epoch, and the leader epoch only where it names a leader") {
  const ImageRef base = replayed(MetadataImage::none(), all_kinds());
  messages::PartitionChangeRecord change;
  change.topic_id = kTopicA;
  change.partition_id = 0;
  change.isr = std::vector<std::int32_t>{1};
  const ImageRef shrunk = replayed(base, {record_of(change, 2)});
  const PartitionRegistration* partition_0 = shrunk->topics.partition("a", 0);
  CHECK(partition_0->isr == std::vector<std::int32_t>{1});
  CHECK(partition_0->leader == 1);
  CHECK(partition_0->leader_epoch == 0);
  CHECK(partition_0->partition_epoch == 1);
  messages::PartitionChangeRecord lead;
  lead.topic_id = kTopicA;
  lead.partition_id = 0;
  lead.leader = 1;
  const ImageRef again = replayed(shrunk, {record_of(lead, 2)});
  CHECK(again->topics.partition("a", 0)->leader_epoch == 1);
  CHECK(again->topics.partition("a", 0)->partition_epoch == 2);
  CHECK(base->topics.partition("a", 0)->partition_epoch == 0);
  CHECK(base->topics.find_ref("b") == again->topics.find_ref("b"));
}

TEST_CASE("a delta says what changed") {
  const ImageRef base = replayed(MetadataImage::none(), all_kinds());
  MetadataDelta delta(base);
  messages::RemoveTopicRecord remove;
  remove.topic_id = kTopicA;
  REQUIRE(delta.replay(record_of(remove)).has_value());
  constexpr Uuid kTopicC{10, 3};
  REQUIRE(delta.replay(topic("a", kTopicC)).has_value());
  REQUIRE(delta.replay(partition(kTopicC, 0, {1})).has_value());
  messages::PartitionChangeRecord change;
  change.topic_id = kTopicB;
  change.partition_id = 0;
  change.leader = -1;
  REQUIRE(delta.replay(record_of(change, 2)).has_value());
  CHECK(delta.deleted_topics().contains(kTopicA));
  REQUIRE(delta.changed_topics().size() == 2);
  CHECK(delta.changed_topics().at(kTopicC).created());
  CHECK_FALSE(delta.changed_topics().at(kTopicB).created());
  CHECK(delta.changed_topics().at(kTopicB).changed_partitions == std::set<std::int32_t>{0});
  CHECK(delta.config_changed({ConfigResourceType::topic, "a"}));
  const ImageRef image = delta.apply({});
  CHECK(image->topics.find("a")->id == kTopicC);
  CHECK(image->topics.find(kTopicA) == nullptr);
  CHECK(image->configs.of_topic("a").empty());
  CHECK(image->topics.size() == 2);
  CHECK(base->topics.find("a")->id == kTopicA);
}

TEST_CASE("a topic made and deleted in one delta leaves nothing") {
  MetadataDelta delta(MetadataImage::none());
  REQUIRE(delta.replay(topic("a", kTopicA)).has_value());
  messages::RemoveTopicRecord remove;
  remove.topic_id = kTopicA;
  REQUIRE(delta.replay(record_of(remove)).has_value());
  CHECK(delta.changed_topics().empty());
  CHECK(delta.deleted_topics().empty());
  CHECK(delta.apply({})->topics.size() == 0);
}

TEST_CASE("a snapshot loaded over an image removes what it does not mention") {
  const ImageRef base = replayed(MetadataImage::none(), all_kinds());
  MetadataDelta delta(base);
  delta.begin_snapshot();
  REQUIRE(delta.replay(feature_record(kMetadataVersionFeature, 30)).has_value());
  REQUIRE(delta.replay(broker(1, 5)).has_value());
  REQUIRE(delta.replay(topic("a", kTopicA)).has_value());
  REQUIRE(delta.replay(partition(kTopicA, 0, {1, 2})).has_value());
  REQUIRE(delta.replay(partition(kTopicA, 1, {2, 1})).has_value());
  delta.finish_snapshot();
  const ImageRef image = delta.apply({});
  CHECK(image->topics.size() == 1);
  CHECK(delta.deleted_topics().contains(kTopicB));
  CHECK(delta.changed_topics().at(kTopicA).changed_partitions.empty());
  CHECK(image->cluster.brokers.size() == 1);
  CHECK(image->cluster.controllers.empty());
  CHECK(image->configs.resources.empty());
  CHECK(image->acls.empty());
  CHECK(image->features.size() == 1);
  CHECK(image->next_producer_id == -1);
}

TEST_CASE("clearing the ELR of a topic, or of all, changes only partitions that have one") {
  Records records = all_kinds();
  messages::PartitionChangeRecord elr;
  elr.topic_id = kTopicA;
  elr.partition_id = 0;
  elr.isr = std::vector<std::int32_t>();
  elr.eligible_leader_replicas = std::vector<std::int32_t>{1, 2};
  records.push_back(record_of(elr, 2));
  const ImageRef base = replayed(MetadataImage::none(), records);
  CHECK(base->topics.partition("a", 0)->elr.size() == 2);
  for (const char* name : {"a", ""}) {
    messages::ClearElrRecord clear;
    clear.topic_name = name;
    MetadataDelta delta(base);
    REQUIRE(delta.replay(record_of(clear)).has_value());
    CHECK(delta.changed_topics().size() == 1);
    CHECK(delta.changed_topics().at(kTopicA).changed_partitions == std::set<std::int32_t>{0});
    CHECK(delta.apply({})->topics.partition("a", 0)->elr.empty());
  }
}

TEST_CASE("records that do not fit what is known are faults") {
  const ImageRef base = replayed(MetadataImage::none(), all_kinds());
  const auto refused = [&](const Record& record) {
    MetadataDelta delta(base);
    return !delta.replay(record).has_value();
  };
  CHECK(refused(partition(Uuid{9, 9}, 0, {1})));
  CHECK(refused(topic("c", kTopicA)));
  messages::PartitionChangeRecord change;
  change.topic_id = kTopicA;
  change.partition_id = 17;
  CHECK(refused(record_of(change, 2)));
  messages::RemoveTopicRecord remove;
  remove.topic_id = Uuid{9, 9};
  CHECK(refused(record_of(remove)));
  messages::BrokerRegistrationChangeRecord fence;
  fence.broker_id = 1;
  fence.broker_epoch = 999;
  CHECK(refused(record_of(fence)));
  CHECK(refused(feature_record(kMetadataVersionFeature, 99)));
}

TEST_CASE("records of an unknown type, version or frame are told apart from damaged ones") {
  const auto decode = [](std::initializer_list<int> bytes) {
    std::vector<std::byte> raw;
    for (const int byte : bytes) raw.push_back(static_cast<std::byte>(byte));
    return decode_record(Slice::copy(Bytes(raw)));
  };
  CHECK(decode({1, 99, 0}).error() == Errc::unsupported);
  CHECK(decode({1, 2, 9}).error() == Errc::unsupported);
  CHECK(decode({2, 20, 0, 0}).error() == Errc::unsupported);
  CHECK(decode({1, 20, 0, 0}).has_value());
  CHECK(decode({1, 2, 0, 5}).error() == Errc::malformed);
  CHECK(decode({1, 20, 0, 0, 0}).error() == Errc::malformed);
  CHECK(decode({}).error() == Errc::malformed);
}

}  // namespace
}  // namespace klamm::metadata
