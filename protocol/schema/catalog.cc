#include "protocol/schema/catalog.h"

#include <algorithm>

#include "protocol/error.h"
#include "protocol/wire/reader.h"
#include "protocol/wire/writer.h"

namespace klamm::protocol {
namespace {

Result<void> require_version(const MessageType& type, std::int16_t version) {
  if (type.has_version(version)) return {};
  return fail(
      kafka_error(ErrorCode::unsupported_version, std::string(type.name) + " version " + std::to_string(version)));
}

}  // namespace

std::unique_ptr<AnyMessage> MessageType::make() const { return std::unique_ptr<AnyMessage>(make_raw()); }

Slice AnyMessage::encode(std::int16_t version) const {
  wire::Writer writer(encoded_size(version), wire::RecordsMode::copy);
  encode(writer, version);
  return writer.take_slice();
}

io::Pieces AnyMessage::encode_pieces(std::int16_t version) const {
  wire::Writer writer(encoded_size(version) - records_size(version));
  encode(writer, version);
  return writer.take_pieces();
}

void AnyMessage::to_json(nlohmann::ordered_json& object, std::int16_t version, wire::JsonStyle style) const {
  wire::JsonWriter writer(object, style);
  to_json(writer, version);
}

Result<std::unique_ptr<AnyMessage>> MessageType::decode(Slice slice, std::int16_t version) const {
  Result<void> known = require_version(*this, version);
  KLAMM_TRY(known);
  std::unique_ptr<AnyMessage> message = make();
  wire::Reader reader(std::move(slice));
  message->decode(reader, version);
  const Result<void> finished = reader.finish();
  if (!finished) return fail(Error(finished.error()).in(name));
  return message;
}

Result<std::unique_ptr<AnyMessage>> MessageType::from_json(const nlohmann::ordered_json& object,
                                                           std::int16_t version) const {
  Result<void> known = require_version(*this, version);
  KLAMM_TRY(known);
  std::unique_ptr<AnyMessage> message = make();
  wire::JsonFault fault;
  message->from_json(wire::JsonReader(object, fault), version);
  const Result<void> fits = fault.result();
  if (!fits) return fail(Error(fits.error()).in(name));
  return message;
}

const MessageType* find_message(std::string_view source, std::string_view name) {
  const std::vector<MessageType>& catalog = message_catalog();
  const auto found = std::find_if(catalog.begin(), catalog.end(),
                                  [&](const MessageType& type) { return type.name == name && type.source == source; });
  return found == catalog.end() ? nullptr : &*found;
}

const MessageType* find_message(std::string_view source, std::string_view kind, std::int16_t key) {
  const std::vector<MessageType>& catalog = message_catalog();
  const auto found = std::find_if(catalog.begin(), catalog.end(), [&](const MessageType& type) {
    return type.key == key && type.kind == kind && type.source == source;
  });
  return found == catalog.end() ? nullptr : &*found;
}

}  // namespace klamm::protocol
