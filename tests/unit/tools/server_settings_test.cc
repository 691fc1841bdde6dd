// What a development broker runs with, and what its ready line says.
#include <doctest/doctest.h>

#include "tools/server_settings.h"

namespace klamm::tools {
namespace {

using Listener = config::Endpoint;

std::string quorum_of(const std::string& listeners) {
  return development_settings({{"listeners", listeners}}).at("controller.quorum.bootstrap.servers");
}

Listener plain(std::string host, std::uint16_t port) {
  return {"PLAINTEXT", config::SecurityProtocol::plaintext, std::move(host), port};
}

}  // namespace

TEST_CASE("a development broker with listeners of the user's own gets a controller on the next port") {
  const ConfigMap settings = development_settings({{"listeners", "PLAINTEXT://:19092"}});
  CHECK(settings.at("listeners") == "PLAINTEXT://:19092,CONTROLLER://localhost:19093");
  CHECK(settings.at("controller.quorum.bootstrap.servers") == "localhost:19093");
  CHECK(quorum_of("A://h:1, PLAINTEXT://[::1]:7000") == "localhost:7001");
}

TEST_CASE("the quorum is looked for where a controller's own listener can be reached") {
  CHECK(quorum_of("PLAINTEXT://:9092,CONTROLLER://:9555") == "localhost:9555");
  CHECK(quorum_of("CONTROLLER://0.0.0.0:9555,PLAINTEXT://:9092") == "localhost:9555");
  CHECK(quorum_of("PLAINTEXT://:9092, controller://[::]:9555") == "localhost:9555");
  CHECK(quorum_of("PLAINTEXT://:9092,CONTROLLER://[::1]:9555") == "[::1]:9555");
  CHECK(quorum_of("PLAINTEXT://:9092,CONTROLLER://10.0.0.1:9555") == "10.0.0.1:9555");
}

TEST_CASE("what the user says about the quorum stays") {
  const ConfigMap settings = development_settings(
      {{"listeners", "PLAINTEXT://:9092"}, {"controller.quorum.bootstrap.servers", "elsewhere:1"}, {"node.id", "7"}});
  CHECK(settings.at("controller.quorum.bootstrap.servers") == "elsewhere:1");
  CHECK(settings.at("node.id") == "7");
}

TEST_CASE("the ready line names the addresses that clients are told, where they are others") {
  CHECK(listeners_text({plain("localhost", 9092)}, {plain("localhost", 9092)}, "me") == "PLAINTEXT://localhost:9092");
  CHECK(listeners_text({plain("", 9092)}, {plain("", 9092)}, "me") == "PLAINTEXT://me:9092");
  CHECK(listeners_text({plain("127.0.0.1", 40000)}, {plain("127.0.0.1", 0)}, "me") == "PLAINTEXT://127.0.0.1:40000");
  CHECK(listeners_text({plain("0.0.0.0", 9092)}, {plain("broker.example", 19092)}, "me") ==
        "PLAINTEXT://0.0.0.0:9092 (advertised as broker.example:19092)");
}

}  // namespace klamm::tools
