// Inside of klamm::blocking::Runtime: the shard that blocking clients run on.
#pragma once

#include <memory>

#include "io/handoff.h"
#include "io/machine.h"
#include "klamm/blocking.h"

namespace klamm::blocking {

class Runtime::Impl {
 public:
  Impl()
      : machine_(std::make_unique<io::Machine>(io::MachineOptions{.shards = 1, .disk_threads = 0})),
        shard_(&machine_->at(0)) {}
  explicit Impl(io::Shard& shard) : shard_(&shard) {}
  io::Shard& shard() noexcept { return *shard_; }

 private:
  std::unique_ptr<io::Machine> machine_;
  io::Shard* shard_;
};

inline std::shared_ptr<Runtime> runtime_or_new(std::shared_ptr<Runtime> runtime) {
  return runtime ? std::move(runtime) : std::make_shared<Runtime>();
}

// On a shard that runs already and outlives the runtime.
inline std::shared_ptr<Runtime> runtime_on(io::Shard& shard) {
  return std::make_shared<Runtime>(std::make_unique<Runtime::Impl>(shard));
}

}  // namespace klamm::blocking
