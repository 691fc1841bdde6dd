// Makes the entry of a message type; included by generated sources only.
#pragma once

#include <vector>

#include "protocol/schema/catalog.h"

namespace klamm::protocol {

template <typename M>
class Holder final : public AnyMessage {
 public:
  void decode(wire::Reader& reader, std::int16_t version) override { message_.decode(reader, version); }
  std::size_t encoded_size(std::int16_t version) const override { return message_.encoded_size(version); }
  std::size_t records_size(std::int16_t version) const override {
    if constexpr (requires { message_.records_size(version); }) return message_.records_size(version);
    return 0;
  }
  void encode(wire::Writer& writer, std::int16_t version) const override { message_.encode(writer, version); }
  Result<void> check(std::int16_t version) const override { return message_.check(version); }
  void to_json(wire::JsonWriter& json, std::int16_t version) const override { message_.to_json(json, version); }
  void from_json(const wire::JsonReader& json, std::int16_t version) override { message_.from_json(json, version); }
  bool equals(const AnyMessage& other) const override {
    const auto* same = dynamic_cast<const Holder*>(&other);
    return same != nullptr && same->message_ == message_;
  }

 private:
  M message_;
};

template <typename M>
MessageType catalog_entry(std::string_view source, std::string_view kind, std::int16_t key) {
  return {source,
          kind,
          M::kName,
          key,
          M::kMinVersion,
          M::kMaxVersion,
          M::kMaxStableVersion,
          M::kFlexibleFrom,
          []() -> AnyMessage* { return new Holder<M>(); }};
}

}  // namespace klamm::protocol
