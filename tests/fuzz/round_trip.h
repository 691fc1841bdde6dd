// What every decoder of generated messages must stand: any bytes give an error or a message that encodes to bytes that
// decode to the same message.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "protocol/schema/catalog.h"

namespace klamm::fuzz {

// The catalog's types of one kind, in its order.
inline std::vector<const protocol::MessageType*> types_of_kind(std::string_view kind) {
  std::vector<const protocol::MessageType*> types;
  for (const protocol::MessageType& type : protocol::message_catalog()) {
    if (type.kind == kind) types.push_back(&type);
  }
  return types;
}

inline void round_trip(const protocol::MessageType& type, std::int16_t version, const Slice& bytes) {
  const Result<std::unique_ptr<protocol::AnyMessage>> message = type.decode(bytes, version);
  if (!message) return;
  const Slice encoded = (*message)->encode(version);
  const Result<std::unique_ptr<protocol::AnyMessage>> again = type.decode(encoded, version);
  KLAMM_CHECK(again.has_value(), type.name);
  // Bytes are compared, not values: a NaN is not equal to itself.
  KLAMM_CHECK((*again)->encode(version) == encoded, type.name);
  std::size_t spliced = 0;
  for (const io::Piece& piece : (*message)->encode_pieces(version)) {
    const Slice& slice = std::get<Slice>(piece);
    KLAMM_CHECK(encoded.part(spliced, slice.size()) == slice, type.name);
    spliced += slice.size();
  }
  KLAMM_CHECK(spliced == encoded.size(), type.name);
  // What was decoded can be encoded, and so it passes the check of its version.
  KLAMM_CHECK((*message)->check(version).has_value(), type.name);
}

// Input: one byte chooses the type, one the version, the rest is the message. The memory is exactly as long as the
// message, so that a sanitizer sees every read past it.
inline void choose_and_round_trip(const std::vector<const protocol::MessageType*>& types, Bytes input) {
  if (input.size() < 2) return;
  const protocol::MessageType& type = *types[std::to_integer<std::size_t>(input[0]) % types.size()];
  const int versions = type.max_version - type.min_version + 1;
  const int version = type.min_version + std::to_integer<int>(input[1]) % versions;
  round_trip(type, static_cast<std::int16_t>(version), Slice::copy(input.subspan(2)));
}

}  // namespace klamm::fuzz
