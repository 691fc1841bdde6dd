#include "tools/reassignment.h"

#include <doctest/doctest.h>

namespace klamm::tools {

TEST_CASE("a reassignment plan is read, with the directories that it names") {
  const auto plan =
      parse_plan(R"({"version":1,"partitions":[{"topic":"a","partition":1,"replicas":[2,3],"log_dirs":["any","/d"]},)"
                 R"({"topic":"a","partition":0,"replicas":[]}]})");
  REQUIRE(plan.has_value());
  REQUIRE(plan->targets.size() == 2);
  CHECK(plan->targets[0].first == TopicPartition{"a", 1});
  CHECK(plan->targets[0].second == std::vector<std::int32_t>{2, 3});
  CHECK(plan->directories == Directories{{{{"a", 1}, 3}, "/d"}});
  CHECK(parse_plan("{}")->targets.empty());
}

TEST_CASE("a plan that is none is refused with the reason") {
  const auto why = [](std::string_view json) {
    const Result<ReassignmentPlan> plan = parse_plan_to_execute(json);
    return plan ? std::string("taken") : plan.error().context();
  };
  CHECK(why("nonsense") == "The input string is not a valid JSON");
  CHECK(why("[]") == "The input string is not a valid JSON");
  CHECK(why(R"({"version":2})") == "Not supported version field value 2");
  CHECK(why(R"({"partitions":[]})") == "Partition reassignment list cannot be empty");
  CHECK(why(R"({"partitions":{}})") != "taken");
  CHECK(why(R"({"partitions":[7]})") != "taken");
  CHECK(why(R"({"partitions":[{"topic":"a","partition":0}]})") != "taken");
  CHECK(why(R"({"partitions":[{"topic":"a","partition":-1,"replicas":[1]}]})") != "taken");
  CHECK(why(R"({"partitions":[{"topic":"a","partition":0,"replicas":[1e9999]}]})") != "taken");
  CHECK(why(R"({"partitions":[{"topic":"a","partition":0,"replicas":[]}]})") ==
        "Partition replica list cannot be empty");
  CHECK(why(R"({"partitions":[{"topic":"a","partition":0,"replicas":[1,1]}]})") ==
        "Partition replica lists may not contain duplicate entries: a-0 contains multiple entries for 1");
  CHECK(why(R"({"partitions":[{"topic":"a","partition":0,"replicas":[1]},)"
            R"({"topic":"a","partition":0,"replicas":[2]}]})") ==
        "Partition reassignment contains duplicate topic partitions: a-0");
  CHECK(why(R"({"partitions":[{"topic":"a","partition":0,"replicas":[1,2],"log_dirs":["any"]}]})")
            .starts_with("Size of replicas list [1, 2] is different"));
  CHECK(parse_brokers("1,2,1").error().context() == "Broker list contains duplicate entries: [1]");
  CHECK_FALSE(parse_brokers("1,x"));
  CHECK_FALSE(parse_topics(R"({"topics":[{"topic":"a"},{"topic":"a"}]})"));
}

TEST_CASE("a written plan can be read again") {
  const Assignment assignment = {{{"a", 0}, {1, 2}}, {{"b.c", 7}, {3}}};
  const Directories directories = {{{{"a", 0}, 2}, "/d"}};
  const Result<ReassignmentPlan> plan = parse_plan_to_execute(plan_json(assignment, directories));
  REQUIRE(plan.has_value());
  CHECK(Assignment(plan->targets.begin(), plan->targets.end()) == assignment);
  CHECK(plan->directories == directories);
}

TEST_CASE("throttles name who sends and who receives, those of moves under way too") {
  ListReassignments::Outcome under_way;
  under_way[{"a", 0}] = {.replicas = {3, 1, 2}, .adding_replicas = {3}, .removing_replicas = {1}};
  const Assignment proposed = {{{"a", 1}, {2, 4}}, {{"b", 0}, {5}}};
  const Assignment current = {{{"a", 1}, {1, 2}}, {{"b", 0}, {5}}};
  const Moves moves = proposed_moves(under_way, proposed, current);
  CHECK(leader_throttles(moves) == std::map<std::string, std::string>{{"a", "0:1,0:2,1:1,1:2"}, {"b", "0:5"}});
  CHECK(follower_throttles(moves) == std::map<std::string, std::string>{{"a", "0:3,1:4"}});
  CHECK(moving_brokers(moves) == std::set<std::int32_t>{1, 2, 3, 4, 5});
}

}  // namespace klamm::tools
