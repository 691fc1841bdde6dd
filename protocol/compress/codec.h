// Compression and decompression of record batches, with the framing that Kafka's clients and brokers write:
//   gzip    one RFC 1952 member, no time, OS 255
//   snappy  xerial stream: 16-byte header, then blocks of 32 KiB of input, each with its length
//   lz4     LZ4 frame: independent blocks of 64 KiB, no checksums, no content size
//   zstd    one frame without content size and checksum
// Nothing here throws, and no length in the input is believed: memory grows with what was really decompressed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/compress/compression.h"

namespace klamm::compress {

// Old clients' lz4 messages of magic 0 carry a wrong header checksum, which readers then pass over.
enum class Lz4HeaderCheck { strict, skipped };

struct CodecState;

// The codecs' contexts and scratch memory, made when first needed and then kept (a zstd context costs far more to make
// than a small batch to compress). One owner, one thread: a shard has one, so has a test or a tool. The calls are
// synchronous, so that coroutines of one shard share it freely. Idle it holds at most a few MiB.
class Codecs {
 public:
  Codecs();
  ~Codecs();
  Codecs(Codecs&&) noexcept;
  Codecs& operator=(Codecs&&) noexcept;

  // `input` compressed, in a buffer of its own of exactly the size needed. The slice begins with `headroom` bytes that
  // the caller fills (a batch header). With Compression::none it is a copy. Fails with invalid_argument for a level
  // that is not valid (is_valid_level) and too_large for more input than a batch can hold (2^31 - 1 bytes).
  Result<Slice> compress(Compression codec, int level, Bytes input, std::size_t headroom = 0);

  // All that `input` decompresses to, in one buffer. Fails with too_large as soon as the output passes `limit` bytes,
  // and with malformed for input that is not a whole stream of the codec.
  Result<Slice> decompress(Compression codec, Bytes input, std::size_t limit,
                           Lz4HeaderCheck lz4_header_check = Lz4HeaderCheck::strict);

 private:
  friend class Decompressor;
  std::unique_ptr<CodecState> state_;
};

// Decompression a piece at a time, through fixed small buffers of the Codecs: what validates a client's batch on the
// broker, however large it unpacks. Only one may be alive per Codecs. `input` must outlive it.
class Decompressor {
 public:
  Decompressor(Codecs& codecs, Compression codec, Bytes input, std::uint64_t limit,
               Lz4HeaderCheck lz4_header_check = Lz4HeaderCheck::strict);
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // The next piece, never empty except at the end of the stream (and from then on). It is valid until the next call.
  // Fails as Codecs::decompress does; after a failure every call fails the same way.
  Result<Bytes> next();
  // Bytes handed out so far.
  std::uint64_t total_bytes() const noexcept { return total_; }

 private:
  CodecState& state_;
  std::uint64_t total_ = 0;
};

}  // namespace klamm::compress
