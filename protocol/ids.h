// Strong types for the numbers that brokers and clients hand to each other: an Offset is not a BrokerId. Generated
// messages hold the raw integers; code converts where it takes a message apart.
#pragma once

#include <fmt/core.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

#include "base/uuid.h"

namespace klamm::protocol {

// A number of type Rep that only its own kind compares with. Made and read explicitly: `Offset(5)`, `offset.value()`.
template <typename Tag, typename Rep>
class Strong {
 public:
  constexpr Strong() noexcept = default;
  constexpr explicit Strong(Rep value) noexcept : value_(value) {}
  constexpr Rep value() const noexcept { return value_; }
  friend constexpr auto operator<=>(const Strong&, const Strong&) noexcept = default;

  // Steps along the number line.
  constexpr Strong& operator++() noexcept {
    ++value_;
    return *this;
  }
  friend constexpr Strong operator+(const Strong& strong, Rep by) noexcept {
    return Strong(static_cast<Rep>(strong.value_ + by));
  }
  friend constexpr Strong operator-(const Strong& strong, Rep by) noexcept {
    return Strong(static_cast<Rep>(strong.value_ - by));
  }
  // The distance between two.
  friend constexpr Rep operator-(const Strong& left, const Strong& right) noexcept {
    return static_cast<Rep>(left.value_ - right.value_);
  }

 private:
  Rep value_{};
};

// A record's position in its partition. -1 where there is none.
using Offset = Strong<struct OffsetTag, std::int64_t>;
// Counts the leaders of a partition (or of the metadata quorum). -1 where unknown.
using LeaderEpoch = Strong<struct LeaderEpochTag, std::int32_t>;
using PartitionIndex = Strong<struct PartitionIndexTag, std::int32_t>;
// A node's id. -1 where there is none.
using BrokerId = Strong<struct BrokerIdTag, std::int32_t>;
// -1 where there is none.
using ProducerId = Strong<struct ProducerIdTag, std::int64_t>;
using ProducerEpoch = Strong<struct ProducerEpochTag, std::int16_t>;
// Zero where unknown.
using TopicId = Uuid;

constexpr Offset kNoOffset{-1};
constexpr LeaderEpoch kNoLeaderEpoch{-1};
constexpr BrokerId kNoBroker{-1};
constexpr ProducerId kNoProducerId{-1};
constexpr ProducerEpoch kNoProducerEpoch{-1};

// A partition by the name of its topic. As text "topic-partition", as Kafka names the partition's directory.
struct TopicPartition {
  std::string topic;
  PartitionIndex partition;

  std::string text() const { return topic + "-" + std::to_string(partition.value()); }
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

}  // namespace klamm::protocol

template <typename Tag, typename Rep>
struct std::hash<klamm::protocol::Strong<Tag, Rep>> {
  std::size_t operator()(const klamm::protocol::Strong<Tag, Rep>& strong) const noexcept {
    return std::hash<Rep>()(strong.value());
  }
};

template <>
struct std::hash<klamm::protocol::TopicPartition> {
  std::size_t operator()(const klamm::protocol::TopicPartition& partition) const noexcept {
    constexpr std::size_t kSpread = 0x9E3779B97F4A7C15ULL;
    return std::hash<std::string>()(partition.topic) ^
           static_cast<std::size_t>(partition.partition.value() + 1) * kSpread;
  }
};

namespace klamm::protocol {
// Out of line: fmt::format_to() compiles fmt's whole machinery into each file that calls it, fmt::format() does not.
fmt::appender append_text(fmt::appender out, std::int64_t number);
fmt::appender append_text(fmt::appender out, const TopicPartition& partition);
}  // namespace klamm::protocol

// "{}" only: widths would need fmt's heavy header in every file that knows an id.
template <typename Tag, typename Rep>
struct fmt::formatter<klamm::protocol::Strong<Tag, Rep>> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  auto format(const klamm::protocol::Strong<Tag, Rep>& strong, fmt::format_context& context) const {
    return klamm::protocol::append_text(context.out(), strong.value());
  }
};

template <>
struct fmt::formatter<klamm::protocol::TopicPartition> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  auto format(const klamm::protocol::TopicPartition& partition, fmt::format_context& context) const {
    return klamm::protocol::append_text(context.out(), partition);
  }
};
