#include "protocol/compress/codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "protocol/compress/codec_state.h"

namespace klamm::compress {

MutableBytes Sink::room(std::size_t least) {
  if (window_) return {window_->need(least), least};
  if (least > buffer_->capacity() - used_) {
    Buffer::Ref larger = Buffer::allocate(std::max(used_ + least, buffer_->capacity() * 2));
    std::memcpy(larger->data(), buffer_->data(), used_);
    buffer_ = std::move(larger);
  }
  return {buffer_->data() + used_, buffer_->capacity() - used_};
}

Slice Sink::collected() {
  constexpr std::size_t kSlack = 4096;
  if (buffer_->capacity() > used_ + used_ / 2 + kSlack) return Slice::copy(Bytes(buffer_->data(), used_));
  return Slice(std::move(buffer_), used_);
}

Reader& CodecState::start(Compression codec, Bytes input, std::uint64_t limit, Lz4HeaderCheck lz4_header_check) {
  reader = Reader();
  reader.codec = codec;
  reader.rest = input;
  reader.limit = limit;
  reader.lz4_header_check = lz4_header_check;
  return reader;
}

namespace {

Result<Bytes> step_none(Reader& reader, Sink& sink) {
  if (reader.rest.empty()) {
    reader.done = true;
    return Bytes();
  }
  const std::size_t size = std::min(reader.rest.size(), kPieceBytes);
  const MutableBytes to = sink.room(size);
  std::memcpy(to.data(), reader.rest.data(), size);
  reader.rest = reader.rest.subspan(size);
  return Bytes(to.data(), size);
}

Result<Bytes> step_codec(CodecState& state, Sink& sink) {
  switch (state.reader.codec) {
    case Compression::none: return step_none(state.reader, sink);
    case Compression::gzip: return step_gzip(state, sink);
    case Compression::snappy: return step_snappy(state, sink);
    case Compression::lz4: return step_lz4(state, sink);
    case Compression::zstd: return step_zstd(state, sink);
  }
  return fail(Errc::unsupported, fmt::format("compression codec {}", static_cast<int>(state.reader.codec)));
}

}  // namespace

Result<Bytes> CodecState::step(Sink& sink) {
  if (reader.failure) return fail(*reader.failure);
  while (!reader.done) {
    Result<Bytes> piece = step_codec(*this, sink);
    if (piece && piece->size() > reader.limit - reader.total) {
      piece = fail(Errc::too_large,
                   fmt::format("{} data unpacks to more than {} bytes", name_of(reader.codec), reader.limit));
    }
    if (!piece) {
      reader.failure = piece.error();
      return piece;
    }
    reader.total += piece->size();
    sink.wrote(piece->size());
    if (!piece->empty()) return piece;
  }
  return Bytes();
}

Codecs::Codecs() : state_(std::make_unique<CodecState>()) {}
Codecs::~Codecs() = default;
Codecs::Codecs(Codecs&&) noexcept = default;
Codecs& Codecs::operator=(Codecs&&) noexcept = default;

namespace {

Result<Bytes> compress_into_scratch(CodecState& state, Compression codec, int level, Bytes input) {
  switch (codec) {
    case Compression::none: return input;
    case Compression::gzip: return compress_gzip(state, level, input);
    case Compression::snappy: return compress_snappy(state, input);
    case Compression::lz4: return compress_lz4(state, level, input);
    case Compression::zstd: return compress_zstd(state, level, input);
  }
  return fail(Errc::unsupported, fmt::format("compression codec {}", static_cast<int>(codec)));
}

}  // namespace

Result<Slice> Codecs::compress(Compression codec, int level, Bytes input, std::size_t headroom) {
  if (!is_valid_level(codec, level)) {
    return fail(Errc::invalid_argument, fmt::format("{} has no compression level {}", name_of(codec), level));
  }
  if (input.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    return fail(Errc::too_large, fmt::format("{} bytes to compress at once", input.size()));
  }
  Result<Bytes> packed = compress_into_scratch(*state_, codec, level, input);
  KLAMM_TRY(packed);
  Buffer::Ref buffer = Buffer::allocate(headroom + packed->size());
  if (!packed->empty()) std::memcpy(buffer->data() + headroom, packed->data(), packed->size());
  state_->output.trim();
  trim_zstd(*state_);
  return Slice(std::move(buffer), headroom + packed->size());
}

Result<Slice> Codecs::decompress(Compression codec, Bytes input, std::size_t limit, Lz4HeaderCheck lz4_header_check) {
  KLAMM_CHECK(!state_->reading, "a Decompressor of these codecs is alive");
  state_->start(codec, input, limit, lz4_header_check);
  // A first guess from the size of what is there, never from what the input says.
  const std::size_t guess = codec == Compression::none ? input.size() : input.size() * 4;
  Sink sink(std::clamp<std::size_t>(guess, 1, std::max<std::size_t>(limit, 1)));
  Result<Bytes> piece = Bytes();
  do {
    piece = state_->step(sink);
  } while (piece && !piece->empty());
  trim_zstd(*state_);
  KLAMM_TRY(piece);
  return sink.collected();
}

Decompressor::Decompressor(Codecs& codecs, Compression codec, Bytes input, std::uint64_t limit,
                           Lz4HeaderCheck lz4_header_check)
    : state_(*codecs.state_) {
  KLAMM_CHECK(!state_.reading, "a Decompressor of these codecs is alive");
  state_.reading = true;
  state_.start(codec, input, limit, lz4_header_check);
}

Decompressor::~Decompressor() {
  state_.reading = false;
  state_.window.trim();
  trim_zstd(state_);
}

Result<Bytes> Decompressor::next() {
  Sink sink(state_.window);
  Result<Bytes> piece = state_.step(sink);
  total_ = state_.reader.total;
  return piece;
}

}  // namespace klamm::compress
