// From bytes to a generated message and back, in one call.
//
// What every generated message, and every struct inside one, offers ("protocol/messages/..." in the build tree):
//   decode(reader, version)    into an object at its defaults; faults stick in the reader, and the object is then of no
//                              use. Byte fields are parts of the reader's slice.
//   encoded_size(version)      exact, records included.
//   encode(writer, version)    never fails for a message that passes check(version).
//   check(version)             Result<void>: what that version cannot carry (a field that is set and not ignorable, a
//                              null, a string over 32767 bytes, unknown tags).
//   unknown_tags               tagged fields of a later version, kept and sent again.
// The members' own comments in the generated headers say in which versions a field exists.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "io/piece.h"
#include "protocol/error.h"
#include "protocol/wire/reader.h"
#include "protocol/wire/writer.h"

namespace klamm::wire {

// What a generated message offers; see the generated headers ("protocol/messages/...").
template <typename M>
concept Message = requires(M message, const M& constant, Reader& reader, Writer& writer, std::int16_t version) {
  message.decode(reader, version);
  constant.encode(writer, version);
  { constant.encoded_size(version) } -> std::same_as<std::size_t>;
  { M::kMinVersion } -> std::convertible_to<std::int16_t>;
  { M::kMaxVersion } -> std::convertible_to<std::int16_t>;
};

template <Message M>
constexpr bool has_version(std::int16_t version) noexcept {
  return version >= M::kMinVersion && version <= M::kMaxVersion;
}

// The bytes of `records` fields that splicing leaves out of the buffer.
template <Message M>
std::size_t spliced_size(const M& message, std::int16_t version) {
  if constexpr (requires { message.records_size(version); }) return message.records_size(version);
  return 0;
}

// Decodes what the reader is at, without looking for bytes left over. UNSUPPORTED_VERSION if there is no such version,
// Errc::malformed if the bytes do not fit it.
template <Message M>
Result<M> read_message(Reader& reader, std::int16_t version) {
  if (!has_version<M>(version)) {
    return fail(protocol::kafka_error(protocol::ErrorCode::unsupported_version,
                                      std::string(M::kName) + " version " + std::to_string(version)));
  }
  Result<M> message;
  message->decode(reader, version);
  if (!reader.ok()) return fail(std::move(reader.status().error()).in(M::kName));
  return message;
}

// Decodes a message that fills the slice. Byte fields of the result are parts of the slice.
template <Message M>
Result<M> decode_message(Slice slice, std::int16_t version) {
  Reader reader(std::move(slice));
  Result<M> message = read_message<M>(reader, version);
  if (message && reader.remaining() != 0) return fail(std::move(reader.finish().error()).in(M::kName));
  return message;
}

// The same of a client's request. Bytes behind it are ignored, as Kafka ignores them: librdkafka 2.15 sends three
// behind a Metadata request for all topics.
template <Message M>
Result<M> decode_request(Slice slice, std::int16_t version) {
  Reader reader(std::move(slice));
  return read_message<M>(reader, version);
}

// Encodes into one buffer; `records` must be in memory and are copied. For a message that passes its check().
template <Message M>
Slice encode_message(const M& message, std::int16_t version) {
  Writer writer(message.encoded_size(version), RecordsMode::copy);
  message.encode(writer, version);
  return writer.take_slice();
}

// Encodes without copying `records`. For a message that passes its check().
template <Message M>
io::Pieces encode_pieces(const M& message, std::int16_t version) {
  Writer writer(message.encoded_size(version) - spliced_size(message, version));
  message.encode(writer, version);
  return writer.take_pieces();
}

// A message behind its int16 version: values of coordinator records, transaction markers, consumer protocol metadata.
// (KRaft's control records have a Version field of their own instead.)
template <Message M>
Slice encode_versioned(const M& message, std::int16_t version) {
  Writer writer(sizeof version + message.encoded_size(version), RecordsMode::copy);
  writer.write_int16(version);
  message.encode(writer, version);
  return writer.take_slice();
}
template <Message M>
Result<M> decode_versioned(Slice slice) {
  Reader reader(std::move(slice));
  const std::int16_t version = reader.read_int16();
  if (!reader.ok()) return fail(std::move(reader.status().error()).in(M::kName));
  return decode_message<M>(reader.read_rest(), version);
}

}  // namespace klamm::wire
