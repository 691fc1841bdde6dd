// The producer's settings as its parts take them.
#pragma once

#include "client/core/cluster_options.h"
#include "client/core/config_settings.h"
#include "client/produce/accumulator.h"
#include "client/produce/batch_fate.h"

namespace klamm::client {

ClusterOptions producer_cluster(const ProducerSettings& settings);
AccumulatorOptions accumulator_options(const ProducerSettings& settings);
SenderOptions sender_options(const ProducerSettings& settings);

}  // namespace klamm::client
