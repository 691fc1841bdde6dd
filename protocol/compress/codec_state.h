// Inside of protocol/compress: the contexts behind Codecs, and the four codecs' entry points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/compress/codec.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;
struct inflate_state;
struct z_stream_s;

namespace klamm::compress {

// Memory that is kept from call to call, unless it became large.
class Scratch {
 public:
  // At least `bytes` bytes; what was there before is lost if it has to grow.
  std::byte* need(std::size_t bytes) {
    if (bytes > capacity_) {
      memory_.reset();
      memory_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
      capacity_ = bytes;
    }
    return memory_.get();
  }
  // Gives a large block back: one batch of many MiB must not hold its memory for good.
  void trim() {
    if (capacity_ <= kKeptBytes) return;
    memory_.reset();
    capacity_ = 0;
  }

 private:
  static constexpr std::size_t kKeptBytes = 1 << 20;
  std::unique_ptr<std::byte[]> memory_;
  std::size_t capacity_ = 0;
};

// Where decompressed bytes go: a window that is used again for each piece, or one buffer that grows.
class Sink {
 public:
  explicit Sink(Scratch& window) : window_(&window) {}
  explicit Sink(std::size_t expected_bytes) : buffer_(Buffer::allocate(expected_bytes)) {}

  // Room for the next piece of `least` bytes or more; the old window's content is lost, the growing buffer's kept.
  MutableBytes room(std::size_t least);
  void wrote(std::size_t bytes) { used_ += bytes; }
  // What was collected, in a buffer that is not much larger. Growing sinks only.
  Slice collected();

 private:
  Scratch* window_ = nullptr;
  Buffer::Ref buffer_;
  std::size_t used_ = 0;
};

struct FreeZstdCompressor {
  void operator()(ZSTD_CCtx_s* context) const;
};
struct FreeZstdDecompressor {
  void operator()(ZSTD_DCtx_s* context) const;
};
struct FreeDeflate {
  void operator()(z_stream_s* stream) const;
};
struct FreeInflate {
  void operator()(inflate_state* state) const;
};

// One stream being decompressed.
struct Reader {
  Compression codec = Compression::none;
  Lz4HeaderCheck lz4_header_check = Lz4HeaderCheck::strict;
  Bytes rest;         // of the input: not yet read
  bool open = false;  // the header of the stream (gzip member, zstd frame) was read
  bool done = false;
  std::size_t lz4_block_bytes = 0;  // most bytes that a block unpacks to
  bool lz4_block_checksums = false;
  bool lz4_content_checksum = false;
  std::uint64_t limit = 0;
  std::uint64_t total = 0;  // bytes written to the sink
  std::optional<Error> failure;
};

struct CodecState {
  std::unique_ptr<ZSTD_CCtx_s, FreeZstdCompressor> zstd_compressor;
  std::unique_ptr<ZSTD_DCtx_s, FreeZstdDecompressor> zstd_decompressor;
  std::unique_ptr<z_stream_s, FreeDeflate> deflate;
  int deflate_level = 0;
  std::unique_ptr<inflate_state, FreeInflate> inflate;
  Scratch igzip_level_memory;
  Scratch lz4_memory;  // LZ4's hash table, fast or HC
  Scratch output;      // of compress, before its size is known
  Scratch window;      // of a Decompressor
  Reader reader;
  bool reading = false;  // a Decompressor is alive

  Reader& start(Compression codec, Bytes input, std::uint64_t limit, Lz4HeaderCheck lz4_header_check);
  // Writes the next piece to the sink and returns it; empty at the end.
  Result<Bytes> step(Sink& sink);
};

// The stream's bytes for the input, in state.output: valid until the next call. Levels were checked.
Result<Bytes> compress_gzip(CodecState& state, int level, Bytes input);
Result<Bytes> compress_snappy(CodecState& state, Bytes input);
Result<Bytes> compress_lz4(CodecState& state, int level, Bytes input);
Result<Bytes> compress_zstd(CodecState& state, int level, Bytes input);

// Frees zstd contexts that grew large. Called after each use, but for a Decompressor's not before its end.
void trim_zstd(CodecState& state);

// The next piece of state.reader's stream, possibly empty; sets reader.done at the end. They need not look at
// reader.limit, except where a length in the input asks for memory.
Result<Bytes> step_gzip(CodecState& state, Sink& sink);
Result<Bytes> step_snappy(CodecState& state, Sink& sink);
Result<Bytes> step_lz4(CodecState& state, Sink& sink);
Result<Bytes> step_zstd(CodecState& state, Sink& sink);

// The pieces in which codecs without blocks of their own (gzip, zstd) unpack.
constexpr std::size_t kPieceBytes = 64 * 1024;

}  // namespace klamm::compress
