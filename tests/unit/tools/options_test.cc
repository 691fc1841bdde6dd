#include "tools/options.h"

#include <doctest/doctest.h>

namespace klamm::tools {
namespace {

Options make(Options::Style style = Options::Style::joptsimple) {
  Options options("test", "A tool for tests.", style);
  options.flag("--list", "A flag.")
      .flag("--describe", "Another.")
      .text("--topic", "topic", "A value.")
      .text("--topic-id", "id", "Another value.");
  options.int32("-p,--partitions", "count", "A number.")
      .int64("--time", "ms", "A larger number.")
      .many("--config", "key=value", "Several.");
  options.many("--props", "key=value", "Several at once.", true)
      .maybe("--codec", "codec", "gzip", "With or without a value.");
  options.words("[file]", 1, "A word.");
  return options;
}

}  // namespace

TEST_CASE("values stand behind the name or behind an equals sign, and may look like options") {
  Options options = make();
  REQUIRE_FALSE(options.parse({"--topic", "a", "--partitions=3", "--time", "-1", "--list"}));
  CHECK(options.text_of("topic") == "a");
  CHECK(options.number_of("partitions") == 3);
  CHECK(options.number_of("time") == -1);
  CHECK(options.has("list"));
  CHECK_FALSE(options.has("describe"));
  CHECK_FALSE(options.text_of("topic-id"));
  CHECK(options.number_or("time", 7) == -1);

  Options dashes = make();
  REQUIRE_FALSE(dashes.parse({"--topic", "--list"}));
  CHECK(dashes.text_of("topic") == "--list");
  CHECK_FALSE(dashes.has("list"));
}

TEST_CASE("a value in brackets or braces stays one value") {
  Options options = make();
  REQUIRE_FALSE(options.parse({"--topic", "[a,b]", "--config", "policy=[compact,delete]", "--config", "[]"}));
  CHECK(options.text_of("topic") == "[a,b]");
  CHECK(options.all_of("config") == std::vector<std::string>{"policy=[compact,delete]", "[]"});
}

TEST_CASE("names may be cut short while they are unique; a whole name wins over a longer one") {
  Options options = make();
  REQUIRE_FALSE(options.parse({"--part", "3", "--desc", "--topic", "x"}));
  CHECK(options.number_of("partitions") == 3);
  CHECK(options.has("describe"));
  CHECK(options.text_of("topic") == "x");
  CHECK(make().parse({"--t", "x"}) == 1);
}

TEST_CASE("a value that may be left out takes the implied one") {
  Options bare = make();
  REQUIRE_FALSE(bare.parse({"--codec", "--list"}));
  CHECK(bare.text_of("codec") == "gzip");
  CHECK(bare.has("list"));
  Options given = make();
  REQUIRE_FALSE(given.parse({"--codec", "zstd"}));
  CHECK(given.text_of("codec") == "zstd");
}

TEST_CASE("an option may take several values at once, words stand alone") {
  Options options = make(Options::Style::argparse);
  REQUIRE_FALSE(options.parse({"file.properties", "--props", "a=1", "b=2", "--list"}));
  CHECK(options.all_of("props") == std::vector<std::string>{"a=1", "b=2"});
  CHECK(options.words() == std::vector<std::string>{"file.properties"});
  CHECK(make().parse({"one", "two"}) == 1);
}

TEST_CASE("unknown names, wrong numbers, missing values and options given twice end the tool with status 1") {
  CHECK(make().parse({"--nosuch"}) == 1);
  CHECK(make().parse({"--zookeeper", "localhost:2181"}) == 1);
  CHECK(make().parse({"--partitions", "many"}) == 1);
  CHECK(make().parse({"--partitions", "3000000000"}) == 1);
  CHECK_FALSE(make().parse({"--time", "3000000000"}));
  CHECK(make().parse({"--topic"}) == 1);
  CHECK(make().parse({"--topic", "a", "--topic", "b"}) == 1);
  Options last = make(Options::Style::argparse);
  REQUIRE_FALSE(last.parse({"--topic", "a", "--topic", "b"}));
  CHECK(last.text_of("topic") == "b");
  Options needed = make();
  needed.require("topic");
  CHECK(needed.parse({"--list"}) == 1);
}

TEST_CASE("help and version end the tool with the status of Kafka's tools") {
  CHECK(make().parse({"--help"}) == 1);
  CHECK(make(Options::Style::argparse).parse({"--help"}) == 0);
  CHECK(make().parse({"--version"}) == 0);
}

TEST_CASE("options that exclude each other, and those that are missing, are told") {
  Options options = make();
  REQUIRE_FALSE(options.parse({"--list", "--topic", "x"}));
  CHECK(options.check_exclusive("list", {"describe", "topic"}) == 1);
  CHECK_FALSE(options.check_exclusive("list", {"describe"}));
  CHECK_FALSE(options.check_exclusive("describe", {"list"}));
  CHECK(options.check_required({"topic", "partitions"}) == 1);
  CHECK_FALSE(options.check_required({"topic"}));
}

}  // namespace klamm::tools
