// How a client sees its cluster and connects to it: settings as the insides use them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "io/stream.h"
#include "io/tls/settings.h"
#include "protocol/rpc/connection.h"

namespace klamm::client {

using BrokerNumber = std::int32_t;  // as in messages; below 0: a bootstrap server
using ConnectionRef = std::shared_ptr<rpc::Connection>;

struct ClusterOptions {
  std::vector<io::Endpoint> bootstrap;
  std::string client_id;
  Duration metadata_max_age = 5min;      // metadata.max.age.ms
  Duration metadata_max_idle = 5min;     // metadata.max.idle.ms; max(): topics are never forgotten
  Duration retry_backoff = 100ms;        // retry.backoff.ms
  Duration retry_backoff_max = 1s;       // retry.backoff.max.ms
  Duration reconnect_backoff = 50ms;     // reconnect.backoff.ms
  Duration reconnect_backoff_max = 1s;   // reconnect.backoff.max.ms
  Duration setup_timeout = 10s;          // socket.connection.setup.timeout.ms
  Duration setup_timeout_max = 30s;      // socket.connection.setup.timeout.max.ms
  Duration request_timeout = 30s;        // request.timeout.ms
  Duration max_idle = 9min;              // connections.max.idle.ms
  bool rebootstrap = true;               // metadata.recovery.strategy
  Duration rebootstrap_trigger = 5min;   // metadata.recovery.rebootstrap.trigger.ms
  bool allow_auto_create_topics = true;  // allow.auto.create.topics; producers always
  bool controllers = false;              // bootstrap.controllers: the nodes are controllers, there are no topics
  io::SocketBuffers buffers;             // send.buffer.bytes, receive.buffer.bytes
  std::optional<io::tls::Settings> tls;  // what connections speak; nothing: plain ones
};

}  // namespace klamm::client
