// Every operation of the SDK ends by its own timeout, whatever the brokers do, and says what was waited for.
#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "producer_world.h"
#include "silence.h"

using namespace klamm;
using namespace klamm::test;

namespace {

constexpr Duration kSlack = 10ms;  // of the simulation's own steps

// The failure of the whole, or of any of the things that were asked for.
template <typename T>
std::optional<Error> error_of(const Result<T>& result) {
  if (!result) return result.error();
  if constexpr (requires { result->begin()->second.error(); }) {
    for (const auto& [key, one] : *result) {
      if (!one) return one.error();
    }
  }
  return std::nullopt;
}

template <typename Operation>
io::Task<std::optional<Error>> outcome_of(client::AdminCore& admin, Operation operation) {
  Result<typename Operation::Outcome> outcome = co_await admin.run(std::move(operation));
  co_return error_of(outcome);
}

struct AdminCall {
  std::string name;
  bool metadata_too;  // it needs nothing but metadata
  std::function<io::Task<std::optional<Error>>(client::AdminCore&, Duration)> run;
};

template <typename Operation>
AdminCall call(std::string name, Operation operation, bool metadata_too = false) {
  return {std::move(name), metadata_too, [operation](client::AdminCore& admin, Duration timeout) {
            Operation asked = operation;
            asked.options.timeout = timeout;
            return outcome_of(admin, std::move(asked));
          }};
}

std::vector<AdminCall> admin_calls() {
  const TopicPartition log{"log", 0};
  AlterReplicaLogDirs move;
  move.targets[{log, 1}] = "/data";
  AddRaftVoter add;
  add.id = 3;
  RemoveRaftVoter remove;
  remove.id = 3;
  UnregisterBroker unregister;
  unregister.broker_id = 3;
  return {
      call("CreateTopics", CreateTopics{.topics = {{.name = "new"}}}),
      call("DeleteTopics", DeleteTopics{.names = {"log"}}),
      call("ListTopics", ListTopics(), true),
      call("DescribeTopics", DescribeTopics{.names = {"log"}}),
      call("CreatePartitions", CreatePartitions{.topics = {{"log", {.total_count = 5}}}}),
      call("DeleteRecords", DeleteRecords{.before = {{log, 5}}}),
      call("ListOffsets", ListOffsets{.specs = {{log, kLatestOffset}}}),
      call("DescribeConfigs", DescribeConfigs{.resources = {{ConfigResourceType::broker, "1"}}}),
      call("AlterConfigs", AlterConfigs{.changes = {{{ConfigResourceType::topic, "log"}, {{.name = "x"}}}}}),
      call("ListConfigResources", ListConfigResources()),
      call("DescribeCluster", DescribeCluster()),
      call("DescribeApiVersions", DescribeApiVersions(), true),
      call("DescribeLogDirs", DescribeLogDirs()),
      call("AlterReplicaLogDirs", move),
      call("DescribeQuorum", DescribeQuorum()),
      call("AddRaftVoter", add),
      call("RemoveRaftVoter", remove),
      call("UpdateFeatures", UpdateFeatures{.updates = {{"metadata.version", {.max_level = 7}}}}),
      call("UnregisterBroker", unregister),
      call("ElectLeaders", ElectLeaders()),
      call("ListReassignments", ListReassignments()),
      call("AlterReassignments", AlterReassignments{.targets = {{log, std::nullopt}}}),
      call("DescribeProducers", DescribeProducers{.partitions = {log}}),
      call("ListTransactions", ListTransactions()),
  };
}

#define KLAMM_ADMIN_OPERATION(Operation) +1
constexpr std::size_t kAdminOperations = 0
#include "client/admin_operations.inc"
    ;
#undef KLAMM_ADMIN_OPERATION

// The error of an operation that ran out of time: it names what was waited for.
void check_timed_out(const std::optional<Error>& error, std::string_view names) {
  REQUIRE(error.has_value());
  const std::string text = error->message();
  CHECK_MESSAGE(*error == Errc::timed_out, text);
  CHECK_MESSAGE(protocol::code_of(*error) == ErrorCode::request_timed_out, text);
  CHECK_MESSAGE(error->retriable(), text);
  CHECK_MESSAGE(text.find(names) != std::string::npos, text);
}

// Hooks without a word to the terminal.
template <typename Hooks>
Hooks quiet() {
  Hooks hooks;
  hooks.log_sink = [](LogLevel, std::string_view, std::string_view) {};
  return hooks;
}

Accepted send_now(ProducerCore& producer, std::string_view topic, std::string_view value = "x") {
  Record record;
  record.topic = topic;
  record.value = value;
  record.partition = 0;
  return producer.send(record);
}

io::Task<Result<RecordMetadata>> send_and_wait(ProducerCore& producer, std::string topic, std::string value = "x") {
  Record record;
  record.topic = topic;
  record.value = value;
  record.partition = 0;
  Result<RecordMetadata> sent = co_await producer.send_and_wait(record);
  co_return sent;
}

io::Task<Result<void>> send_and_flush(ProducerCore& producer, std::optional<Error>& error) {
  Accepted accepted = co_await send(producer, "log", "x", 0);
  Result<void> flushed = co_await producer.flush();
  CHECK(accepted.batch->done());
  if (const Error* why = accepted.batch->error(accepted.index)) error = *why;
  co_return flushed;
}

}  // namespace

TEST_CASE("every operation of the admin client ends by its timeout, or by default.api.timeout.ms") {
  const std::vector<AdminCall> calls = admin_calls();
  REQUIRE(calls.size() == kAdminOperations);
  for (const AdminCall& one : calls) {
    for (const Silence silence : kSilences) {
      for (const bool own : {true, false}) {
        INFO(one.name << ", " << name_of(silence) << (own ? ", its own timeout" : ", the default"));
        ClientWorld world;
        world.cluster.add_topic("log", 2);
        Config config{{"default.api.timeout.ms", "4000"}, {"request.timeout.ms", "1500"}};
        fall_silent(world, silence, one.metadata_too, config);
        const auto admin = world.admin(config, quiet<AdminHooks>());
        const Instant begin = world.simulation.now();
        const std::optional<Error> error = world.run(one.run(*admin, own ? Duration(1s) : Duration(0)));
        CHECK(world.simulation.now() - begin <= (own ? Duration(1s) : Duration(4s)) + kSlack);
        check_timed_out(error, one.name);
        if (error) CHECK((error->message().find("default.api.timeout.ms") == std::string::npos) == own);
        world.end(admin);
      }
    }
  }
}

TEST_CASE("every question of a consumer ends by default.api.timeout.ms, a poll by its own timeout, close at once") {
  for (const Silence silence : kSilences) {
    INFO(name_of(silence));
    const auto ask = [&](auto question, bool metadata_too, std::string_view names) {
      ClientWorld world;
      world.cluster.add_topic("log", 2);
      Config config{{"default.api.timeout.ms", "4000"}, {"request.timeout.ms", "3000"}};
      fall_silent(world, silence, metadata_too, config);
      const auto consumer = world.consumer(config, quiet<ConsumerHooks>());
      REQUIRE(consumer->assign({{"log", 0}}));
      Instant begin = world.simulation.now();
      const auto outcome = world.run(question(*consumer));
      CHECK(world.simulation.now() - begin <= 4s + kSlack);
      check_timed_out(error_of(outcome), names);
      begin = world.simulation.now();
      const auto polled = world.run(consumer->poll(2s));
      REQUIRE(polled.has_value());
      CHECK((*polled)->records.empty());
      CHECK(world.simulation.now() - begin <= 2s + kSlack);
      begin = world.simulation.now();
      CHECK(world.run(consumer->close()));
      CHECK(world.simulation.now() - begin <= kSlack);
    };
    ask([](client::ConsumerCore& consumer) { return consumer.await_position({"log", 0}); }, false, "log-0");
    ask(
        [](client::ConsumerCore& consumer) {
          return consumer.list_offsets({{{"log", 0}, client::kLatest}});
        },
        false, "log");
    ask([](client::ConsumerCore& consumer) { return consumer.list_offsets({{{"log", 0}, 1000}}); }, false, "log");
    ask([](client::ConsumerCore& consumer) { return consumer.partitions_for("other"); }, true, "topic other");
  }
}

TEST_CASE("a producer's calls end by max.block.ms, its records by delivery.timeout.ms, its close by the deadline") {
  for (const Silence silence : kSilences) {
    INFO(name_of(silence));
    const bool metadata = silence == Silence::deaf || silence == Silence::cutting || silence == Silence::vanishing;
    const auto with_producer = [&](bool metadata_too, auto body) {
      ClientWorld world;
      world.cluster.add_topic("log", 2);
      Config config{{"max.block.ms", "2000"},
                    {"request.timeout.ms", "1000"},
                    {"delivery.timeout.ms", "3000"},
                    {"linger.ms", "0"}};
      fall_silent(world, silence, metadata_too, config);
      const auto producer = world.producer(config, quiet<ProducerHooks>());
      body(world, *producer);
      const Instant begin = world.simulation.now();
      (void)world.run(producer->close(700ms));
      CHECK(world.simulation.now() - begin <= 700ms + kSlack);
    };
    // What was sent ends by delivery.timeout.ms; where the topic is not known nothing can be sent.
    const Duration most = metadata ? Duration(3s) : Duration(2s);
    with_producer(false, [&](ClientWorld& world, ProducerCore& producer) {
      const Instant begin = world.simulation.now();
      const Result<RecordMetadata> sent = world.run(send_and_wait(producer, "log"));
      CHECK(world.simulation.now() - begin <= most + 100ms);
      check_timed_out(error_of(sent), metadata ? "log-0" : "topic log");
    });
    with_producer(false, [&](ClientWorld& world, ProducerCore& producer) {
      const Instant begin = world.simulation.now();
      std::optional<Error> error;
      const Result<void> flushed = world.run(send_and_flush(producer, error));
      CHECK(flushed.has_value());
      CHECK(world.simulation.now() - begin <= most + 100ms);
      check_timed_out(error, metadata ? "log-0" : "topic log");
    });
    with_producer(false, [&](ClientWorld& world, ProducerCore& producer) {
      if (!metadata) return;
      const Accepted accepted = world.run(send(producer, "log", "x", 0));
      const Instant begin = world.simulation.now();
      const Result<void> flushed = world.run(producer.flush(nullptr, begin + 500ms));
      CHECK(world.simulation.now() - begin <= 500ms + kSlack);
      check_timed_out(error_of(flushed), "flush");
    });
    with_producer(true, [&](ClientWorld& world, ProducerCore& producer) {
      const Instant begin = world.simulation.now();
      const auto partitions = world.run(producer.partitions_for("log"));
      CHECK(world.simulation.now() - begin <= 2s + kSlack);
      check_timed_out(error_of(partitions), "topic log");
    });
    with_producer(false, [&](ClientWorld&, ProducerCore& producer) { (void)send_now(producer, "log"); });
  }
}

TEST_CASE("a producer whose buffer is full says so, and of a topic that it does not find that it is the topic") {
  ClientWorld world;
  world.cluster.auto_create = false;
  world.cluster.add_topic("log", 1);
  Config config{{"max.block.ms", "1000"}, {"buffer.memory", "40000"}, {"linger.ms", "0"}};
  fall_silent(world, Silence::deaf, false, config);
  const auto producer = world.producer(config, quiet<ProducerHooks>());
  (void)world.run(send(*producer, "log", "x", 0));
  Instant begin = world.simulation.now();
  const Result<RecordMetadata> unknown = world.run(send_and_wait(*producer, "nosuch"));
  CHECK(world.simulation.now() - begin <= 1s + kSlack);
  REQUIRE_FALSE(unknown.has_value());
  CHECK(protocol::code_of(unknown.error()) == ErrorCode::unknown_topic_or_partition);
  CHECK(unknown.error().context().find("nosuch") != std::string::npos);

  const std::string large(30000, 'x');
  begin = world.simulation.now();
  const Result<RecordMetadata> full = world.run(send_and_wait(*producer, "log", large));
  CHECK(world.simulation.now() - begin <= 1s + kSlack);
  check_timed_out(error_of(full), "buffer.memory");
  world.end(producer);
}

TEST_CASE("a sender that others take the room from again and again gives up after max.block.ms") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.answer_delay = 20ms;
  const auto producer = world.producer({{"max.block.ms", "500"}, {"buffer.memory", "16384"}, {"linger.ms", "0"}});
  bool over = false;
  auto greedy = [&]() -> io::Task<void> {  // fills what becomes free before others wake
    const std::string large(1000, 'x');
    while (!over) {
      Accepted accepted = co_await send(*producer, "log", large, 0);
      Result<void> flushed = co_await producer->flush();
      CHECK(flushed.has_value());
    }
  };
  auto work = [&]() -> io::Task<void> {
    io::Gate gate(world.shard);
    for (int sender = 0; sender < 3; ++sender) gate.spawn(greedy());
    for (int turn = 0; turn < 20; ++turn) {
      const Instant begin = world.simulation.now();
      Result<RecordMetadata> sent = co_await send_and_wait(*producer, "log");
      (void)sent;  // it may get room, or not
      CHECK(world.simulation.now() - begin <= 500ms + 200ms);
    }
    over = true;
    co_await gate.close();
  };
  world.simulation.run(world.shard, work);
  world.end(producer);
}
