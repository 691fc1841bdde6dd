#include "broker/storage/checkpoint.h"

#include "tests/unit/broker/storage/storage_test.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

TEST_CASE("offset checkpoints have Kafka's text and come back the same") {
  OffsetCheckpoint offsets;
  offsets[{"topic", protocol::PartitionIndex(1)}] = 17;
  offsets[{"a.b-c", protocol::PartitionIndex(0)}] = 0;
  CHECK(format_offset_checkpoint(offsets) == "0\n2\na.b-c 0 0\ntopic 1 17\n");
  CHECK(parse_offset_checkpoint(format_offset_checkpoint(offsets)).value() == offsets);
  CHECK(format_offset_checkpoint({}) == "0\n0\n");
  CHECK(parse_offset_checkpoint("").value().empty());
  CHECK(parse_offset_checkpoint("0\n0\n").value().empty());
  for (const char* bad : {"1\n0\n", "x\n", "0\n", "0\n1\n", "0\n0\na 0 1\n", "0\n1\na 0\n", "0\n1\na 0 x\n",
                          "0\n1\na x 1\n", "0\n2\na 0 1\na 0 2\n", "0\n-1\n"}) {
    CAPTURE(bad);
    CHECK(!parse_offset_checkpoint(bad).has_value());
  }
}

TEST_CASE("leader epoch checkpoints have Kafka's text and come back the same") {
  const std::vector<EpochEntry> entries{{0, 0}, {3, 120}};
  CHECK(format_epoch_checkpoint(entries) == "0\n2\n0 0\n3 120\n");
  CHECK(parse_epoch_checkpoint("0\n2\n0 0\n3 120\n").value() == entries);
  CHECK(!parse_epoch_checkpoint("0\n1\n0\n").has_value());
}

TEST_CASE("partition.metadata has 43 bytes and refuses what is no topic id") {
  const Uuid id{1, 2};
  CHECK(format_partition_metadata(id).size() == 43);
  CHECK(parse_partition_metadata(format_partition_metadata(id)).value() == id);
  CHECK(parse_partition_metadata(format_partition_metadata(id) + "\n").value() == id);
  CHECK(!parse_partition_metadata("version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ").has_value());
  CHECK(!parse_partition_metadata("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA").has_value());
  CHECK(!parse_partition_metadata("version: 0\n").has_value());
}

TEST_CASE("the clean shutdown file carries the broker epoch") {
  CHECK(format_clean_shutdown(12) == R"({"version":0,"brokerEpoch":12})");
  CHECK(parse_clean_shutdown(format_clean_shutdown(12)).value() == 12);
  CHECK(!parse_clean_shutdown("").has_value());
  CHECK(!parse_clean_shutdown("[1]").has_value());
  World world;
  CHECK(!world.run(load_clean_shutdown(world.files(), "/data")).value().has_value());
  REQUIRE(world.run(world.files().make_directories("/data")).has_value());
  REQUIRE(world.run(save_clean_shutdown(world.files(), "/data", 99)).has_value());
  CHECK(world.run(load_clean_shutdown(world.files(), "/data")).value() == 99);
}

TEST_CASE("meta.properties are written as Kafka does and checked when read") {
  MetaProperties meta{"cluster", 3, Uuid{5, 6}};
  const std::string text = format_meta_properties(meta, 0);
  CHECK(text.starts_with("#\n#Thu Jan 01 00:00:00 UTC 1970\n"));
  CHECK(text.find("node.id=3\n") != std::string::npos);
  CHECK(text.find("directory.id=" + Uuid{5, 6}.text() + "\n") != std::string::npos);
  CHECK(parse_meta_properties(text).value() == meta);
  CHECK(parse_meta_properties("version=1\ncluster.id=c\nnode.id=0\n").value() == MetaProperties{"c", 0, Uuid()});
  CHECK(parse_meta_properties("version=0\nbroker.id=1\n").error() == Errc::unsupported);
  for (const char* bad :
       {"", "version=1\nnode.id=1\n", "version=1\ncluster.id=c\n", "version=1\ncluster.id=c\nnode.id=x\n",
        "version=1\ncluster.id=c\nnode.id=1\ndirectory.id=zz\n"}) {
    CAPTURE(bad);
    CHECK(parse_meta_properties(bad).error() == Errc::malformed);
  }
}
