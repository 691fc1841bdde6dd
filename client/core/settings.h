// From the settings that users give to what the parts of the SDK take.
#pragma once

#include "base/log.h"
#include "client/core/cluster.h"
#include "client/core/config_settings.h"

namespace klamm::client {

ClusterOptions cluster_options(const CommonSettings& common);

// The application's log, under a component name; a logger that drops everything if there is no sink.
Logger client_logger(const LogSink& sink, LogLevel level, std::string_view kind, const std::string& client_id);

}  // namespace klamm::client
