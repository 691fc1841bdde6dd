#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "klamm/broker.h"
#include "tests/unit/why.h"

using namespace klamm;

TEST_CASE("an embedded broker runs in memory and stops twice without harm") {
  Broker broker = Broker::in_memory();
  CHECK(broker.bootstrap_servers().starts_with("127.0.0.1:"));
  Broker moved = std::move(broker);
  moved.stop();
  moved.stop();
}

TEST_CASE("two embedded brokers do not share a directory, and a bad setting is told by name") {
  char name[] = "/tmp/klamm-embedded-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  BrokerOptions options;
  options.directory = directory + "/data";
  options.log = [](LogLevel, std::string_view, std::string_view) {};
  {
    Result<Broker> first = Broker::start(options);
    REQUIRE_MESSAGE(first.has_value(), why_of(first));
    Result<Broker> second = Broker::start(options);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error() == Errc::unavailable);
    CHECK(second.error().message().find("/data") != std::string::npos);
  }
  Result<Broker> again = Broker::start(options);  // on the same data
  CHECK_MESSAGE(again.has_value(), why_of(again));
  options.settings["num.partitions"] = "none";
  Result<Broker> bad = Broker::start(options);
  REQUIRE_FALSE(bad.has_value());
  CHECK(bad.error().message().find("num.partitions") != std::string::npos);
  std::filesystem::remove_all(directory);
}
