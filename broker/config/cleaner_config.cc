#include "broker/config/cleaner_config.h"

#include <variant>

namespace klamm::config {

CleanerConfig make_cleaner_config(const BrokerLayers& layers) {
  const auto number = [&](std::string_view key) { return std::get<std::int64_t>(effective_value(layers, key)); };
  const auto real = [&](std::string_view key) { return std::get<double>(effective_value(layers, key)); };
  CleanerConfig config;
  config.enable = std::get<bool>(effective_value(layers, "log.cleaner.enable"));
  config.threads = static_cast<std::int32_t>(number("log.cleaner.threads"));
  config.dedupe_buffer_bytes = number("log.cleaner.dedupe.buffer.size");
  config.dedupe_load_factor = real("log.cleaner.io.buffer.load.factor");
  config.io_buffer_bytes = static_cast<std::int32_t>(number("log.cleaner.io.buffer.size"));
  config.io_max_bytes_per_second = real("log.cleaner.io.max.bytes.per.second");
  config.backoff_ms = number("log.cleaner.backoff.ms");
  return config;
}

std::int64_t move_bytes_per_second(const BrokerLayers& layers) {
  return std::get<std::int64_t>(effective_value(layers, "replica.alter.log.dirs.io.max.bytes.per.second"));
}

}  // namespace klamm::config
