// The connections of a client: one link a node (bootstrap servers are nodes too), opened on demand, tried again after a
// backoff, and a word for people when a node cannot be reached. What is known of brokers and topics is in cluster.h.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "client/core/cluster_options.h"
#include "client/core/repeated_warning.h"
#include "io/shard.h"
#include "io/tls/context.h"
#include "klamm/statistics.h"
#include "protocol/rpc/channel.h"

namespace klamm::client {

// A node, and the way to it.
struct Link {
  Link(io::Shard& shard, BrokerNumber number, io::Endpoint at, rpc::ChannelOptions options)
      : id(number), channel(shard, std::move(at), std::move(options)) {}
  bool is_bootstrap() const noexcept { return id < -1; }

  BrokerNumber id;
  RepeatedWarning unreachable;
  rpc::Channel channel;
};
using LinkRef = std::shared_ptr<Link>;

class Links {
 public:
  // `options` and `log` must outlive this.
  Links(io::Shard& shard, const ClusterOptions& options, const Logger& log);
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  // Null if there is none.
  LinkRef find(BrokerNumber broker) const;
  // The broker's link, made now if there is none.
  LinkRef add(BrokerNumber broker, const io::Endpoint& endpoint);
  // The broker listens elsewhere now.
  void relocate(BrokerNumber broker, const io::Endpoint& endpoint);
  // Cuts the broker's connection.
  void drop(BrokerNumber broker);

  // The link's open connection, opening it if need be, after the backoff that earlier failures ask for; Errc::timed_out
  // at the deadline. A failure is logged when it begins and, while it lasts, with growing intervals.
  io::Task<Result<ConnectionRef>> connect(LinkRef link, Instant deadline);
  // Of the open ones the one with the least to do; null if none is open.
  ConnectionRef least_loaded() const;
  std::vector<BrokerNumber> bootstrap() const;
  // True if each bootstrap server was tried, and none of their names has an address.
  bool bootstrap_unresolvable() const;

  std::vector<BrokerStatistics> statistics() const;

  // Cuts all connections, ends all attempts and waits.
  void stop();
  io::Task<void> close();

 private:
  LinkRef make(BrokerNumber number, const io::Endpoint& endpoint);
  io::Task<Result<void>> load_tls();
  void attempted(Link& link, const Error* error);

  io::Shard& shard_;
  const ClusterOptions& options_;
  const Logger& log_;
  std::map<BrokerNumber, LinkRef> links_;
  std::shared_ptr<const io::tls::Context> tls_;  // once options_.tls was loaded
  bool closed_ = false;
};

}  // namespace klamm::client
