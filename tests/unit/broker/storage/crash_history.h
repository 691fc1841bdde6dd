// A scripted history of a node's storage, with a model of what it has promised at every moment.
#pragma once

#include <functional>
#include <string>

#include "tests/unit/broker/storage/crash_node.h"

namespace klamm::storage::test {

class CrashHistory {
 public:
  CrashHistory(CrashNode& node, std::uint64_t seed) : node_(node), random_(seed) {}

  // Before the first start: logs as older brokers have left them.
  void prepare();
  // From the first start on: rounds of appends with everything else in between. `after_step` is called between steps.
  void run(int rounds, const std::function<void()>& after_step);
  // What has been promised so far, and what was asked for and not answered yet; also while something is under way.
  StorageModel model() const;
  // Appends a little to every log, repeats a producer's last batch, and has all flushed: the life after a restart.
  static std::vector<std::string> go_on(CrashNode& node, StorageModel& model, std::uint64_t seed);

 private:
  using Name = protocol::TopicPartition;
  void note_stop();
  void round(const std::function<void()>& after_step);
  void step(int number);
  void create(const Name& name);
  void append(const Name& name, int batches);
  void append_everywhere(int batches);
  void end_transactions(const Name& name);
  void begin_epoch(const Name& name);
  void truncate(const Name& name, std::int64_t back);
  void empty(const Name& name);
  void delete_records(const Name& name);
  void retention();
  void clean(const Name& name);
  void remove(const Name& name);
  void flush(const Name& name);
  void roll(const Name& name);
  void move(const Name& name);
  void move_and_remove(const Name& name);
  void checkpoint();
  void restart();
  void wait();

  ModelBatch draw_batch(const Name& name);
  Task<void> put(Name name, ModelBatch batch);
  Task<void> put_many(Name name, int batches);
  void settle(const Name& name);
  LogModel& at(const Name& name) { return model_.logs.at(name); }

  CrashNode& node_;
  Random random_;
  StorageModel model_;
  std::map<Name, std::int32_t> epochs_;
  std::map<Name, std::map<std::int64_t, std::int32_t>> sequences_;  // of producers, the next
  std::map<Name, std::set<std::int64_t>> open_;                     // producers in a transaction
  std::uint64_t next_id_ = 1;
  std::int64_t values_ = 0;
};

}  // namespace klamm::storage::test
