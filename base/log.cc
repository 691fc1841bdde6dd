#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace klamm {

LogSink stderr_sink() {
  auto logger = std::make_shared<spdlog::logger>("klamm", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("[%Y-%m-%d %H:%M:%S,%e] %v");
  logger->set_level(spdlog::level::trace);
  return [logger](LogLevel level, std::string_view component, std::string_view message) {
    static constexpr const char* kNames[] = {"DEBUG", "INFO", "WARN", "ERROR", ""};
    const char* name = kNames[static_cast<int>(level)];
    if (component.empty()) {
      logger->info("{} {}", name, message);
    } else {
      logger->info("{} {} ({})", name, message, component);
    }
  };
}

}  // namespace klamm
