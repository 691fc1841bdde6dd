// LZ4 frames, with Kafka's rules rather than the library's: fixed header on writing; on reading, independent blocks
// only, checksums of header and blocks verified, that of the content passed over.
#include <lz4.h>
#include <lz4hc.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "protocol/compress/codec_state.h"
#include "protocol/compress/xxhash32.h"

namespace klamm::compress {

namespace {

constexpr unsigned char kHeader[7] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82};
constexpr std::size_t kBlockBytes = 64 * 1024;
constexpr std::uint32_t kStoredBit = 0x80000000u;
constexpr int kFastLevel = 9;  // Kafka's default level means the fast compressor; every other is HC

constexpr unsigned kVersionShift = 6;
constexpr unsigned kIndependentBlocks = 0x20;
constexpr unsigned kBlockChecksums = 0x10;
constexpr unsigned kContentSize = 0x08;
constexpr unsigned kContentChecksum = 0x04;
constexpr unsigned kReservedFlags = 0x03;
constexpr unsigned kReservedBlockBits = 0x8f;

static_assert(std::endian::native == std::endian::little);
std::uint32_t load_little_endian(const std::byte* from) {
  std::uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
void store_little_endian(std::byte* to, std::uint32_t value) { std::memcpy(to, &value, sizeof value); }

int compress_block(void* memory, int level, Bytes input, std::byte* to, int capacity) {
  const char* const from = reinterpret_cast<const char*>(input.data());
  const int size = static_cast<int>(input.size());
  char* const out = reinterpret_cast<char*>(to);
  if (level == kFastLevel) return LZ4_compress_fast_extState(memory, from, out, size, capacity, 1);
  return LZ4_compress_HC_extStateHC(memory, from, out, size, capacity, level);
}

Result<void> open_frame(Reader& reader) {
  Bytes& rest = reader.rest;
  if (rest.size() < sizeof kHeader) return fail(Errc::malformed, "lz4: the frame's header is cut short");
  if (std::memcmp(rest.data(), kHeader, 4) != 0) return fail(Errc::malformed, "lz4: not a frame");
  const unsigned flags = static_cast<unsigned>(rest[4]);
  const unsigned block = static_cast<unsigned>(rest[5]);
  if (flags >> kVersionShift != 1) return fail(Errc::malformed, "lz4: unknown frame version");
  if ((flags & kReservedFlags) || (block & kReservedBlockBits))
    return fail(Errc::malformed, "lz4: reserved bits are set");
  if (!(flags & kIndependentBlocks)) return fail(Errc::malformed, "lz4: linked blocks");
  const unsigned size_code = block >> 4;
  if (size_code < 4) return fail(Errc::malformed, "lz4: unknown block size");
  reader.lz4_block_bytes = std::size_t{1} << (8 + 2 * size_code);  // 4: 64 KiB … 7: 4 MiB
  reader.lz4_block_checksums = flags & kBlockChecksums;
  reader.lz4_content_checksum = flags & kContentChecksum;
  const std::size_t described = 2 + ((flags & kContentSize) ? 8 : 0);
  if (rest.size() < 4 + described + 1) return fail(Errc::malformed, "lz4: the frame's header is cut short");
  const unsigned expected = (xxhash32(rest.subspan(4, described)) >> 8) & 0xff;
  if (reader.lz4_header_check == Lz4HeaderCheck::strict && static_cast<unsigned>(rest[4 + described]) != expected) {
    return fail(Errc::malformed, "lz4: wrong header checksum");
  }
  rest = rest.subspan(4 + described + 1);
  return {};
}

Result<Bytes> close_frame(Reader& reader) {
  if (reader.lz4_content_checksum) {
    if (reader.rest.size() < 4) return fail(Errc::malformed, "lz4: the content checksum is cut short");
    reader.rest = reader.rest.subspan(4);
  }
  if (!reader.rest.empty()) return fail(Errc::malformed, "lz4: bytes behind the frame");
  reader.done = true;
  return Bytes();
}

Result<Bytes> unpack_block(const Reader& reader, Bytes block, bool stored, Sink& sink) {
  if (stored) {
    const MutableBytes to = sink.room(block.size());
    std::memcpy(to.data(), block.data(), block.size());
    return Bytes(to.data(), block.size());
  }
  // A byte of input gives at most 255 of output.
  const std::size_t capacity = std::min(reader.lz4_block_bytes, block.size() * 255 + 64);
  const MutableBytes to = sink.room(capacity);
  const int size = LZ4_decompress_safe(reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(to.data()),
                                       static_cast<int>(block.size()), static_cast<int>(capacity));
  if (size < 0) return fail(Errc::malformed, "lz4: bad block");
  return Bytes(to.data(), static_cast<std::size_t>(size));
}

}  // namespace

Result<Bytes> compress_lz4(CodecState& state, int level, Bytes input) {
  const std::size_t state_bytes =
      static_cast<std::size_t>(level == kFastLevel ? LZ4_sizeofState() : LZ4_sizeofStateHC());
  void* const memory = state.lz4_memory.need(state_bytes);
  const std::size_t blocks = (input.size() + kBlockBytes - 1) / kBlockBytes;
  const int block_capacity = LZ4_compressBound(static_cast<int>(kBlockBytes));
  std::byte* const output =
      state.output.need(sizeof kHeader + blocks * (4 + kBlockBytes) + 4 + static_cast<std::size_t>(block_capacity));
  std::memcpy(output, kHeader, sizeof kHeader);
  std::byte* to = output + sizeof kHeader;
  while (!input.empty()) {
    const Bytes block = input.first(std::min(input.size(), kBlockBytes));
    const int packed = compress_block(memory, level, block, to + 4, block_capacity);
    if (packed > 0 && static_cast<std::size_t>(packed) < block.size()) {
      store_little_endian(to, static_cast<std::uint32_t>(packed));
      to += 4 + packed;
    } else {
      store_little_endian(to, static_cast<std::uint32_t>(block.size()) | kStoredBit);
      std::memcpy(to + 4, block.data(), block.size());
      to += 4 + block.size();
    }
    input = input.subspan(block.size());
  }
  store_little_endian(to, 0);
  return Bytes(output, to + 4);
}

Result<Bytes> step_lz4(CodecState& state, Sink& sink) {
  Reader& reader = state.reader;
  if (!reader.open) {
    Result<void> opened = open_frame(reader);
    KLAMM_TRY(opened);
    reader.open = true;
  }
  if (reader.rest.size() < 4) return fail(Errc::malformed, "lz4: a block's length is cut short");
  const std::uint32_t word = load_little_endian(reader.rest.data());
  reader.rest = reader.rest.subspan(4);
  const std::size_t size = word & ~kStoredBit;
  if (size == 0) return close_frame(reader);
  const std::size_t trailer = reader.lz4_block_checksums ? 4 : 0;
  if (size > reader.lz4_block_bytes) return fail(Errc::malformed, fmt::format("lz4: a block of {} bytes", size));
  if (size + trailer > reader.rest.size()) {
    return fail(Errc::malformed, fmt::format("lz4: a block of {} bytes where {} are left", size, reader.rest.size()));
  }
  const Bytes block = reader.rest.first(size);
  if (trailer && load_little_endian(reader.rest.data() + size) != xxhash32(block)) {
    return fail(Errc::malformed, "lz4: wrong block checksum");
  }
  reader.rest = reader.rest.subspan(size + trailer);
  return unpack_block(reader, block, word & kStoredBit, sink);
}

}  // namespace klamm::compress
