#include "tools/metadata_tree.h"

#include <doctest/doctest.h>

#include "broker/metadata/delta.h"
#include "broker/metadata/record.h"

namespace klamm::tools {
namespace {

MetadataNode small_tree() {
  metadata::MetadataDelta delta(metadata::MetadataImage::none());
  metadata::messages::FeatureLevelRecord level;
  level.name = "metadata.version";
  level.feature_level = 30;
  REQUIRE(delta.replay({level, 0}));
  metadata::messages::TopicRecord topic;
  topic.name = "log";
  topic.topic_id = Uuid{7, 8};
  REQUIRE(delta.replay({topic, 0}));
  metadata::messages::PartitionRecord partition;
  partition.partition_id = 0;
  partition.topic_id = topic.topic_id;
  partition.replicas = {1, 2};
  partition.isr = {1};
  partition.leader = 1;
  REQUIRE(delta.replay({partition, 0}));
  metadata::messages::ConfigRecord config;
  config.resource_type = 2;
  config.resource_name = "log";
  config.name = "retention.ms";
  config.value = "7";
  REQUIRE(delta.replay({config, 0}));
  return metadata_tree(*delta.apply({.last_offset = 9, .last_epoch = 2, .last_timestamp_ms = 1'700'000'000'005}));
}

std::vector<std::string> names(const MetadataNode& root, const std::vector<std::string>& folder,
                               std::string_view word) {
  const Result<std::vector<FoundNode>> found = find_nodes(root, folder, word);
  std::vector<std::string> list;
  if (!found) return {"error: " + found.error().context()};
  list.reserve(found->size());
  for (const FoundNode& one : *found) list.push_back(one.name);
  return list;
}

}  // namespace

TEST_CASE("metadata is shown as a tree of names") {
  const MetadataNode root = small_tree();
  const auto text = [&](std::string_view path) {
    const Result<std::vector<FoundNode>> found = find_nodes(root, {}, path);
    REQUIRE(found.has_value());
    REQUIRE(found->size() == 1);
    CHECK_FALSE(found->front().node->directory);
    return found->front().node->text;
  };
  CHECK(text("/image/features/metadataVersion") == "Optional[4.3-IV0]");
  CHECK(text("/image/provenance") == "offset 9, epoch 2, time 2023-11-14T22:13:20.005Z[UTC]");
  CHECK(text("/image/configs/TOPIC:log/retention.ms") == "7");
  CHECK(text("/image/topics/byName/log/0").starts_with("PartitionRegistration(replicas=[1, 2], directories=["));
  CHECK(text("/image/topics/byName/log/id") == Uuid{7, 8}.text());
  CHECK(text("/image/topics/byId/" + Uuid{7, 8}.text() + "/name") == "log");
}

TEST_CASE("nodes are found by words with stars, question marks and groups") {
  const MetadataNode root = small_tree();
  CHECK(names(root, {}, "/") == std::vector<std::string>{"/"});
  CHECK(names(root, {}, ".") == std::vector<std::string>{""});
  CHECK(names(root, {}, "i*/topics/by{Id,Name}") ==
        std::vector<std::string>{"image/topics/byId", "image/topics/byName"});
  CHECK(names(root, {"image", "topics"}, "byName/l?g") == std::vector<std::string>{"byName/log"});
  CHECK(names(root, {"image", "topics"}, "../features") == std::vector<std::string>{"/image/features"});
  CHECK(names(root, {"image"}, "../../..") == std::vector<std::string>{"/"});
  CHECK(names(root, {}, "nothing").empty());
  CHECK(names(root, {}, "image/provenance/below").empty());
  CHECK(names(root, {}, "a{b") == std::vector<std::string>{"error: Unterminated glob group."});
  CHECK(resolve_path({"image"}, "./topics//byId/") == std::vector<std::string>{"image", "topics", "byId"});
}

TEST_CASE("a file that is no metadata log is refused") {
  CHECK_FALSE(load_metadata("/no/such/file"));
  CHECK_FALSE(load_metadata("/proc/self/exe"));
}

}  // namespace klamm::tools
