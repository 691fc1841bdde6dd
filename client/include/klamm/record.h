// Records as an application sees them: what it sends (Record) and what it receives (RecordView).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"

namespace klamm {

// One partition of a topic.
struct TopicPartition {
  std::string topic;
  std::int32_t partition = 0;

  std::string text() const { return topic + "-" + std::to_string(partition); }  // "topic-3"
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

// A key or value, borrowed: bytes, or null. Kafka tells null from empty; a null value is a tombstone on compacted
// topics.
class NullableBytes {
 public:
  constexpr NullableBytes() = default;  // null
  constexpr NullableBytes(std::nullptr_t) {}
  constexpr NullableBytes(Bytes bytes) : data_(bytes.data()), size_(static_cast<std::int64_t>(bytes.size())) {}
  NullableBytes(std::string_view text) : NullableBytes(as_bytes(text)) {}
  NullableBytes(const std::string& text) : NullableBytes(std::string_view(text)) {}
  NullableBytes(const char* text) : NullableBytes(std::string_view(text)) {}

  constexpr bool is_null() const noexcept { return size_ < 0; }
  constexpr explicit operator bool() const noexcept { return size_ >= 0; }
  // 0 for null.
  constexpr std::size_t size() const noexcept { return size_ < 0 ? 0 : static_cast<std::size_t>(size_); }
  constexpr const std::byte* data() const noexcept { return data_; }
  constexpr Bytes bytes() const noexcept { return {data_, size()}; }   // empty for null
  std::string_view text() const noexcept { return as_text(bytes()); }  // empty for null

  // Equal bytes; null equals null only.
  friend bool operator==(const NullableBytes& left, const NullableBytes& right) noexcept {
    return left.size_ == right.size_ && (left.size_ <= 0 || std::memcmp(left.data_, right.data_, left.size()) == 0);
  }

 private:
  const std::byte* data_ = nullptr;
  std::int64_t size_ = -1;
};

// A header of a record: names may come more than once, order is kept (KIP-82).
struct Header {
  std::string_view key;
  NullableBytes value;
};

constexpr std::int32_t kAnyPartition = -1;
// As a timestamp to send: the time of send().
constexpr TimestampMs kNoTimestamp = -1;

// A record to send. Borrows everything; send() copies what it keeps.
struct Record {
  std::string_view topic;
  NullableBytes key{};
  NullableBytes value{};
  std::span<const Header> headers{};
  std::int32_t partition = kAnyPartition;  // else exactly this one; kAnyPartition: the partitioner chooses
  TimestampMs timestamp = kNoTimestamp;    // ms since 1970; replaced by the broker where the topic has LogAppendTime
};

// Whether a received timestamp was set by the producer or by the broker (message.timestamp.type).
enum class TimestampType : std::int8_t { create_time = 0, log_append_time = 1 };

// The headers of a received record, decoded while they are walked. Borrowed as the record is.
class HeaderRange {
 public:
  HeaderRange() = default;
  // `encoded`: as in a record batch of magic 2, without the count; checked before by whoever made this.
  HeaderRange(const std::byte* encoded, std::uint32_t encoded_bytes, std::uint32_t count) noexcept
      : encoded_(encoded), encoded_bytes_(encoded_bytes), count_(count) {}

  class Iterator {
   public:
    using value_type = Header;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    using pointer = const Header*;
    using reference = const Header&;
    Iterator() = default;
    Iterator(const std::byte* at, const std::byte* end, std::uint32_t left) : at_(at), end_(end), left_(left) {
      load();
    }
    const Header& operator*() const noexcept { return header_; }
    const Header* operator->() const noexcept { return &header_; }
    Iterator& operator++() {
      --left_;
      load();
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator& other) const noexcept { return left_ == other.left_; }

   private:
    void load();
    const std::byte* at_ = nullptr;
    const std::byte* end_ = nullptr;
    std::uint32_t left_ = 0;
    Header header_;
  };

  Iterator begin() const { return {encoded_, encoded_ + encoded_bytes_, count_}; }
  Iterator end() const { return {}; }
  std::size_t size() const noexcept { return count_; }
  bool empty() const noexcept { return count_ == 0; }
  // The value of the last header with this key (Kafka's lastHeader); nothing if there is none.
  std::optional<NullableBytes> find(std::string_view key) const;

 private:
  const std::byte* encoded_ = nullptr;
  std::uint32_t encoded_bytes_ = 0;
  std::uint32_t count_ = 0;
};

// A received record. Borrows from the Records that it came in: valid as long as those are.
struct RecordView {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int32_t leader_epoch = -1;  // of the leader that wrote the batch; -1 unknown (KIP-320)
  std::int64_t offset = 0;
  TimestampMs timestamp = kNoTimestamp;
  NullableBytes key;
  NullableBytes value;
  HeaderRange headers;
  TimestampType timestamp_type = TimestampType::create_time;
};

// Where a sent record ended up.
struct RecordMetadata {
  std::string topic;
  std::int32_t partition = -1;
  std::int64_t offset = -1;  // -1 if the broker did not tell (acks=0, or a duplicate whose offset it forgot)
  TimestampMs timestamp =
      kNoTimestamp;  // the broker's, where the topic has LogAppendTime; -1 else: the record's own holds
};

// What the cluster says of one partition.
struct PartitionInfo {
  std::string topic;
  std::int32_t partition = 0;
  std::int32_t leader = -1;  // broker id; -1: none at the moment
  std::int32_t leader_epoch = -1;
  std::vector<std::int32_t> replicas;
  std::vector<std::int32_t> in_sync_replicas;
  std::vector<std::int32_t> offline_replicas;
};

}  // namespace klamm

template <>
struct std::hash<klamm::TopicPartition> {
  std::size_t operator()(const klamm::TopicPartition& partition) const noexcept {
    constexpr std::size_t kSpread = 0x9E3779B97F4A7C15ULL;
    return std::hash<std::string>()(partition.topic) ^ (static_cast<std::size_t>(partition.partition) + 1) * kSpread;
  }
};
