// A node in memory with a client that speaks raw requests.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "broker/metadata/format.h"
#include "broker/server/node.h"
#include "io/machine.h"
#include "protocol/message/header.h"
#include "protocol/messages/create_topics_request.h"
#include "protocol/rpc/frame_reader.h"
#include "tests/unit/why.h"

namespace klamm::server::testing {

inline config::BrokerConfig node_config(std::map<std::string, std::string> extra = {}) {
  ConfigMap settings{{"node.id", "1"},
                     {"process.roles", "broker,controller"},
                     {"controller.listener.names", "CONTROLLER"},
                     {"listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"},
                     {"controller.quorum.voters", "1@127.0.0.1:9093"},
                     {"log.dirs", "/data"}};
  for (auto& [key, value] : extra) settings.insert_or_assign(key, value);
  Result<config::BrokerConfig> config = config::BrokerConfig::parse(std::move(settings));
  REQUIRE_MESSAGE(config.has_value(), why_of(config));
  return *config;
}

// For a topic of one replica.
inline protocol::CreateTopicsRequest creation_of(const std::string& name, std::int32_t partitions = 1) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 10'000;
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  topic.num_partitions = partitions;
  topic.replication_factor = 1;
  return request;
}

// Formatted files in memory, shared by the nodes that run on it one after the other.
class Host {
 public:
  explicit Host(unsigned shards = 2)
      : machine_({.shards = shards, .seed = 1, .disk_threads = 2, .memory_files = true}) {
    metadata::FormatOptions format;
    format.cluster_id = "AAAAAAAAQUCAAAAAAAAAAQ";
    format.node_id = 1;
    format.log_dirs = {"/data"};
    format.metadata_log_dir = "/data";
    Result<metadata::FormatReport> report = machine_.run(0, metadata::format_storage(machine_.at(0), format));
    REQUIRE_MESSAGE(report.has_value(), why_of(report));
  }
  io::Machine& machine() { return machine_; }

 private:
  io::Machine machine_;
};

class RunningNode {
 public:
  explicit RunningNode(Host& host, std::map<std::string, std::string> extra = {}) : host_(host) {
    Result<void> started = host_.machine().run(0, start(node_config(std::move(extra))));
    REQUIRE_MESSAGE(started.has_value(), why_of(started));
  }
  ~RunningNode() { host_.machine().run(0, stop()); }
  io::Endpoint address() const { return node_->listeners().front().endpoint; }
  io::Endpoint controller_address() const { return node_->controller_listeners().front().endpoint; }
  Host& host() { return host_; }

 private:
  io::Task<Result<void>> start(config::BrokerConfig config) {
    node_ = std::make_unique<Node>(host_.machine(),
                                   NodeOptions{std::move(config), Logger(stderr_sink(), LogLevel::warning), {}});
    Result<void> started = co_await node_->start();
    co_return started;
  }
  io::Task<void> stop() {
    co_await node_->stop();
    node_.reset();
  }
  Host& host_;
  std::unique_ptr<Node> node_;
};

// One connection; calls wait.
class Client {
 public:
  explicit Client(RunningNode& node) : Client(node, node.address()) {}
  Client(RunningNode& node, io::Endpoint address) : machine_(node.host().machine()), reader_(100 << 20) {
    Result<std::unique_ptr<io::Stream>> stream = machine_.run(0, machine_.at(0).connect(std::move(address), 10s));
    REQUIRE_MESSAGE(stream.has_value(), why_of(stream));
    stream_ = std::move(*stream);
  }
  ~Client() {
    machine_.run(0, [](std::unique_ptr<io::Stream>* stream) -> io::Task<void> {
      stream->reset();
      co_return;
    }(&stream_));
  }

  Result<void> send(io::Pieces frame) { return machine_.run(0, io::write_all(*stream_, std::move(frame))); }
  Result<Slice> receive() { return machine_.run(0, reader_.read(*stream_)); }

  template <typename Response, typename Request>
  Response call(const Request& request, std::int16_t version = Request::kMaxStableVersion) {
    const std::int32_t correlation = ++correlation_;
    REQUIRE(request.check(version).has_value());
    REQUIRE(send(protocol::encode_request(request, version, correlation, "test")));
    Result<Slice> frame = receive();
    REQUIRE_MESSAGE(frame.has_value(), why_of(frame));
    Result<Response> response = protocol::decode_response<Response>(*frame, version, correlation);
    REQUIRE_MESSAGE(response.has_value(), why_of(response));
    return *response;
  }

 private:
  io::Machine& machine_;
  std::unique_ptr<io::Stream> stream_;
  rpc::FrameReader reader_;
  std::int32_t correlation_ = 0;
};

}  // namespace klamm::server::testing
