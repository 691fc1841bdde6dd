#include "broker/storage/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace klamm::storage {

namespace {

constexpr std::size_t kMaxFileName = 255;
constexpr std::size_t kStemDigits = 20;

bool legal_topic_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

template <typename Int>
std::optional<Int> parse_number(std::string_view text) {
  Int value = 0;
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view suffix_of(DirectoryKind kind) {
  switch (kind) {
    case DirectoryKind::deleted: return "-delete";
    case DirectoryKind::stray: return "-stray";
    case DirectoryKind::future: return "-future";
    case DirectoryKind::live: break;
  }
  return "";
}

// "<topic>-<partition>", split at the last '-'.
std::optional<protocol::TopicPartition> parse_topic_partition(std::string_view text) {
  const std::size_t dash = text.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return std::nullopt;
  const auto partition = parse_number<std::int32_t>(text.substr(dash + 1));
  if (!partition) return std::nullopt;
  const std::string_view topic = text.substr(0, dash);
  if (!std::all_of(topic.begin(), topic.end(), legal_topic_character)) return std::nullopt;
  return protocol::TopicPartition{std::string(topic), protocol::PartitionIndex(*partition)};
}

}  // namespace

Result<void> check_topic_name(std::string_view topic) {
  if (topic.empty()) return fail(Errc::invalid_argument, "topic name is empty");
  if (topic == "." || topic == "..")
    return fail(Errc::invalid_argument, fmt::format("topic name '{}' is reserved", topic));
  if (topic.size() > kMaxTopicName) {
    return fail(Errc::invalid_argument,
                fmt::format("topic name has {} characters, at most {} are allowed", topic.size(), kMaxTopicName));
  }
  if (!std::all_of(topic.begin(), topic.end(), legal_topic_character)) {
    return fail(Errc::invalid_argument,
                fmt::format("topic name '{}' has a character other than letters, digits, '.', '_' and '-'", topic));
  }
  return {};
}

bool topic_names_collide(std::string_view left, std::string_view right) {
  const auto fold = [](char c) { return c == '.' ? '_' : c; };
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [&](char a, char b) { return fold(a) == fold(b); });
}

std::string directory_name(const protocol::TopicPartition& partition) { return partition.text(); }

std::string directory_name(const protocol::TopicPartition& partition, DirectoryKind kind, const Uuid& id) {
  if (kind == DirectoryKind::live) return directory_name(partition);
  const std::string tail =
      fmt::format("-{}.{:016x}{:016x}{}", partition.partition.value(), id.high, id.low, suffix_of(kind));
  std::string_view topic = partition.topic;
  if (kind != DirectoryKind::future) topic = topic.substr(0, std::min(topic.size(), kMaxFileName - tail.size()));
  return std::string(topic) + tail;
}

std::optional<PartitionDirectory> parse_directory_name(std::string_view name) {
  for (DirectoryKind kind : {DirectoryKind::deleted, DirectoryKind::stray, DirectoryKind::future}) {
    const std::string_view suffix = suffix_of(kind);
    if (!name.ends_with(suffix)) continue;
    const std::string_view stem = name.substr(0, name.size() - suffix.size());
    const std::size_t dot = stem.rfind('.');
    if (dot == std::string_view::npos || dot + 1 == stem.size()) continue;
    if (auto partition = parse_topic_partition(stem.substr(0, dot))) return PartitionDirectory{*partition, kind};
  }
  if (auto partition = parse_topic_partition(name)) return PartitionDirectory{*partition, DirectoryKind::live};
  return std::nullopt;
}

std::string file_name(std::int64_t offset, std::string_view suffix) { return fmt::format("{:020}{}", offset, suffix); }

std::optional<std::int64_t> parse_file_name(std::string_view name, std::string_view suffix) {
  if (name.size() != kStemDigits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  return parse_number<std::int64_t>(name.substr(0, kStemDigits));
}

}  // namespace klamm::storage
