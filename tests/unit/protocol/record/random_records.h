// Records with random content, for comparing what goes into a batch with what comes out.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "protocol/record/record.h"

namespace klamm::record {

struct OwnedRecord {
  TimestampMs timestamp = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
  friend bool operator==(const OwnedRecord&, const OwnedRecord&) = default;
};

inline NullableBytes view_of(const std::optional<std::string>& text) {
  return text ? NullableBytes(as_bytes(*text)) : NullableBytes();
}
inline std::vector<Header> views_of(const OwnedRecord& record) {
  std::vector<Header> headers;
  for (const auto& [key, value] : record.headers) headers.push_back({key, view_of(value)});
  return headers;
}
inline std::optional<std::string> owned(NullableBytes bytes) {
  if (bytes.is_null()) return std::nullopt;
  return std::string(bytes.text());
}
inline OwnedRecord owned(const RecordView& record) {
  OwnedRecord copy{record.timestamp, owned(record.key), owned(record.value), {}};
  for (const Header& header : record.headers) copy.headers.emplace_back(std::string(header.key), owned(header.value));
  return copy;
}

inline std::string random_text(Random& random, std::size_t most) {
  std::string text(random.below(most + 1), '\0');
  for (char& letter : text) letter = static_cast<char>('a' + random.below(26));
  return text;
}
inline OwnedRecord random_record(Random& random, std::size_t most_bytes) {
  OwnedRecord record;
  record.timestamp = random.chance(0.02) ? static_cast<std::int64_t>(random.next())
                                         : 1'700'000'000'000 + random.between(-100, 100'000);
  if (random.chance(0.6)) record.key = random_text(random, most_bytes / 4);
  if (random.chance(0.9)) record.value = random_text(random, random.chance(0.1) ? most_bytes * 20 : most_bytes);
  for (std::uint64_t left = random.chance(0.3) ? random.below(5) : 0; left > 0; --left) {
    record.headers.emplace_back(random_text(random, 20), std::nullopt);
    if (random.chance(0.8)) record.headers.back().second = random_text(random, 100);
  }
  return record;
}

}  // namespace klamm::record
