// snappy in the xerial stream format, and raw blocks as librdkafka may send them.
#include <snappy.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "protocol/compress/codec_state.h"

namespace klamm::compress {

namespace {

constexpr unsigned char kHeader[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
constexpr std::size_t kMagicSize = 8;
constexpr std::size_t kBlockBytes = 32 * 1024;
// No snappy element gives more than 64 bytes for 3.
constexpr std::size_t kMostExpansion = 22;

bool has_magic(Bytes bytes) {
  return bytes.size() >= kMagicSize && std::memcmp(bytes.data(), kHeader, kMagicSize) == 0;
}

Result<void> take_header(Bytes& rest) {
  if (rest.size() < sizeof kHeader) return fail(Errc::malformed, "snappy: the stream's header is cut short");
  const std::int32_t version = load_big_endian<std::int32_t>(rest.data() + kMagicSize);
  if (version < 1) return fail(Errc::malformed, fmt::format("snappy: stream version {}", version));
  rest = rest.subspan(sizeof kHeader);
  return {};
}

Result<Bytes> unpack_block(Reader& reader, Bytes block, Sink& sink) {
  const char* const from = reinterpret_cast<const char*>(block.data());
  std::size_t size = 0;
  if (!snappy::GetUncompressedLength(from, block.size(), &size))
    return fail(Errc::malformed, "snappy: bad block length");
  if (size > block.size() * kMostExpansion) return fail(Errc::malformed, "snappy: impossible block length");
  if (size > reader.limit - reader.total) {
    return fail(Errc::too_large, fmt::format("snappy data unpacks to more than {} bytes", reader.limit));
  }
  const MutableBytes to = sink.room(std::max<std::size_t>(size, 1));
  if (!snappy::RawUncompress(from, block.size(), reinterpret_cast<char*>(to.data()))) {
    return fail(Errc::malformed, "snappy: bad block");
  }
  return Bytes(to.data(), size);
}

}  // namespace

Result<Bytes> compress_snappy(CodecState& state, Bytes input) {
  const std::size_t blocks = (input.size() + kBlockBytes - 1) / kBlockBytes;
  std::byte* const output = state.output.need(sizeof kHeader + blocks * (4 + snappy::MaxCompressedLength(kBlockBytes)));
  std::memcpy(output, kHeader, sizeof kHeader);
  std::byte* to = output + sizeof kHeader;
  while (!input.empty()) {
    const std::size_t size = std::min(input.size(), kBlockBytes);
    std::size_t packed = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(input.data()), size, reinterpret_cast<char*>(to + 4), &packed);
    store_big_endian(to, static_cast<std::int32_t>(packed));
    to += 4 + packed;
    input = input.subspan(size);
  }
  return Bytes(output, to);
}

Result<Bytes> step_snappy(CodecState& state, Sink& sink) {
  Reader& reader = state.reader;
  if (!reader.open) {
    reader.open = true;
    if (reader.rest.empty()) return fail(Errc::malformed, "snappy: empty input");
    if (!has_magic(reader.rest)) {
      reader.done = true;
      return unpack_block(reader, std::exchange(reader.rest, Bytes()), sink);
    }
  }
  while (has_magic(reader.rest)) {  // concatenated streams repeat the header
    Result<void> header = take_header(reader.rest);
    KLAMM_TRY(header);
  }
  if (reader.rest.empty()) {
    reader.done = true;
    return Bytes();
  }
  if (reader.rest.size() < 4) return fail(Errc::malformed, "snappy: a block's length is cut short");
  const std::int32_t size = load_big_endian<std::int32_t>(reader.rest.data());
  reader.rest = reader.rest.subspan(4);
  if (size < 0 || static_cast<std::size_t>(size) > reader.rest.size()) {
    return fail(Errc::malformed,
                fmt::format("snappy: a block of {} bytes where {} are left", size, reader.rest.size()));
  }
  const Bytes block = reader.rest.first(static_cast<std::size_t>(size));
  reader.rest = reader.rest.subspan(block.size());
  return unpack_block(reader, block, sink);
}

}  // namespace klamm::compress
