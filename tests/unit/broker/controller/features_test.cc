#include "broker/controller/features.h"

#include "lab.h"

namespace klamm::controller {
namespace {

struct Update {
  std::string feature;
  std::int16_t level;
  std::int8_t type = 1;
};

protocol::UpdateFeaturesResponse update(Lab& lab, std::vector<Update> updates, bool validate_only = false,
                                        std::int16_t version = 2) {
  protocol::UpdateFeaturesRequest request;
  request.validate_only = validate_only;
  for (const Update& one : updates) {
    auto& key = request.feature_updates.emplace_back();
    key.feature = one.feature;
    key.max_version_level = one.level;
    key.upgrade_type = one.type;
  }
  return lab.take(update_features(lab.view(), request, version));
}
ErrorCode update_code(Lab& lab, std::vector<Update> updates) {
  return code(update(lab, std::move(updates)).error_code);
}

TEST_CASE(
    "the bootstrap records of a new cluster are one transaction: features by name, then min.insync.replicas where ELR "
    "is on") {
  const MetadataVersion version;
  const Records records = bootstrap_transaction(feature_records(version, metadata::default_features(version)), nullptr);
  std::vector<std::string> texts;
  for (const Record& record : records) texts.push_back(metadata::record_text(record));
  REQUIRE(texts.size() == 9);
  CHECK(texts[0].find("BEGIN_TRANSACTION_RECORD") != std::string::npos);
  CHECK(texts[0].find("Bootstrap records") != std::string::npos);
  const std::vector<std::string> order{"metadata.version", "eligible.leader.replicas.version",
                                       "group.version",    "share.version",
                                       "streams.version",  "transaction.version"};
  for (std::size_t index = 0; index < order.size(); ++index)
    CHECK(texts[index + 1].find(order[index]) != std::string::npos);
  CHECK(texts[7].find("min.insync.replicas") != std::string::npos);
  CHECK(texts[8].find("END_TRANSACTION_RECORD") != std::string::npos);
}

TEST_CASE("klamm finalizes what it serves") {
  Lab lab;
  CHECK(lab.image->features == metadata::FeatureLevels{{"metadata.version", 30},
                                                       {"eligible.leader.replicas.version", 1},
                                                       {"group.version", 1},
                                                       {"transaction.version", 2}});
}

TEST_CASE("an old metadata.version has no transactions") {
  const Records records = bootstrap_transaction(feature_records(MetadataVersion{12}, {}), nullptr);
  CHECK(records.size() == 1);
}

TEST_CASE("features are upgraded and downgraded, all or none") {
  Lab lab;
  lab.add_broker(1);
  CHECK(update_code(lab, {{"transaction.version", 1, 2}}) == ErrorCode::none);
  CHECK(lab.image->feature("transaction.version") == 1);
  CHECK(update_code(lab, {{"transaction.version", 2}, {"no.such", 1}}) == ErrorCode::invalid_update_version);
  CHECK(lab.image->feature("transaction.version") == 1);
  CHECK(update_code(lab, {{"group.version", 0, 2}}) == ErrorCode::none);
  CHECK_FALSE(lab.image->features.contains("group.version"));
  update(lab, {{"group.version", 1}}, true);
  CHECK_FALSE(lab.image->features.contains("group.version"));
}

TEST_CASE("every refused update says why") {
  Lab lab;
  lab.add_broker(1);
  constexpr ErrorCode kBad = ErrorCode::invalid_update_version;
  CHECK(update_code(lab, {{"transaction.version", 1}}) == kBad);  // a downgrade must be called one
  CHECK(update_code(lab, {{"transaction.version", 3}}) == kBad);  // nobody supports it
  CHECK(update_code(lab, {{"transaction.version", -1}}) == kBad);
  CHECK(update_code(lab, {{"group.version", 0, 0}}) == kBad);  // unknown type
  CHECK(update_code(lab, {{"metadata.version", 31}}) == kBad);
  CHECK(update_code(lab, {{"metadata.version", 29, 2}}) == kBad);  // would lose metadata
  CHECK(update_code(lab, {{"metadata.version", 29, 3}}) == kBad);
  CHECK(update_code(lab, {{"kraft.version", 1}}) == kBad);
  CHECK(update_code(lab, {{"share.version", 1}}) == kBad);                        // not served yet
  CHECK(update_code(lab, {{"group.version", 1}, {"group.version", 9}}) == kBad);  // of two the last counts
  const auto response = update(lab, {{"no.such", 1}}, false, 1);
  CHECK(code(response.error_code) == kBad);
  CHECK(response.results.empty());
}

TEST_CASE("kraft.version is the quorum's: what it is already may be asked for, and no record says it") {
  Lab lab;
  CHECK(update_code(lab, {{"kraft.version", 0}}) == ErrorCode::none);
  CHECK(update_code(lab, {{"kraft.version", 2}}) == ErrorCode::invalid_update_version);
  CHECK_FALSE(lab.image->features.contains("kraft.version"));
  CHECK(update_code(lab, {{"group.version", 9}, {"group.version", 1}}) == ErrorCode::none);
  CHECK(lab.image->feature("group.version") == 1);
}

TEST_CASE("a level that some broker does not know is refused") {
  Lab lab;
  BrokerRegistration broker;
  broker.id = 4;
  broker.epoch = lab.offset;
  broker.features = {{"metadata.version", {7, 30}},
                     {"transaction.version", {0, 2}},
                     {"eligible.leader.replicas.version", {0, 1}},
                     {"group.version", {1, 1}}};
  lab.apply({metadata::broker_record(broker, MetadataVersion{})});
  const auto response = update(lab, {{"group.version", 0, 2}});
  CHECK(code(response.error_code) == ErrorCode::invalid_update_version);
  CHECK(response.error_message->find("Broker 4") != std::string::npos);
}

TEST_CASE("turning ELR on pins the cluster's min.insync.replicas") {
  Lab lab(false);
  lab.add_broker(1);
  CHECK(lab.image->configs.cluster_default().empty());
  CHECK(update_code(lab, {{"eligible.leader.replicas.version", 1}}) == ErrorCode::none);
  CHECK(lab.image->configs.cluster_default().at("min.insync.replicas") == "1");
}

TEST_CASE("releases are named by their newest level") {
  CHECK(MetadataVersion::from_name("4.3")->level == 30);
  CHECK(MetadataVersion::from_name("4.3.1")->level == 30);
  CHECK(MetadataVersion::from_name("4.1")->level == 27);
  CHECK(MetadataVersion::from_name("3.3-IV3")->level == 7);
  CHECK_FALSE(MetadataVersion::from_name("2.8").has_value());
  CHECK_FALSE(MetadataVersion::from_name("").has_value());
  CHECK(MetadataVersion{30}.metadata_changed_since(MetadataVersion{29}));
  CHECK_FALSE(MetadataVersion{29}.metadata_changed_since(MetadataVersion{25}));
}

}  // namespace
}  // namespace klamm::controller
