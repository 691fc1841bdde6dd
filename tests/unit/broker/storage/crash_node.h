// A node's storage over a simulated disk that may be a copy of what another node's disk held when its power was cut.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/storage/log_dirs.h"
#include "broker/storage/log_manager.h"
#include "tests/unit/broker/storage/crash_model.h"

namespace klamm::storage::test {

class CrashNode {
 public:
  explicit CrashNode(std::uint64_t seed, std::optional<io::sim::DiskImage> image = std::nullopt);
  ~CrashNode();
  CrashNode(const CrashNode&) = delete;
  CrashNode& operator=(const CrashNode&) = delete;

  // Before the first start: directories that are there to stay.
  void format();
  // What a broker does at start; an error text if it could not serve all its logs.
  std::string start();
  std::string stop();
  // The process is killed; its disk stays as it is, with what is not synced.
  void kill();

  template <typename T>
  T run(Task<T> task) {
    return simulation.run(shard(), std::move(task));
  }
  io::Shard& shard() { return node->shard(); }
  io::FileSystem& files() { return shard().files(); }
  io::sim::Disk& disk() { return node->disk(); }
  std::shared_ptr<Log> find(const protocol::TopicPartition& partition) const {
    return manager == nullptr ? nullptr : manager->find(partition);
  }
  std::shared_ptr<Log> create(const protocol::TopicPartition& partition, Uuid id);

  Task<void> checkpoint_late();

  static const std::vector<std::string>& directories();
  static config::LogConfig config_of(const std::string& topic);

  io::sim::Simulation simulation;
  io::sim::Node* node;
  std::unique_ptr<LogDirs> dirs;
  std::unique_ptr<LogManager> manager;
};

// What a reader finds in a log, control records included; what is wrong with it goes to `problems`.
std::vector<Entry> read_entries(CrashNode& node, Log& log, std::vector<std::string>& problems);
// What a reader of committed records sees.
std::vector<Entry> read_committed(CrashNode& node, Log& log, std::vector<std::string>& problems);

// Compares a node that has started after a loss of power with what was promised before.
struct Checked {
  std::vector<std::string> problems;  // each a broken promise
  StorageModel model;                 // what the node holds, for its further life
};
Checked check_storage(CrashNode& node, const StorageModel& model);

}  // namespace klamm::storage::test
