// `klamm cluster demo`: a whole cluster in one process, for trying out.
#pragma once

#include <optional>

#include "tools/options.h"

namespace klamm::tools {

// Its options, which the other commands of `klamm cluster` do not take.
void declare_cluster_demo(Options& options);
// A usage error (its exit status) where options are mixed.
std::optional<int> check_cluster_demo(const Options& options, bool demo);
// Runs until SIGINT or SIGTERM; returns the exit status, 0 then.
int run_cluster_demo(const Options& options);

}  // namespace klamm::tools
