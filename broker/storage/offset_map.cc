#include "broker/storage/offset_map.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace klamm::storage {

namespace {

std::uint64_t load_little_endian(const std::byte* from) noexcept {
  std::uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
static_assert(std::endian::native == std::endian::little, "byte order");

struct SipState {
  std::uint64_t v0, v1, v2, v3;
  void round() noexcept {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void take(std::uint64_t word) noexcept {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  std::uint64_t finish() noexcept {
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

// `range` parts of the hash's 64 bits.
std::uint64_t scale(std::uint64_t hash, std::uint64_t range) noexcept {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(hash) * range) >> 64);
}

}  // namespace

KeyHash siphash_128(const HashKey& key, Bytes bytes) noexcept {
  SipState state{key.low ^ 0x736f6d6570736575ULL, key.high ^ 0x646f72616e646f6dULL ^ 0xee,
                 key.low ^ 0x6c7967656e657261ULL, key.high ^ 0x7465646279746573ULL};
  const std::byte* at = bytes.data();
  const std::size_t words = bytes.size() / 8;
  for (std::size_t i = 0; i < words; ++i, at += 8) state.take(load_little_endian(at));
  std::uint64_t last = static_cast<std::uint64_t>(bytes.size()) << 56;
  for (std::size_t i = 0; i < bytes.size() % 8; ++i) last |= static_cast<std::uint64_t>(at[i]) << (8 * i);
  state.take(last);
  state.v2 ^= 0xee;
  KeyHash hash;
  hash.low = state.finish();
  state.v1 ^= 0xdd;
  hash.high = state.finish();
  return hash;
}

OffsetMap::OffsetMap(std::size_t memory_bytes, double load_factor, std::uint64_t most_entries, HashKey key)
    : key_(key) {
  const std::uint64_t slots = std::max<std::uint64_t>(memory_bytes / kEntryBytes, 2);
  // One slot stays free, so that every search ends.
  const auto bound = static_cast<std::uint64_t>(static_cast<double>(slots) * std::clamp(load_factor, 0.0, 1.0));
  most_entries_ = std::min({std::clamp<std::uint64_t>(bound, 1, slots - 1), std::max<std::uint64_t>(most_entries, 1)});
  slots_ = std::min(slots, most_entries_ + most_entries_ / 2 + 1);
  table_.reset(static_cast<Entry*>(std::calloc(slots_, kEntryBytes)));
  while (table_ == nullptr && most_entries_ > 1) {
    most_entries_ /= 2;
    slots_ = most_entries_ + most_entries_ / 2 + 1;
    table_.reset(static_cast<Entry*>(std::calloc(slots_, kEntryBytes)));
  }
  KLAMM_CHECK(table_ != nullptr, "no memory for the offset map");
}

OffsetMap::Entry* OffsetMap::place_of(const KeyHash& hash) const noexcept {
  Entry* const begin = table_.get();
  Entry* const end = begin + slots_;
  Entry* at = begin + scale(hash.low, slots_);
  while (at->offset_and_one != 0 && !(at->hash == hash)) {
    if (++at == end) at = begin;
  }
  return at;
}

bool OffsetMap::put(Bytes key, std::int64_t offset) {
  const KeyHash hash = siphash_128(key_, key);
  Entry* const place = place_of(hash);
  if (place->offset_and_one == 0) {
    if (entries_ == most_entries_) return false;
    ++entries_;
    place->hash = hash;
  }
  place->offset_and_one = offset + 1;
  latest_offset_ = offset;
  return true;
}

std::int64_t OffsetMap::find(Bytes key) const noexcept { return place_of(siphash_128(key_, key))->offset_and_one - 1; }

}  // namespace klamm::storage
