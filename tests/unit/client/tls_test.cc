// Producer and consumer through TLS, against a scripted cluster in simulated time.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client_world.h"
#include "io/file.h"
#include "tests/unit/io/tls/certificates.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::test;
using client::ConsumerCore;
using client::ProducerCore;

namespace {

struct Cast {
  Authority authority{"authority"};
  Authority other{"another authority"};
  Issued broker = authority.issue({"broker", "DNS:broker1,DNS:broker2"});
  Issued client = authority.issue({"client"});
};
const Cast& cast() {
  static const Cast made;
  return made;
}

// Gives the cluster's brokers their certificate.
void secure(ClientWorld& world, io::tls::ClientAuth auth = io::tls::ClientAuth::none) {
  io::tls::Settings settings = pem_settings(&cast().broker, cast().authority.pem());
  settings.client_auth = auth;
  Result<std::shared_ptr<const io::tls::Context>> context =
      world.run(io::tls::Context::load(world.shard, settings, io::tls::Role::server));
  REQUIRE(context);
  world.cluster.tls = *context;
}

Config trusting(const std::string& authority) {
  return {{"security.protocol", "SSL"}, {"ssl.truststore.type", "PEM"}, {"ssl.truststore.certificates", authority}};
}

// The error of a record sent and flushed; would_block if there is none.
Error fate_of_a_record(ClientWorld& world, const Config& config) {
  const auto producer = world.producer(config);
  const auto accepted = world.run(send(*producer, "log", "value"));
  (void)world.run(producer->flush());
  const Error* error = accepted.batch->error(accepted.index);
  const Error fate = error == nullptr ? Error(Errc::would_block) : *error;
  world.end(producer);
  return fate;
}

Error error_of_a_poll(ClientWorld& world, const Config& config) {
  const auto consumer = world.consumer(config);
  REQUIRE(consumer->assign({{"log", 0}}));
  const auto polled = world.run(consumer->poll(60s));
  const Error error = polled ? Error(Errc::would_block) : polled.error();
  world.end(consumer);
  return error;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("records go through TLS and come back, whatever happens to the connections") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    ClientWorld world(seed, 2, io::sim::Options::draw(seed));
    secure(world);
    world.cluster.add_topic("log", 1);
    Config config = trusting(cast().authority.pem());
    config.set("batch.size", "1000");
    const auto producer = world.producer(config);
    if (seed % 2 == 1) {
      for (int count = 1; count < 6; ++count)
        world.simulation.after(count * 20ms, [&] { world.simulation.network().cut_one(world.node); });
    }
    std::vector<std::string> sent;
    for (int number = 0; number < 300; ++number) {
      sent.push_back(std::to_string(number) + std::string(static_cast<std::size_t>(number), '.'));
      (void)world.run(send(*producer, "log", sent.back(), 0));
    }
    CHECK(world.run(producer->flush()));
    CHECK(world.cluster.values("log", 0) == sent);
    const auto consumer = world.consumer(trusting(cast().authority.pem()));
    REQUIRE(consumer->assign({{"log", 0}}));
    std::vector<std::string> got;
    while (got.size() < sent.size()) {
      const auto polled = world.run(consumer->poll(60s));
      REQUIRE_MESSAGE(polled, why_of(polled));
      REQUIRE_FALSE((*polled)->records.empty());
      for (const RecordView& record : (*polled)->records) got.emplace_back(record.value.text());
    }
    CHECK(got == sent);
    world.end(consumer);
    world.end(producer);
  }
}

TEST_CASE("a cluster that is not trusted is told at once, by producer and consumer") {
  ClientWorld world;
  secure(world);
  world.cluster.add_topic("log", 1);
  const Instant begin = world.simulation.now();
  for (const Error& error :
       {fate_of_a_record(world, trusting(cast().other.pem())), error_of_a_poll(world, trusting(cast().other.pem()))}) {
    CHECK(error == Errc::authentication_failed);
    CHECK_FALSE(error.retriable());
    CHECK(has(error.message(), "certificate verify failed"));
    CHECK(has(error.message(), "broker1:9092"));
  }
  CHECK(world.simulation.now() - begin < 10s);
}

TEST_CASE("a client without the certificate that brokers want is told at once") {
  ClientWorld world;
  secure(world, io::tls::ClientAuth::required);
  world.cluster.add_topic("log", 1);
  const Error error = fate_of_a_record(world, trusting(cast().authority.pem()));
  CHECK(error == Errc::authentication_failed);
  CHECK(has(error.message(), "certificate required"));
  Config with_certificate = trusting(cast().authority.pem());
  with_certificate.set("ssl.keystore.type", "PEM");
  with_certificate.set("ssl.keystore.key", cast().client.key_pem("hush"));
  with_certificate.set("ssl.key.password", "hush");
  with_certificate.set("ssl.keystore.certificate.chain", cast().client.certificate_pem());
  CHECK(fate_of_a_record(world, with_certificate) == Errc::would_block);
}

TEST_CASE("stores that cannot be read are told at once, with their names") {
  ClientWorld world;
  secure(world);
  world.cluster.add_topic("log", 1);
  const Config config{
      {"security.protocol", "SSL"}, {"ssl.truststore.type", "PEM"}, {"ssl.truststore.location", "/none"}};
  for (const Error& error : {fate_of_a_record(world, config), error_of_a_poll(world, config)}) {
    CHECK(error == Errc::invalid_argument);
    CHECK(has(error.message(), "ssl.truststore.location /none"));
  }
}
