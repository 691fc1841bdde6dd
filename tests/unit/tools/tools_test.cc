#include <doctest/doctest.h>

#include <set>

#include "tools/client.h"
#include "tools/java_order.h"
#include "tools/latency.h"
#include "tools/output.h"
#include "tools/tool.h"
#include "tools/topic_filter.h"

namespace klamm::tools {

TEST_CASE("text has the hash code that Java gives it") {
  CHECK(java_hash("") == 0);
  CHECK(java_hash("a") == 97);
  CHECK(java_hash("hello") == 99162322);
}

TEST_CASE("keys come in the order in which a Java HashMap is walked") {
  // As Apache Kafka's topics and configs tools printed these topics.
  const std::vector<std::string> topics = {"con", "m",  "nosuchtopic", "nosuchtopic2",
                                           "ra",  "t1", "t_2.x",       "__consumer_offsets"};
  const std::vector<std::string> wanted = {"con", "nosuchtopic2",       "nosuchtopic", "m",
                                           "t1",  "__consumer_offsets", "ra",          "t_2.x"};
  CHECK(java_map_order(topics) == wanted);
  // As its log-dirs tool printed these partitions.
  const std::vector<TopicPartition> partitions = {{"t1", 0}, {"t1", 1}, {"con", 0}};
  const std::vector<TopicPartition> walked = {{"con", 0}, {"t1", 1}, {"t1", 0}};
  CHECK(java_map_order(partitions) == walked);
}

TEST_CASE("a topic pattern is for the whole name, and a comma means or") {
  Result<TopicFilter> filter = TopicFilter::create("'t.*, orders'");
  REQUIRE(filter);
  CHECK(filter->matches("t1"));
  CHECK(filter->matches("orders"));
  CHECK_FALSE(filter->matches("old-orders"));
  CHECK_FALSE(filter->matches("at1"));
  CHECK_FALSE(TopicFilter::create("a("));
  CHECK(is_internal_topic("__consumer_offsets"));
  CHECK_FALSE(is_internal_topic("__consumer_offsets2"));
}

TEST_CASE("latencies have the percentiles of the records they stand for") {
  Latencies latencies;
  CHECK(latencies.percentile_ms(0.5) == 0);
  latencies.add(10, 90);
  latencies.add(100, 9);
  latencies.add(1000);
  CHECK(latencies.count() == 100);
  CHECK(latencies.average_ms() == doctest::Approx(28.0));
  CHECK(latencies.most_ms() == 1000);
  CHECK(latencies.percentile_ms(0.5) == 10);
  CHECK(latencies.percentile_ms(0.95) == 100);
  CHECK(latencies.percentile_ms(0.999) == 1000);
  latencies.clear();
  CHECK(latencies.count() == 0);
}

TEST_CASE("a message tells the time that ran out once") {
  CHECK(message_of(Error(Errc::timed_out, "x not known in 60000 ms (max.block.ms): refused")) ==
        "x not known in 60000 ms (max.block.ms): refused");
  CHECK(message_of(Error(Errc::timed_out, "no broker answered in time (refused)")) ==
        "no broker answered in time (refused)");
  CHECK(message_of(Error(Errc::timed_out, "flush")) == "flush: timed out");
  CHECK(message_of(Error(Errc::invalid_argument, "a must be 1")) == "a must be 1");
  CHECK(message_of(Error(Errc::not_found, "in 5 ms ")) == "in 5 ms : not found");
}

TEST_CASE("bootstrap servers without any address are an error, some of them are not") {
  const auto check = [](const char* servers) {
    Config config;
    config.set("bootstrap.servers", servers);
    return check_bootstrap(config);
  };
  CHECK(check("127.0.0.1:9092"));
  CHECK(check("[::1]:9092"));
  CHECK(check("no.such.host.invalid:9092, 127.0.0.1:9092"));
  CHECK(check(""));          // the client says what is wrong
  CHECK(check("nonsense"));  // likewise
  const Result<void> none = check("no.such.host.invalid:9092,another.invalid:1");
  REQUIRE_FALSE(none);
  CHECK(none.error().context() == "No resolvable bootstrap urls given in bootstrap.servers");
}

TEST_CASE("a table's columns are as wide as their widest cell") {
  CHECK(table({{"Id", "Name"}, {"1", "a"}, {"100", "bc"}}) == "Id \tName\t\n1  \ta   \t\n100\tbc  \t\n");
}

TEST_CASE("text is split at every separator and trimmed") {
  CHECK(split("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
  CHECK(split("", ',') == std::vector<std::string>{""});
  CHECK(trimmed(" \t a b\n") == "a b");
  CHECK(trimmed("  ").empty());
  CHECK(is_true(" True "));
  CHECK_FALSE(is_true("yes"));
  CHECK(joined(std::vector<int>{1, 2, 3}, ", ") == "1, 2, 3");
}

TEST_CASE("every tool has one entry, and names that are not served are answered") {
  std::set<std::string_view> names;
  for (const Tool& tool : all_tools()) CHECK(names.insert(tool.name).second);
  for (const std::string_view name : tools_to_come()) CHECK(names.insert(name).second);
  CHECK(names.size() == 35);
  CHECK(dispatch({"klamm", "acls", "--list"}) == 1);
  CHECK(dispatch({"kafka-jmx.sh"}) == 1);
  CHECK(dispatch({"klamm", "topic"}) == 1);
  CHECK(dispatch({"/usr/bin/kafka-server-stop.sh"}) == 1);
  CHECK(dispatch({"klamm"}) == 1);
  CHECK(dispatch({"/usr/bin/kafka-topics.sh"}) == 1);
  CHECK(dispatch({"klamm", "storage", "--help"}) == 0);
}

}  // namespace klamm::tools
