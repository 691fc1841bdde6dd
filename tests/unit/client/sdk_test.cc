// The SDK as an application has it: completion tokens on a real event loop, and the blocking clients. There is no
// broker: what matters here is how calls begin and end. (Against brokers: tests/peers and tests/sim.)
#include <doctest/doctest.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/this_coro.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_future.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io/environment.h"
#include "klamm/admin.h"
#include "klamm/blocking.h"
#include "klamm/consumer.h"
#include "klamm/producer.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace std::chrono_literals;

namespace {

// Nothing listens on port 1.
Config nobody() {
  return {{"bootstrap.servers", "127.0.0.1:1"},
          {"retry.backoff.ms", "10"},
          {"reconnect.backoff.ms", "10"},
          {"reconnect.backoff.max.ms", "20"}};
}
Config impatient() { return nobody().set("max.block.ms", "150"); }

template <typename Body>
void run(Body body) {
  asio::io_context context(1);
  std::exception_ptr failure;
  asio::co_spawn(context, body(), [&](std::exception_ptr error) { failure = error; });
  context.run();  // ends: nothing of a closed or dropped client keeps the loop busy
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

TEST_CASE("a bad setting is an exception that names key, value and what is allowed") {
  asio::io_context context(1);
  try {
    Producer producer(context.get_executor(), {{"bootstrap.servers", "localhost:9092"}, {"linger.ms", "soon"}});
    FAIL("no exception");
  } catch (const Exception& exception) {
    CHECK(exception.error() == Errc::invalid_argument);
    CHECK(std::string(exception.what()).find("linger.ms") != std::string::npos);
    CHECK(std::string(exception.what()).find("soon") != std::string::npos);
  }
  Result<Consumer> consumer = Consumer::create(
      context.get_executor(), {{"bootstrap.servers", "localhost:9092"}, {"auto.offset.reset", "sometimes"}});
  REQUIRE_FALSE(consumer.has_value());
  CHECK(consumer.error().context().find("auto.offset.reset") != std::string::npos);
  CHECK_THROWS_AS(Admin(context.get_executor(), Config{}), Exception);
}

TEST_CASE("a coroutine sees errors as exceptions with their context") {
  run([]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    Producer producer(executor, impatient());
    const Record record{.topic = "log", .value = "x"};
    bool failed = false;
    try {
      co_await producer.async_send(record);
    } catch (const Exception& exception) {
      failed = true;
      CHECK(exception.error() == Errc::timed_out);
      CHECK(std::string(exception.what()).find("topic log") != std::string::npos);
    }
    CHECK(failed);
    Delivery delivery = producer.send({.topic = "another", .value = "x"});
    CHECK_FALSE(delivery);  // its partitions are being looked up
    co_await producer.async_close(1s);
    delivery = producer.send(record);
    REQUIRE(delivery);
    CHECK(delivery.done());
    REQUIRE(delivery.error() != nullptr);
    CHECK(*delivery.error() == Errc::shutting_down);
    failed = false;
    try {
      co_await delivery.async_wait();
    } catch (const Exception& exception) {
      failed = exception.error() == Errc::shutting_down;
    }
    CHECK(failed);
  });
}

TEST_CASE("a callback gets an exception_ptr, and runs on the client's executor") {
  asio::io_context context(1);
  Consumer consumer(context.get_executor(), nobody());
  consumer.assign({{"log", 0}});
  int polls = 0;
  consumer.async_poll(50ms, [&](std::exception_ptr error, Records records) {
    CHECK(error == nullptr);
    CHECK(records.empty());
    ++polls;
    consumer.async_close([&](std::exception_ptr closed) {
      CHECK(closed == nullptr);
      ++polls;
    });
  });
  context.run();
  CHECK(polls == 2);
}

TEST_CASE("an operation is cancelled by its own slot, the client lives on") {
  asio::io_context context(1);
  Consumer consumer(context.get_executor(), nobody());
  consumer.assign({{"log", 0}});
  asio::cancellation_signal cancel;
  int ends = 0;
  consumer.async_poll(1h, asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr error, Records) {
                        REQUIRE(error != nullptr);
                        try {
                          std::rethrow_exception(error);
                        } catch (const Exception& exception) {
                          CHECK(exception.error() == Errc::cancelled);
                        }
                        ++ends;
                        consumer.async_poll(20ms, [&](std::exception_ptr again, Records) {
                          CHECK(again == nullptr);
                          ++ends;
                          consumer.async_close([&](std::exception_ptr) { ++ends; });
                        });
                      }));
  asio::post(context, [&] { cancel.emit(asio::cancellation_type::terminal); });
  context.run();
  CHECK(ends == 3);
}

TEST_CASE("use_future works from a thread outside of the executor, a strand of a pool is an executor too") {
  asio::thread_pool pool(2);
  auto strand = asio::make_strand(pool);
  {
    Admin admin(strand, nobody().set("default.api.timeout.ms", "200").set("request.timeout.ms", "100"));
    std::future<std::vector<TopicListing>> topics = admin.async_list_topics({}, asio::use_future);
    CHECK_THROWS_AS(topics.get(), Exception);
    std::promise<void> closed;
    asio::post(strand, [&] {
      admin.close();
      closed.set_value();
    });
    closed.get_future().wait();
  }
  pool.join();
}

TEST_CASE("clients of one executor share its environment") {
  asio::io_context context(1);
  io::Shard& shard = io::environment_of(context.get_executor());
  CHECK(&io::environment_of(context.get_executor()) == &shard);
  auto strand = asio::make_strand(context);
  CHECK(&io::environment_of(strand) != &shard);
  asio::io_context simulated(1);
  io::install_environment(simulated, shard);
  CHECK(&io::environment_of(simulated.get_executor()) == &shard);
}

TEST_CASE("groups are refused by a clear error") {
  asio::io_context context(1);
  Consumer consumer(context.get_executor(), nobody());
  try {
    consumer.subscribe({"log"});
    FAIL("no exception");
  } catch (const Exception& exception) {
    CHECK(exception.error() == Errc::unsupported);
  }
  CHECK_THROWS_AS(consumer.seek({"log", 0}, 5), Exception);
  CHECK_THROWS_AS(consumer.assign({{"", 0}}), Exception);
}

TEST_CASE("a blocking producer tells by callback, by flush and by close what could not be delivered") {
  Result<blocking::Producer> producer = blocking::Producer::create(impatient());
  REQUIRE(producer.has_value());
  std::promise<std::string> told;
  Result<void> sent = producer->send({.topic = "log", .value = "x"}, [&](const Result<RecordMetadata>& outcome) {
    told.set_value(outcome.error().message());
  });
  REQUIRE(sent.has_value());
  Result<void> flushed = producer->flush();
  REQUIRE_FALSE(flushed.has_value());
  CHECK(flushed.error().context().find("topic log") != std::string::npos);
  CHECK(told.get_future().get().find("topic log") != std::string::npos);
  CHECK(producer->flush().has_value());  // told once
  Result<RecordMetadata> waited = producer->send_and_wait({.topic = "log", .value = "x"});
  CHECK_FALSE(waited.has_value());
  CHECK(producer->statistics().records_failed >= 1);
  const Result<void> closed = producer->close(1s);
  CHECK_MESSAGE(closed.has_value(), why_of(closed));
  CHECK_FALSE(producer->send({.topic = "log", .value = "x"}).has_value());
}

TEST_CASE("a blocking producer refuses a record that can never be sent") {
  Result<blocking::Producer> producer = blocking::Producer::create(nobody().set("max.request.size", "1000"));
  REQUIRE(producer.has_value());
  const std::string large(2000, 'x');
  Result<void> sent = producer->send({.topic = "log", .value = large});
  REQUIRE_FALSE(sent.has_value());
  CHECK(error_code(sent.error()) == ErrorCode::message_too_large);
}

TEST_CASE("a blocking producer that is dropped tells the callbacks that wait") {
  int told = 0;
  {
    Result<blocking::Producer> producer = blocking::Producer::create(nobody());
    REQUIRE(producer.has_value());
    for (int number = 0; number < 1000; ++number) {
      Result<void> sent = producer->send({.topic = "log", .value = "x"}, [&](const Result<RecordMetadata>& outcome) {
        if (!outcome) ++told;
      });
      REQUIRE(sent.has_value());
    }
  }
  CHECK(told == 1000);
}

TEST_CASE("a blocking poll is woken from another thread") {
  auto runtime = std::make_shared<blocking::Runtime>();
  Result<blocking::Consumer> consumer = blocking::Consumer::create(nobody(), {}, runtime);
  REQUIRE(consumer.has_value());
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  std::future<Result<Records>> poll = std::async(std::launch::async, [&] { return consumer->poll(1h); });
  consumer->wake_up();
  Result<Records> records = poll.get();
  REQUIRE_FALSE(records.has_value());
  CHECK(records.error() == Errc::cancelled);
  records = consumer->poll(20ms);
  REQUIRE(records.has_value());
  CHECK(records->empty());
  CHECK(consumer->subscribe({"log"}).error() == Errc::unsupported);
  CHECK(consumer->close().has_value());
}

TEST_CASE("a blocking admin call ends by its timeout and says why") {
  Result<blocking::Admin> admin = blocking::Admin::create(nobody());
  REQUIRE(admin.has_value());
  Result<std::vector<TopicListing>> topics = admin->list_topics({.options = {.timeout = 200ms}});
  REQUIRE_FALSE(topics.has_value());
  CHECK(topics.error().message().find("127.0.0.1:1") != std::string::npos);
}

TEST_CASE("blocking calls end by their timeouts while a broker takes connections and stays silent") {
  asio::io_context context(1);
  asio::ip::tcp::acceptor silent(context, {asio::ip::address_v4::loopback(), 0});  // the kernel takes what comes
  const Config config{{"bootstrap.servers", "127.0.0.1:" + std::to_string(silent.local_endpoint().port())},
                      {"request.timeout.ms", "100"}};
  const auto in_time = [](const std::string& call, auto outcome) {
    INFO(call);
    const auto begin = std::chrono::steady_clock::now();
    const auto ended = outcome();
    CHECK(std::chrono::steady_clock::now() - begin < 30s);  // without these timeouts: a minute or two
    REQUIRE_FALSE(ended.has_value());
    CHECK(ended.error() == Errc::timed_out);
    CHECK(ended.error().retriable());
    CHECK_FALSE(ended.error().context().empty());
  };

  Result<blocking::Producer> producer = blocking::Producer::create(
      Config(config).set("max.block.ms", "200").set("delivery.timeout.ms", "200").set("linger.ms", "0"));
  REQUIRE(producer);
  in_time("send_and_wait", [&] { return producer->send_and_wait({.topic = "log", .value = "x"}); });
  in_time("partitions_for", [&] { return producer->partitions_for("other"); });
  CHECK(producer->send({.topic = "third", .value = "x"}));
  in_time("flush", [&] { return producer->flush(); });
  CHECK(producer->send({.topic = "fourth", .value = "x"}));
  in_time("close", [&] { return producer->close(50ms); });

  Result<blocking::Consumer> consumer = blocking::Consumer::create(Config(config).set("default.api.timeout.ms", "200"));
  REQUIRE(consumer);
  REQUIRE(consumer->assign({{"log", 0}}));
  in_time("position", [&] { return consumer->position({"log", 0}); });
  in_time("beginning_offsets", [&] { return consumer->beginning_offsets({{"log", 0}}); });
  in_time("end_offsets", [&] { return consumer->end_offsets({{"log", 0}}); });
  in_time("offsets_for_times", [&] { return consumer->offsets_for_times({{{"log", 0}, 1000}}); });
  in_time("consumer's partitions_for", [&] { return consumer->partitions_for("log"); });
  CHECK(consumer->poll(50ms).has_value());
  CHECK(consumer->close());

  Result<blocking::Admin> admin = blocking::Admin::create(Config(config).set("default.api.timeout.ms", "200"));
  REQUIRE(admin);
  in_time("list_topics", [&] { return admin->list_topics({}); });
  in_time("describe_cluster", [&] { return admin->describe_cluster({.options = {.timeout = 100ms}}); });
}

TEST_CASE("wake_up() ends whatever a blocking consumer waits for, and only that") {
  const std::unique_ptr<blocking::Consumer> consumer = [] {
    Result<blocking::Consumer> made = blocking::Consumer::create(nobody());
    REQUIRE(made);
    return std::make_unique<blocking::Consumer>(std::move(*made));
  }();
  REQUIRE(consumer->assign({{"log", 0}}));
  const auto begin = std::chrono::steady_clock::now();
  const auto woken = [&](auto wait) {
    std::thread waker([&] { consumer->wake_up(); });  // before or during the wait
    const auto outcome = wait();
    waker.join();
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error() == Errc::cancelled);
  };
  woken([&] { return consumer->partitions_for("log"); });
  woken([&] { return consumer->position({"log", 0}); });
  woken([&] { return consumer->end_offsets({{"log", 0}}); });
  woken([&] { return consumer->poll(1h); });
  const Result<Records> polled = consumer->poll(10ms);
  CHECK(polled.has_value());
  CHECK(consumer->close());
  CHECK(std::chrono::steady_clock::now() - begin < 30s);  // each would wait for a minute
}

TEST_CASE("each record of a blocking producer has its callback called once") {
  Result<blocking::Producer> producer = blocking::Producer::create(impatient());
  REQUIRE(producer);
  std::vector<int> told(100, 0);
  for (int& one : told) {
    CHECK(producer->send({.topic = "log", .value = "x"}, [&one](const Result<RecordMetadata>& outcome) {
      CHECK_FALSE(outcome.has_value());
      ++one;
    }));
  }
  CHECK_FALSE(producer->flush());
  (void)producer->close(100ms);
  CHECK(told == std::vector<int>(100, 1));
}
