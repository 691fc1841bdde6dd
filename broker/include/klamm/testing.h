// klamm::testing::Cluster: several brokers in one process, to see what a program does when one of them goes away.
//
//   klamm::testing::Cluster cluster = klamm::testing::Cluster::in_memory(3);
//   auto producer = klamm::blocking::Producer::create({{"bootstrap.servers", cluster.bootstrap_servers()}}).value();
//   cluster.kill_node(1);
//   ... what was acknowledged is still there ...
//   cluster.start_node(1);
//
// Each node is broker and controller, with threads of its own, on 127.0.0.1; every Kafka client in any process can use
// them over TCP. They are Apache Kafka's cluster in all but its process: elections, replication and failover are real,
// and take real time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"

namespace klamm::testing {

struct ClusterOptions {
  int nodes = 3;  // 1 to 16
  // Where the nodes keep their data, each in a directory node-<number> below it. Formatted for a new cluster if it is
  // not there or empty; else it must hold that of a cluster of as many nodes, which goes on. Empty: in memory, gone
  // with the cluster.
  std::string directory;
  // Kafka's settings for every node, on top of: topics have as many replicas as there are nodes, up to 3, and
  // min.insync.replicas is one less; a broker that is silent for 3 s (broker.session.timeout.ms) leads nothing more.
  // Not what makes the nodes a cluster: node.id, process.roles, listeners, log.dirs, the quorum's voters.
  std::map<std::string, std::string> settings;
  // The brokers listen on this port and those that follow, their controllers behind them: twice as many as nodes.
  // 0: free ones are chosen. The ports stay the same when nodes are started again.
  std::uint16_t first_port = 0;
  unsigned shards = 1;  // threads that serve, of each node; 0: one a core
  // Until start() and start_node() give up with Errc::timed_out.
  std::chrono::milliseconds start_timeout{60'000};
  // Gets the nodes' logs, components named "node 1/raft"; empty: warnings and errors to stderr.
  LogSink log;
};

// Nodes are numbered from 1, which is their node.id. Calls wait, and come from one thread at a time.
class Cluster {
 public:
  // Starts all nodes and waits until each serves clients. Errors: Errc::invalid_argument for a bad option or setting
  // and for a directory that holds something else, Errc::unavailable for one in use, the system's for ports in use or
  // a directory that cannot be written. Nothing runs then.
  static Result<Cluster> start(ClusterOptions options = {});
  // Without files, on free ports; throws std::runtime_error if the machine refuses even that.
  static Cluster in_memory(int nodes = 3);

  Cluster(Cluster&&) noexcept;
  Cluster& operator=(Cluster&&) noexcept;
  // stop().
  ~Cluster();

  int size() const noexcept;
  // All nodes' addresses, whether they run or not: "127.0.0.1:20001,127.0.0.1:20002,…".
  const std::string& bootstrap_servers() const noexcept;
  // Of one node.
  std::string address(int node) const;
  const std::string& cluster_id() const noexcept;
  bool running(int node) const;

  // A node that was stopped or killed comes back, with its data, and is waited for until it serves. Needs a majority of
  // the nodes to run, this one counted: Errc::timed_out without. Success if it runs already. Errc::invalid_argument if
  // there is no such node; so for the next two.
  Result<void> start_node(int node);
  // A controlled shutdown: leadership moves to other nodes first. Success if it does not run.
  Result<void> stop_node(int node);
  // As kill -9: connections are reset, nobody is told, the data stays as it is. Success if it does not run.
  Result<void> kill_node(int node);
  // Stops all nodes, their logs closed cleanly. Calling it again does nothing.
  void stop();

 private:
  class Impl;
  explicit Cluster(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace klamm::testing
