// zstd: one frame, streamed, so that it names neither content size nor checksum, as Kafka's clients write it.
#include <fmt/format.h>
#include <zstd.h>

#include "protocol/compress/codec_state.h"

namespace klamm::compress {

void FreeZstdCompressor::operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
void FreeZstdDecompressor::operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }

namespace {
// The strongest levels' tables and windows take hundreds of MiB: such a context is not kept.
constexpr std::size_t kKeptBytes = 16 << 20;
}  // namespace

void trim_zstd(CodecState& state) {
  if (state.zstd_compressor && ZSTD_sizeof_CCtx(state.zstd_compressor.get()) > kKeptBytes)
    state.zstd_compressor.reset();
  if (state.zstd_decompressor && ZSTD_sizeof_DCtx(state.zstd_decompressor.get()) > kKeptBytes) {
    state.zstd_decompressor.reset();
  }
}

Result<Bytes> compress_zstd(CodecState& state, int level, Bytes input) {
  if (!state.zstd_compressor) state.zstd_compressor.reset(ZSTD_createCCtx());
  ZSTD_CCtx* const context = state.zstd_compressor.get();
  if (!context) return fail(Errc::buffer_full, "no memory for zstd");
  ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0);

  const std::size_t bound = ZSTD_compressBound(input.size());
  ZSTD_outBuffer out{state.output.need(bound), bound, 0};
  ZSTD_inBuffer in{input.data(), input.size(), 0};
  // The first call must not be the ending one: zstd would then take the input's size into the frame's parameters.
  std::size_t left = 0;
  do {
    left = ZSTD_compressStream2(context, &out, &in, ZSTD_e_continue);
  } while (!ZSTD_isError(left) && in.pos < in.size);
  while (!ZSTD_isError(left)) {
    left = ZSTD_compressStream2(context, &out, &in, ZSTD_e_end);
    if (left == 0) return Bytes(static_cast<const std::byte*>(out.dst), out.pos);
    if (out.pos == out.size) return fail(Errc::too_large, "zstd passed its bound");
  }
  return fail(Errc::invalid_argument, fmt::format("zstd: {}", ZSTD_getErrorName(left)));
}

Result<Bytes> step_zstd(CodecState& state, Sink& sink) {
  Reader& reader = state.reader;
  if (!state.zstd_decompressor) state.zstd_decompressor.reset(ZSTD_createDCtx());
  ZSTD_DCtx* const context = state.zstd_decompressor.get();
  if (!context) return fail(Errc::buffer_full, "no memory for zstd");
  if (!reader.open) {
    if (reader.rest.empty()) return fail(Errc::malformed, "zstd: empty input");
    ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
    reader.open = true;
  }
  const MutableBytes to = sink.room(kPieceBytes);
  ZSTD_outBuffer out{to.data(), to.size(), 0};
  ZSTD_inBuffer in{reader.rest.data(), reader.rest.size(), 0};
  const std::size_t hint = ZSTD_decompressStream(context, &out, &in);
  if (ZSTD_isError(hint)) return fail(Errc::malformed, fmt::format("zstd: {}", ZSTD_getErrorName(hint)));
  const bool stuck = in.pos == 0 && out.pos == 0;
  reader.rest = reader.rest.subspan(in.pos);
  if (hint == 0) {  // a frame is complete; further ones may follow
    if (reader.rest.empty()) reader.done = true;
  } else if (stuck || (reader.rest.empty() && out.pos < out.size)) {
    return fail(Errc::malformed, "zstd: the frame is cut short");
  }
  return Bytes(to.data(), out.pos);
}

}  // namespace klamm::compress
