#include "protocol/ids.h"

#include <fmt/format.h>

namespace klamm::protocol {

fmt::appender append_text(fmt::appender out, std::int64_t number) { return fmt::format_to(out, "{}", number); }

fmt::appender append_text(fmt::appender out, const TopicPartition& partition) {
  return fmt::format_to(out, "{}-{}", partition.topic, partition.partition.value());
}

}  // namespace klamm::protocol
