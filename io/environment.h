// The environment of programs that bring their own Asio event loop: finds the shard that belongs to an executor.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/execution_context.hpp>

#include <memory>

#include "io/shard.h"

namespace klamm::io {

// The shard on which everything runs that was given `executor` (which must run one handler at a time: an io_context
// with one thread, or a strand). Made on demand and kept by the executor's context until that is destroyed; equal
// executors have the same shard. From any thread.
Shard& environment_of(const asio::any_io_executor& executor);

// Makes `shard` the environment of every executor of `context` that has none yet: how a simulator takes the place of
// the machine. The shard must outlive the context's use.
void install_environment(asio::execution_context& context, Shard& shard);

}  // namespace klamm::io
