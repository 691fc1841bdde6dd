// Every message of the tables behind one interface, for what works on all of them: tests, fuzzers, tools that print
// messages. It links all generated code; the broker and the SDK use the message types themselves.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/bytes.h"
#include "base/result.h"
#include "io/piece.h"
#include "protocol/wire/fwd.h"
#include "protocol/wire/json.h"

namespace klamm::protocol {

class AnyMessage;

struct MessageType {
  std::string_view source;  // "clients", "metadata", "group-coordinator" ...
  std::string_view kind;  // "request", "response", "header", "data", "metadata", "coordinator-key", "coordinator-value"
  std::string_view name;  // "FetchRequest"
  std::int16_t key;       // API key or record type; -1 without
  std::int16_t min_version;
  std::int16_t max_version;
  std::int16_t max_stable_version;
  std::int16_t flexible_from;  // 32767 if never
  AnyMessage* (*make_raw)();   // see make()

  bool has_version(std::int16_t version) const noexcept { return version >= min_version && version <= max_version; }
  bool is_flexible(std::int16_t version) const noexcept { return version >= flexible_from; }
  // One at its defaults.
  std::unique_ptr<AnyMessage> make() const;
  // A message that fills the slice; UNSUPPORTED_VERSION or Errc::malformed.
  Result<std::unique_ptr<AnyMessage>> decode(Slice slice, std::int16_t version) const;
  // Errc::invalid_argument names the member that does not fit.
  Result<std::unique_ptr<AnyMessage>> from_json(const nlohmann::ordered_json& object, std::int16_t version) const;
};

// A message whose type is known at run time. The functions are those of the generated types.
class AnyMessage {
 public:
  virtual ~AnyMessage() = default;
  virtual void decode(wire::Reader& reader, std::int16_t version) = 0;
  virtual std::size_t encoded_size(std::int16_t version) const = 0;
  virtual std::size_t records_size(std::int16_t version) const = 0;  // 0 for a message without records
  virtual void encode(wire::Writer& writer, std::int16_t version) const = 0;
  virtual Result<void> check(std::int16_t version) const = 0;
  virtual void to_json(wire::JsonWriter& json, std::int16_t version) const = 0;
  virtual void from_json(const wire::JsonReader& json, std::int16_t version) = 0;
  // False if `other` is of another type.
  virtual bool equals(const AnyMessage& other) const = 0;

  // Into one buffer; `records` are copied.
  Slice encode(std::int16_t version) const;
  // `records` are spliced.
  io::Pieces encode_pieces(std::int16_t version) const;
  void to_json(nlohmann::ordered_json& object, std::int16_t version, wire::JsonStyle style) const;
};

// All messages, those of one source together.
const std::vector<MessageType>& message_catalog();
// By source and name; nullptr if there is none.
const MessageType* find_message(std::string_view source, std::string_view name);
// By source, kind and key: find_message("clients", "request", 1).
const MessageType* find_message(std::string_view source, std::string_view kind, std::int16_t key);

}  // namespace klamm::protocol
