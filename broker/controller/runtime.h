// The controller's state and how it changes: compute, append, replay at once, wait for the commit. Belongs to the
// Controller; its shard alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/log.h"
#include "broker/controller/compute.h"
#include "broker/controller/refusals.h"
#include "broker/metadata/loader.h"
#include "broker/raft/raft_node.h"
#include "io/sync.h"

namespace klamm::controller {

class Runtime {
 public:
  Runtime(io::Shard& shard, raft::RaftNode& raft, metadata::Loader& loader, Settings settings, Logger logger);

  bool active() const noexcept { return epoch_ >= 0; }
  const Settings& settings() const noexcept { return settings_; }
  // The state after all that was appended; while active.
  const ImageRef& image() const noexcept { return image_; }
  Sessions& sessions() noexcept { return sessions_; }
  std::int64_t last_offset() const noexcept { return last_offset_; }
  Instant last_append() const noexcept { return last_append_; }

  // This node leads in `epoch`, and the loader has everything from before: begin with its image.
  void claim(std::int32_t epoch);
  // No longer: drop the state. Waiting calls answer NOT_CONTROLLER by themselves.
  void renounce();

  // What a computation looks at. Valid until the next append.
  Compute view();
  // Appends records and replays them. RECORD_LIST_TOO_LARGE if records that belong together do not fit one batch
  // (nothing happened then); NOT_CONTROLLER if the append failed: the state is gone, and leadership is given up.
  Fault append(const Records& records, bool atomic);

  // Runs one request: `compute` makes a Decision of Response. The answer comes when all that it saw is committed.
  template <typename Request, typename ComputeFunction>
  auto run(const Request& request, Instant deadline, ComputeFunction compute)
      -> io::Task<decltype(std::declval<ComputeFunction>()(std::declval<const Compute&>()).response)> {
    using Response = decltype(compute(std::declval<const Compute&>()).response);
    if (!active()) co_return refuse(request, not_controller());
    const std::int32_t epoch = epoch_;
    auto decision = compute(view());
    Fault fault = append(decision.records, decision.atomic);
    if (fault) co_return refuse(request, fault);
    fault = co_await wait_committed(epoch, last_offset_, deadline);
    if (fault) co_return refuse(request, fault);
    Response response = std::move(decision.response);
    co_return response;
  }

  io::Task<Fault> wait_committed(std::int32_t epoch, std::int64_t offset, Instant deadline);
  Fault not_controller() const;

 private:
  bool append_batch(std::span<const Record> records, std::span<const Slice> values);
  void give_up(const Error& error);

  io::Shard& shard_;
  raft::RaftNode& raft_;
  metadata::Loader& loader_;
  Settings settings_;
  Logger logger_;
  std::int32_t epoch_ = -1;  // in which this node is the active controller; -1: it is not
  ImageRef image_;
  Sessions sessions_;
  std::int64_t last_offset_ = -1;  // of the last record that image_ contains
  Instant last_append_;
};

}  // namespace klamm::controller
