#include "protocol/compress/codec.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "protocol/compress/xxhash32.h"
#include "tests/unit/protocol/compress/samples.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::compress;

namespace {

constexpr Compression kCodecs[] = {Compression::none, Compression::gzip, Compression::snappy, Compression::lz4,
                                   Compression::zstd};
constexpr std::size_t kEnough = 64 << 20;

std::vector<int> levels_to_try(Compression codec) {
  switch (codec) {
    case Compression::gzip: return {-1, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    case Compression::lz4: return {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
    case Compression::zstd: return {-131072, -100, -5, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 18};
    default: return {0};
  }
}

void check_round_trip(Codecs& codecs, Compression codec, int level, const std::string& plain) {
  Result<Slice> packed = codecs.compress(codec, level, as_bytes(plain));
  REQUIRE_MESSAGE(packed.has_value(), why_of(packed));
  Result<Slice> whole = codecs.decompress(codec, packed->bytes(), kEnough);
  REQUIRE_MESSAGE(whole.has_value(), why_of(whole));
  CHECK(whole->text() == plain);
  Result<std::string> streamed = stream_all(codecs, codec, packed->bytes(), kEnough);
  REQUIRE(streamed.has_value());
  CHECK(*streamed == plain);
}

}  // namespace

TEST_CASE("every codec gives back what it was given, at every level and around block borders") {
  Codecs codecs;
  for (Compression codec : kCodecs) {
    for (int level : levels_to_try(codec)) {
      CAPTURE(name_of(codec));
      CAPTURE(level);
      for (std::size_t size : {0u, 1u, 5u, 32767u, 32768u, 32769u, 65535u, 65536u, 65537u, 150000u}) {
        CAPTURE(size);
        check_round_trip(codecs, codec, level, log_lines(size));
      }
      check_round_trip(codecs, codec, level, noise(70000));
      check_round_trip(codecs, codec, level, std::string(300000, 'z'));
    }
  }
}

TEST_CASE("several megabytes go through at the standard level") {
  Codecs codecs;
  for (Compression codec : kCodecs) {
    CAPTURE(name_of(codec));
    check_round_trip(codecs, codec, standard_level(codec), log_lines(5'000'001));
    check_round_trip(codecs, codec, standard_level(codec), noise(3'000'000));
  }
}

TEST_CASE("text becomes smaller, and noise hardly larger") {
  Codecs codecs;
  const std::string text = log_lines(100000);
  const std::string random = noise(100000);
  for (Compression codec : kCodecs) {
    if (codec == Compression::none) continue;
    CAPTURE(name_of(codec));
    for (int level : levels_to_try(codec)) {
      CAPTURE(level);
      if (level > -100) CHECK(codecs.compress(codec, level, as_bytes(text))->size() < text.size() * 6 / 10);
      CHECK(codecs.compress(codec, level, as_bytes(random))->size() < random.size() + 200);
    }
  }
}

TEST_CASE("headroom is left in front of the compressed bytes") {
  Codecs codecs;
  const std::string text = log_lines(1000);
  for (Compression codec : kCodecs) {
    const Slice plain = *codecs.compress(codec, standard_level(codec), as_bytes(text));
    const Slice with_room = *codecs.compress(codec, standard_level(codec), as_bytes(text), 61);
    CHECK(with_room.from(61) == plain);
  }
}

TEST_CASE("stream headers are Kafka's, byte for byte") {
  Codecs codecs;
  for (std::size_t size : {1u, 100u, 100000u}) {
    CAPTURE(size);
    const std::string text = log_lines(size);
    const auto head = [&](Compression codec, int level, std::size_t bytes) {
      return to_hex(codecs.compress(codec, level, as_bytes(text))->bytes().first(bytes));
    };
    for (int level : {-1, 1, 2, 3, 6, 9}) CHECK(head(Compression::gzip, level, 10) == "1f8b08000000000000ff");
    CHECK(head(Compression::snappy, 0, 16) == "82534e41505059000000000100000001");
    for (int level : {9, 1, 12}) CHECK(head(Compression::lz4, level, 7) == "04224d18604082");
    CHECK(head(Compression::zstd, 3, 6) == "28b52ffd0058");
  }
}

TEST_CASE("snappy blocks hold 32 KiB of input and lz4 blocks 64 KiB") {
  Codecs codecs;
  const std::string text = log_lines(100000);
  std::size_t largest = 0;
  const Slice snappy = *codecs.compress(Compression::snappy, 0, as_bytes(text));
  REQUIRE(stream_all(codecs, Compression::snappy, snappy.bytes(), kEnough, &largest).has_value());
  CHECK(largest == 32768);
  largest = 0;
  const Slice lz4 = *codecs.compress(Compression::lz4, 9, as_bytes(text));
  REQUIRE(stream_all(codecs, Compression::lz4, lz4.bytes(), kEnough, &largest).has_value());
  CHECK(largest == 65536);
  CHECK(to_hex(lz4.bytes().last(4)) == "00000000");
}

TEST_CASE("lz4 stores what does not become smaller") {
  Codecs codecs;
  const Slice packed = *codecs.compress(Compression::lz4, 9, as_bytes("abc"));
  CHECK(to_hex(packed.bytes()) ==
        "04224d18604082"
        "03000080"
        "616263"
        "00000000");
}

TEST_CASE("levels outside of a codec's range are refused") {
  Codecs codecs;
  const auto refused = [&](Compression codec, int level) {
    Result<Slice> packed = codecs.compress(codec, level, as_bytes("x"));
    return !packed && packed.error() == Errc::invalid_argument && !is_valid_level(codec, level);
  };
  CHECK(refused(Compression::gzip, 0));
  CHECK(refused(Compression::gzip, 10));
  CHECK(refused(Compression::gzip, -2));
  CHECK(refused(Compression::lz4, 0));
  CHECK(refused(Compression::lz4, 18));
  CHECK(refused(Compression::zstd, 23));
  CHECK(refused(Compression::zstd, -131073));
  CHECK(is_valid_level(Compression::gzip, -1));
  CHECK(is_valid_level(Compression::snappy, 77));
}

TEST_CASE("codecs have Kafka's names and numbers") {
  for (Compression codec : kCodecs) {
    CHECK(parse_compression(name_of(codec)) == codec);
    CHECK(compression_of(static_cast<int>(codec)) == codec);
  }
  CHECK(parse_compression("zstd") == Compression::zstd);
  CHECK_FALSE(parse_compression("ZSTD").has_value());
  CHECK_FALSE(parse_compression("producer").has_value());
  CHECK_FALSE(compression_of(5).has_value());
}

TEST_CASE("a stream cut short at any byte is malformed") {
  Codecs codecs;
  for (Compression codec : kCodecs) {
    if (codec == Compression::none) continue;
    CAPTURE(name_of(codec));
    for (const std::string& plain : {log_lines(300), log_lines(70000), noise(40000)}) {
      const Slice packed = *codecs.compress(codec, standard_level(codec), as_bytes(plain));
      const std::size_t step = packed.size() < 1000 ? 1 : packed.size() / 200;
      for (std::size_t cut = 0; cut < packed.size(); cut += step) {
        CAPTURE(cut);
        Result<Slice> result = codecs.decompress(codec, packed.bytes().first(cut), kEnough);
        // A xerial stream has no end mark: between two blocks it is whole. All else must be seen.
        if (codec == Compression::snappy && result) {
          CHECK(plain.starts_with(result->text()));
          continue;
        }
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error() == Errc::malformed);
      }
    }
  }
}

TEST_CASE("flipped bits give an error or bounded bytes, never more") {
  Codecs codecs;
  for (Compression codec : kCodecs) {
    if (codec == Compression::none) continue;
    const std::string plain = log_lines(2000);
    const Slice packed = *codecs.compress(codec, standard_level(codec), as_bytes(plain));
    std::size_t errors = 0;
    for (std::size_t position = 0; position < packed.size(); ++position) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string broken(packed.text());
        broken[position] = static_cast<char>(broken[position] ^ (1 << bit));
        Result<Slice> result = codecs.decompress(codec, as_bytes(broken), 10000);
        if (!result) ++errors;
        if (result) CHECK(result->size() <= 10000);
      }
    }
    CHECK(errors > packed.size());
    check_round_trip(codecs, codec, standard_level(codec), plain);  // contexts survive all that
  }
}

TEST_CASE("random bytes after a right beginning never do harm") {
  Codecs codecs;
  Random random(7);
  for (Compression codec : kCodecs) {
    if (codec == Compression::none) continue;
    const Slice packed = *codecs.compress(codec, standard_level(codec), as_bytes(log_lines(500)));
    for (int round = 0; round < 2000; ++round) {
      const std::size_t kept = random.below(std::min<std::size_t>(packed.size(), 40));
      std::string bytes(packed.text().substr(0, kept));
      bytes += noise(random.below(200)).substr(0, random.below(200));
      Result<std::string> result = stream_all(codecs, codec, as_bytes(bytes), 100000);
      if (result) CHECK(result->size() <= 100000);
    }
  }
}

TEST_CASE("a bomb is stopped at the limit") {
  Codecs codecs;
  const std::string zeros(32 << 20, '\0');
  for (Compression codec : kCodecs) {
    CAPTURE(name_of(codec));
    const Slice packed = *codecs.compress(codec, standard_level(codec), as_bytes(zeros));
    if (codec != Compression::none) CHECK(packed.size() < zeros.size() / 15);
    Result<Slice> whole = codecs.decompress(codec, packed.bytes(), 1 << 20);
    REQUIRE_FALSE(whole.has_value());
    CHECK(whole.error() == Errc::too_large);
    std::size_t largest = 0;
    Result<std::string> streamed = stream_all(codecs, codec, packed.bytes(), 1 << 20, &largest);
    REQUIRE_FALSE(streamed.has_value());
    CHECK(streamed.error() == Errc::too_large);
    CHECK(largest <= (64 << 10));
    // Exactly the limit passes.
    CHECK(codecs.decompress(codec, packed.bytes(), zeros.size())->size() == zeros.size());
    CHECK_FALSE(codecs.decompress(codec, packed.bytes(), zeros.size() - 1).has_value());
  }
}

TEST_CASE("a failed stream keeps failing the same way") {
  Codecs codecs;
  const std::string broken = from_hex("04224d18604082 ffff0000");
  Decompressor stream(codecs, Compression::lz4, as_bytes(broken), 1000);
  CHECK(stream.next().error() == Errc::malformed);
  CHECK(stream.next().error() == Errc::malformed);
}

TEST_CASE("a stream that ended stays at its end") {
  Codecs codecs;
  for (Compression codec : kCodecs) {
    const Slice packed = *codecs.compress(codec, standard_level(codec), as_bytes("some text"));
    Decompressor stream(codecs, codec, packed.bytes(), 1000);
    CHECK(as_text(stream.next().value()) == "some text");
    CHECK(stream.next().value().empty());
    CHECK(stream.next().value().empty());
    CHECK(stream.total_bytes() == 9);
  }
}

TEST_CASE("concatenated streams of one codec are read as one") {
  Codecs codecs;
  const std::string first = log_lines(40000);
  const std::string second = log_lines(500);
  for (Compression codec : {Compression::gzip, Compression::snappy, Compression::zstd}) {
    CAPTURE(name_of(codec));
    std::string both(codecs.compress(codec, standard_level(codec), as_bytes(first))->text());
    both += codecs.compress(codec, standard_level(codec), as_bytes(second))->text();
    CHECK(codecs.decompress(codec, as_bytes(both), kEnough)->text() == first + second);
    CHECK(stream_all(codecs, codec, as_bytes(both), kEnough).value() == first + second);
  }
}

TEST_CASE("bytes behind a stream are malformed") {
  Codecs codecs;
  for (Compression codec : {Compression::gzip, Compression::snappy, Compression::lz4, Compression::zstd}) {
    CAPTURE(name_of(codec));
    std::string packed(codecs.compress(codec, standard_level(codec), as_bytes(log_lines(300)))->text());
    packed += "\x7fgarbage that is no stream at all";
    CHECK(codecs.decompress(codec, as_bytes(packed), kEnough).error() == Errc::malformed);
  }
}

TEST_CASE("snappy without the xerial header is one raw block") {
  Codecs codecs;
  // Length 5, literal of 5 bytes.
  CHECK(codecs.decompress(Compression::snappy, as_bytes(from_hex("05 10 68656c6c6f")), 100)->text() == "hello");
  // Length 10, literal "ab", copy of 8 bytes from 2 back.
  CHECK(codecs.decompress(Compression::snappy, as_bytes(from_hex("0a 04 6162 11 02")), 100)->text() == "ababababab");
}

TEST_CASE("snappy blocks of any size are read, impossible lengths are not believed") {
  Codecs codecs;
  const std::string header = from_hex("82534e41505059000000000100000001");
  CHECK(codecs.decompress(Compression::snappy, as_bytes(header), 100)->empty());
  CHECK(codecs.decompress(Compression::snappy, as_bytes(header + from_hex("00000003 010061 00000003 010062")), 100)
            ->text() == "ab");
  // A block that says that it unpacks to 4 GiB - 1.
  CHECK(
      codecs.decompress(Compression::snappy, as_bytes(header + from_hex("00000006 ffffffff0f 00")), kEnough).error() ==
      Errc::malformed);
  CHECK(codecs.decompress(Compression::snappy, as_bytes(header + from_hex("7fffffff 00")), kEnough).error() ==
        Errc::malformed);
  CHECK(codecs.decompress(Compression::snappy, as_bytes(header + from_hex("ffffffff 00")), kEnough).error() ==
        Errc::malformed);
  CHECK(
      codecs.decompress(Compression::snappy, as_bytes(from_hex("82534e41505059000000000000000000")), kEnough).error() ==
      Errc::malformed);
}

TEST_CASE("lz4 frames of other writers: checksums, sizes and other block sizes") {
  Codecs codecs;
  // Checked with the reference implementation: content size, block checksums, content checksum, 4 MiB blocks.
  const auto frame = [](unsigned flags, unsigned block, std::string_view more, std::string_view blocks) {
    std::string described{static_cast<char>(flags), static_cast<char>(block)};
    described += more;
    std::string bytes = from_hex("04224d18") + described;
    bytes += static_cast<char>(xxhash32(as_bytes(described)) >> 8);
    return bytes + std::string(blocks);
  };
  const auto checksum = [](std::string_view bytes) {
    const std::uint32_t hash = xxhash32(as_bytes(bytes));
    return std::string(reinterpret_cast<const char*>(&hash), 4);
  };
  const std::string block = from_hex("05000080") + "hello";
  const std::string end(4, '\0');
  const auto unpack = [&](const std::string& bytes) {
    return codecs.decompress(Compression::lz4, as_bytes(bytes), 1000);
  };
  CHECK(unpack(frame(0x60, 0x70, "", block + end))->text() == "hello");
  CHECK(unpack(frame(0x68, 0x40, std::string("\5\0\0\0\0\0\0\0", 8), block + end))->text() == "hello");
  CHECK(unpack(frame(0x70, 0x40, "", block + checksum("hello") + end))->text() == "hello");
  CHECK(unpack(frame(0x70, 0x40, "", block + checksum("hullo") + end)).error() == Errc::malformed);
  CHECK(unpack(frame(0x64, 0x40, "", block + end + "any4"))->text() == "hello");
  CHECK(unpack(frame(0x64, 0x40, "", block + end)).error() == Errc::malformed);
  CHECK(unpack(frame(0x40, 0x40, "", block + end)).error() == Errc::malformed);  // linked blocks
  CHECK(unpack(frame(0xa0, 0x40, "", block + end)).error() == Errc::malformed);  // version 2
  CHECK(unpack(frame(0x61, 0x40, "", block + end)).error() == Errc::malformed);  // dictionary
  CHECK(unpack(frame(0x60, 0x30, "", block + end)).error() == Errc::malformed);  // no such block size
  CHECK(unpack(frame(0x60, 0xc0, "", block + end)).error() == Errc::malformed);
  CHECK(unpack(frame(0x60, 0x40, "", from_hex("01000100") + std::string(65537, 'x') + end)).error() == Errc::malformed);
  std::string wrong_header = frame(0x60, 0x40, "", block + end);
  wrong_header[6] = '\x01';
  CHECK(unpack(wrong_header).error() == Errc::malformed);
  CHECK(codecs.decompress(Compression::lz4, as_bytes(wrong_header), 1000, Lz4HeaderCheck::skipped)->text() == "hello");
}

TEST_CASE("gzip members with names and extra fields are read; wrong checksums are not") {
  Codecs codecs;
  Slice packed = *codecs.compress(Compression::gzip, -1, as_bytes("hello, hello, hello"));
  std::string member(packed.text());
  std::string named = member;
  named[3] = 0x08 | 0x04;
  named.insert(10, std::string("\x03\x00xyz", 5) + std::string("name\0", 5));
  CHECK(codecs.decompress(Compression::gzip, as_bytes(named), 1000)->text() == "hello, hello, hello");
  for (std::size_t from_end = 1; from_end <= 8; ++from_end) {
    std::string broken = member;
    broken[broken.size() - from_end] = static_cast<char>(broken[broken.size() - from_end] ^ 1);
    CHECK(codecs.decompress(Compression::gzip, as_bytes(broken), 1000).error() == Errc::malformed);
  }
}

TEST_CASE("xxhash32 gives the published values") {
  CHECK(xxhash32({}) == 0x02cc5d05u);
  CHECK(xxhash32(as_bytes("a")) == 0x550d7456u);
  CHECK(xxhash32(as_bytes("abc")) == 0x32d153ffu);
  CHECK(xxhash32(as_bytes("Nobody inspects the spammish repetition")) == 0xe2293b2fu);
}
