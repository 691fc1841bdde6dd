// Any bytes as a compressed stream. The first byte chooses the codec, and whether a right stream header is put in
// front, so that mutations reach what lies behind it. The output is bounded, and the whole and the piecewise way must
// agree. What was unpacked must survive being packed again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "protocol/compress/codec.h"

namespace {

using namespace klamm;
using namespace klamm::compress;

constexpr std::size_t kLimit = 1 << 20;
constexpr std::size_t kLargestPiece = 4 << 20;  // an lz4 block

void demand(bool condition) {
  if (!condition) std::abort();
}

std::string stream_header(Compression codec) {
  switch (codec) {
    case Compression::gzip: return {"\x1f\x8b\x08\0\0\0\0\0\0\xff", 10};
    case Compression::snappy: return {"\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16};
    case Compression::lz4: return {"\x04\x22\x4d\x18\x60\x40\x82", 7};
    case Compression::zstd: return {"\x28\xb5\x2f\xfd\0\x58", 6};
    case Compression::none: break;
  }
  return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static Codecs codecs;
  const auto codec = static_cast<Compression>(1 + data[0] % 4);
  const auto header_check = (data[0] & 0x80) ? Lz4HeaderCheck::skipped : Lz4HeaderCheck::strict;
  std::string stream_bytes = (data[0] & 0x40) ? stream_header(codec) : std::string();
  stream_bytes.append(reinterpret_cast<const char*>(data + 1), size - 1);
  // A buffer of exactly the size, so that the sanitizer sees any read beyond.
  const Slice input = Slice::copy(stream_bytes);
  const Result<Slice> whole = codecs.decompress(codec, input.bytes(), kLimit, header_check);
  demand(!whole || whole->size() <= kLimit);

  std::size_t position = 0;
  {
    Decompressor stream(codecs, codec, input.bytes(), kLimit, header_check);
    for (;;) {
      const Result<Bytes> piece = stream.next();
      demand(piece.has_value() || !whole.has_value());
      if (!piece || piece->empty()) {
        demand(piece.has_value() == whole.has_value());
        break;
      }
      demand(piece->size() <= kLargestPiece);
      if (whole) {
        demand(position + piece->size() <= whole->size());
        demand(std::memcmp(whole->data() + position, piece->data(), piece->size()) == 0);
      }
      position += piece->size();
      demand(position <= kLimit && stream.total_bytes() == position);
    }
  }
  if (!whole) return 0;
  demand(position == whole->size());
  const Result<Slice> packed = codecs.compress(codec, standard_level(codec), whole->bytes());
  demand(packed.has_value());
  const Result<Slice> again = codecs.decompress(codec, packed->bytes(), kLimit);
  demand(again.has_value() && *again == *whole);
  return 0;
}
