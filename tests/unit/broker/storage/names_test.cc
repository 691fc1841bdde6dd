#include "broker/storage/names.h"

#include <doctest/doctest.h>

using namespace klamm;
using namespace klamm::storage;

namespace {
protocol::TopicPartition partition(std::string topic, std::int32_t index) {
  return {std::move(topic), protocol::PartitionIndex(index)};
}
}  // namespace

TEST_CASE("topic names follow Kafka's rules") {
  CHECK(check_topic_name("a").has_value());
  CHECK(check_topic_name("a.b_c-D9").has_value());
  CHECK(check_topic_name(std::string(249, 'x')).has_value());
  for (const std::string& bad : {std::string(), std::string("."), std::string(".."), std::string(250, 'x'),
                                 std::string("a b"), std::string("a/b"), std::string("\xc3\xa4")}) {
    CAPTURE(bad);
    CHECK(!check_topic_name(bad).has_value());
  }
  CHECK(topic_names_collide("a.b", "a_b"));
  CHECK(!topic_names_collide("a.b", "a-b"));
  CHECK(!topic_names_collide("a.b", "a_bc"));
}

TEST_CASE("directory names are made and parsed in all forms") {
  const Uuid id{0x0123456789abcdefULL, 0xfedcba9876543210ULL};
  CHECK(directory_name(partition("a-b", 7)) == "a-b-7");
  CHECK(directory_name(partition("a", 7), DirectoryKind::deleted, id) == "a-7.0123456789abcdeffedcba9876543210-delete");
  for (const DirectoryKind kind :
       {DirectoryKind::live, DirectoryKind::deleted, DirectoryKind::stray, DirectoryKind::future}) {
    for (const std::string& topic : {std::string("t"), std::string("a.b-c"), std::string("x-1.y-delete")}) {
      const auto parsed = parse_directory_name(directory_name(partition(topic, 12), kind, id));
      REQUIRE(parsed.has_value());
      CHECK(*parsed == PartitionDirectory{partition(topic, 12), kind});
    }
  }
  const std::string longest(249, 'x');
  const std::string deleted = directory_name(partition(longest, 100), DirectoryKind::deleted, id);
  CHECK(deleted.size() == 255);
  CHECK(parse_directory_name(deleted)->partition.partition.value() == 100);
  for (const char* bad : {"", "a", "a-", "-1", "a-x", "a--1x", "a-1.2-gone", "lost+found", "a b-1"}) {
    CAPTURE(bad);
    CHECK(!parse_directory_name(bad).has_value());
  }
}

TEST_CASE("file names carry twenty digits") {
  CHECK(file_name(42, suffix::kLog) == "00000000000000000042.log");
  CHECK(parse_file_name("00000000000000000042.log", suffix::kLog) == 42);
  CHECK(!parse_file_name("42.log", suffix::kLog));
  CHECK(!parse_file_name("00000000000000000042.index", suffix::kLog));
  CHECK(!parse_file_name("0000000000000000004x.log", suffix::kLog));
  CHECK(parse_file_name("09223372036854775807.timeindex", suffix::kTimeIndex) == 9223372036854775807);
  CHECK(!parse_file_name("99999999999999999999.log", suffix::kLog));
}
