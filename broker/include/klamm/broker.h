// klamm::Broker: a whole Kafka broker inside a C++ program or test.
//
//   klamm::Broker broker = klamm::Broker::in_memory();
//   klamm::blocking::Producer::create({{"bootstrap.servers", broker.bootstrap_servers()}});
//
// It runs on threads of its own; every Kafka client in any process can use it over TCP.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"

namespace klamm {

struct BrokerOptions {
  // Where the data lies. Formatted for a new cluster if it is not yet. Empty: in memory, gone with the broker.
  std::string directory;
  // Settings by Kafka's names (server.properties), on top of a single node on a free port of the loopback address.
  std::map<std::string, std::string> settings;
  unsigned shards = 1;  // threads that serve (num.shards); 0: one a core
  // Gets the broker's log; empty: warnings and errors to stderr.
  LogSink log;
};

class Broker {
 public:
  // Starts and waits until clients can be served. Errors: Errc::invalid_argument for a bad setting, Errc::unavailable
  // for a directory in use, the system's for a port in use or a directory that cannot be written.
  static Result<Broker> start(BrokerOptions options = {});
  // A broker without files, on a free port; throws std::runtime_error if the machine refuses even that.
  static Broker in_memory();

  Broker(Broker&&) noexcept;
  Broker& operator=(Broker&&) noexcept;
  // Stops.
  ~Broker();

  // "127.0.0.1:54321", for bootstrap.servers.
  const std::string& bootstrap_servers() const noexcept;
  // A controlled shutdown: connections are closed, the logs are flushed and closed cleanly. Waits for its end. Calling
  // it again does nothing.
  void stop();

 private:
  class Impl;
  explicit Broker(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace klamm
