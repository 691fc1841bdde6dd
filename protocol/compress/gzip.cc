// gzip: one member whose header names no time and an unknown system, as Java's GZIPOutputStream writes it. ISA-L packs
// the low levels and unpacks all; zlib packs where ISA-L has no level of that strength.
#include <fmt/format.h>
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "protocol/compress/codec_state.h"

namespace klamm::compress {

void FreeDeflate::operator()(z_stream* stream) const {
  deflateEnd(stream);
  delete stream;
}
void FreeInflate::operator()(inflate_state* state) const { delete state; }

namespace {

constexpr unsigned char kHeader[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};
constexpr std::size_t kTrailerSize = 8;
constexpr int kMostIsalLevel = 2;
constexpr std::size_t kMostStep = 1 << 30;  // the libraries count bytes in 32 bits

unsigned char* as_unsigned(const std::byte* bytes) {
  return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes));
}

// Raw deflate by ISA-L into `to`; the bytes written, or an error if they did not fit.
Result<std::size_t> deflate_fast(CodecState& state, int level, Bytes input, MutableBytes to) {
  constexpr std::uint32_t kLevelBytes[] = {ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT,
                                           ISAL_DEF_LVL3_DEFAULT};
  const std::uint32_t level_bytes = kLevelBytes[level];
  // The stream's own state is large (tens of KiB), so it lies in kept memory too, behind the level's.
  std::byte* const memory = state.igzip_level_memory.need(level_bytes + sizeof(isal_zstream) + alignof(isal_zstream));
  void* stream_memory = memory + level_bytes;
  std::size_t space = sizeof(isal_zstream) + alignof(isal_zstream);
  auto* const stream =
      static_cast<isal_zstream*>(std::align(alignof(isal_zstream), sizeof(isal_zstream), stream_memory, space));
  isal_deflate_init(stream);
  stream->level = static_cast<std::uint32_t>(level);
  stream->level_buf = as_unsigned(memory);
  stream->level_buf_size = level_bytes;
  stream->gzip_flag = IGZIP_DEFLATE;
  stream->flush = NO_FLUSH;
  stream->end_of_stream = 1;
  stream->next_in = as_unsigned(input.data());
  stream->avail_in = static_cast<std::uint32_t>(input.size());
  stream->next_out = as_unsigned(to.data());
  stream->avail_out = static_cast<std::uint32_t>(std::min<std::size_t>(to.size(), UINT32_MAX));
  const int result = isal_deflate(stream);
  if (result != COMP_OK || stream->internal_state.state != ZSTATE_END) {
    return fail(Errc::invalid_argument, fmt::format("gzip: deflate gave {}", result));
  }
  return stream->total_out;
}

Result<std::size_t> deflate_small(CodecState& state, int level, Bytes input, MutableBytes to) {
  if (state.deflate && state.deflate_level != level) state.deflate.reset();
  if (!state.deflate) {
    auto* stream = new z_stream{};
    constexpr int kRawWindow = -15;
    constexpr int kMemoryLevel = 8;
    if (deflateInit2(stream, level, Z_DEFLATED, kRawWindow, kMemoryLevel, Z_DEFAULT_STRATEGY) != Z_OK) {
      delete stream;
      return fail(Errc::buffer_full, "no memory for gzip");
    }
    state.deflate.reset(stream);
    state.deflate_level = level;
  } else {
    deflateReset(state.deflate.get());
  }
  z_stream* const stream = state.deflate.get();
  stream->next_in = as_unsigned(input.data());
  stream->avail_in = static_cast<unsigned>(input.size());
  stream->next_out = as_unsigned(to.data());
  stream->avail_out = static_cast<unsigned>(std::min<std::size_t>(to.size(), UINT32_MAX));
  const int result = deflate(stream, Z_FINISH);
  if (result != Z_STREAM_END) return fail(Errc::invalid_argument, fmt::format("gzip: deflate gave {}", result));
  return stream->total_out;
}

}  // namespace

Result<Bytes> compress_gzip(CodecState& state, int level, Bytes input) {
  // The worst case of both libraries: stored blocks, the smallest of them 16 KiB at zlib's memory level.
  const std::size_t bound = input.size() + (input.size() / 16000 + 2) * 5 + (input.size() >> 8) + 512;
  std::byte* const output = state.output.need(sizeof kHeader + bound + kTrailerSize);
  std::memcpy(output, kHeader, sizeof kHeader);
  const MutableBytes to(output + sizeof kHeader, bound);
  const bool fast = level >= 1 && level <= kMostIsalLevel;
  Result<std::size_t> size = fast ? deflate_fast(state, level, input, to) : deflate_small(state, level, input, to);
  KLAMM_TRY(size);
  const std::uint32_t trailer[2] = {crc32_gzip_refl(0, as_unsigned(input.data()), input.size()),
                                    static_cast<std::uint32_t>(input.size())};
  static_assert(sizeof trailer == kTrailerSize);
  std::memcpy(output + sizeof kHeader + *size, trailer, kTrailerSize);
  return Bytes(output, sizeof kHeader + *size + kTrailerSize);
}

Result<Bytes> step_gzip(CodecState& state, Sink& sink) {
  Reader& reader = state.reader;
  if (!state.inflate) state.inflate.reset(new inflate_state);
  inflate_state* const inflate = state.inflate.get();
  if (!reader.open) {
    if (reader.rest.size() < sizeof kHeader + kTrailerSize)
      return fail(Errc::malformed, "gzip: the input is cut short");
    isal_inflate_init(inflate);
    inflate->crc_flag = ISAL_GZIP;
    reader.open = true;
  }
  const MutableBytes to = sink.room(kPieceBytes);
  const std::size_t given = std::min(reader.rest.size(), kMostStep);
  const std::size_t wanted = std::min(to.size(), kMostStep);
  inflate->next_in = as_unsigned(reader.rest.data());
  inflate->avail_in = static_cast<std::uint32_t>(given);
  inflate->next_out = as_unsigned(to.data());
  inflate->avail_out = static_cast<std::uint32_t>(wanted);
  const int result = isal_inflate(inflate);
  if (result < 0 || result == ISAL_NEED_DICT)
    return fail(Errc::malformed, fmt::format("gzip: inflate gave {}", result));
  const std::size_t read = given - inflate->avail_in;
  const std::size_t written = wanted - inflate->avail_out;
  reader.rest = reader.rest.subspan(read);
  if (inflate->block_state == ISAL_BLOCK_FINISH) {  // a member is complete; further ones may follow
    reader.open = false;
    if (reader.rest.empty()) reader.done = true;
  } else if (reader.rest.empty() && written < wanted) {
    return fail(Errc::malformed, "gzip: the member is cut short");
  } else if (read == 0 && written == 0) {
    return fail(Errc::malformed, "gzip: no progress");
  }
  return Bytes(to.data(), written);
}

}  // namespace klamm::compress
