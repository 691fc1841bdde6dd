#include "broker/metadata/record.h"

#include <fmt/format.h>

#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

#include "protocol/wire/json.h"
#include "protocol/wire/message.h"

namespace klamm::metadata {
namespace {

constexpr std::uint32_t kFrameVersion = 1;

std::size_t uvarint_size(std::uint32_t value) {
  std::size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++size;
  }
  return size;
}

template <typename Message>
Result<Record> decode_as(wire::Reader& reader, std::int16_t version) {
  if (!wire::has_version<Message>(version)) {
    return fail(Errc::unsupported,
                fmt::format("{} version {} in the metadata log is not known to this build (it knows {} to {})",
                            Message::kName, version, Message::kMinVersion, Message::kMaxVersion));
  }
  Result<Message> message = wire::decode_message<Message>(reader.read_rest(), version);
  KLAMM_TRY(message);
  return Record{std::move(*message), version};
}

using Decoder = Result<Record> (*)(wire::Reader& reader, std::int16_t version);

template <typename... Messages>
Decoder find_decoder(std::uint32_t type, std::in_place_type_t<std::variant<Messages...>>) {
  Decoder found = nullptr;
  ((type == static_cast<std::uint32_t>(Messages::kRecordType) ? void(found = &decode_as<Messages>) : void()), ...);
  return found;
}

}  // namespace

std::int16_t type_of(const Record& record) {
  return std::visit([](const auto& message) { return std::remove_cvref_t<decltype(message)>::kRecordType; },
                    record.message);
}

std::string_view name_of(const Record& record) {
  return std::visit([](const auto& message) { return std::remove_cvref_t<decltype(message)>::kName; }, record.message);
}

Slice encode_record(const Record& record) {
  const auto type = static_cast<std::uint32_t>(type_of(record));
  const auto version = static_cast<std::uint32_t>(record.version);
  return std::visit(
      [&](const auto& message) {
        const std::size_t head = uvarint_size(kFrameVersion) + uvarint_size(type) + uvarint_size(version);
        wire::Writer writer(head + message.encoded_size(record.version), wire::RecordsMode::copy);
        writer.write_uvarint(kFrameVersion);
        writer.write_uvarint(type);
        writer.write_uvarint(version);
        message.encode(writer, record.version);
        return writer.take_slice();
      },
      record.message);
}

std::vector<Slice> encode_records(std::span<const Record> records) {
  std::vector<Slice> values;
  values.reserve(records.size());
  for (const Record& record : records) values.push_back(encode_record(record));
  return values;
}

Result<Record> decode_record(const Slice& value) {
  wire::Reader reader(value);
  const std::uint32_t frame = reader.read_uvarint();
  const std::uint32_t type = reader.read_uvarint();
  const std::uint32_t version = reader.read_uvarint();
  if (!reader.ok()) return fail(std::move(reader.status().error()).in("metadata record"));
  if (frame != kFrameVersion) {
    return fail(Errc::unsupported,
                fmt::format("frame version {} in the metadata log is not known to this build", frame));
  }
  if (version > 0x7fff) return fail(Errc::malformed, "a metadata record's version is out of range");
  const Decoder decoder = find_decoder(type, std::in_place_type<RecordMessage>);
  if (decoder == nullptr) {
    return fail(Errc::unsupported, fmt::format("record type {} in the metadata log is not known to this build", type));
  }
  return decoder(reader, static_cast<std::int16_t>(version));
}

std::string record_text(const Record& record) {
  std::string type;
  for (const char c : name_of(record)) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0 && !type.empty()) type += '_';
    type += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  nlohmann::ordered_json data = nlohmann::ordered_json::object();
  std::visit([&](const auto& message) { wire::to_json(message, record.version, data); }, record.message);
  const std::string text = data.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return fmt::format(R"({{"type":"{}","version":{},"data":{}}})", type, record.version, text);
}

}  // namespace klamm::metadata
