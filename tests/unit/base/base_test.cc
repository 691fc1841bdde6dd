#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "base/uuid.h"

using namespace klamm;

TEST_CASE("a slice keeps its buffer alive and parts share it") {
  Slice part;
  {
    const Slice whole = Slice::copy("hello world");
    CHECK_FALSE(whole.buffer()->capacity() < 11);
    part = whole.part(6, 5);
    CHECK_FALSE(whole.buffer()->unique());
  }
  CHECK(part.buffer()->unique());
  CHECK(part.text() == "world");
  part.remove_prefix(2);
  CHECK(part.text() == "rld");
}

TEST_CASE("buffers of all sizes, let go and taken again, keep their bytes apart") {
  Random random(3);
  std::vector<std::pair<Slice, std::byte>> held;
  for (int round = 0; round < 2000; ++round) {
    if (held.size() > 6) {
      const std::size_t chosen = random.below(held.size());
      const auto& [slice, mark] = held[chosen];
      const std::byte expected = mark;
      CHECK(std::all_of(slice.begin(), slice.end(), [expected](std::byte each) { return each == expected; }));
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(chosen));
    }
    const std::size_t size = 1 + random.below(round % 50 == 0 ? 6'000'000 : 200'000);
    Buffer::Ref buffer = Buffer::allocate(size);
    REQUIRE(buffer->capacity() >= size);
    const std::byte mark{static_cast<unsigned char>(round)};
    std::fill_n(buffer->data(), size, mark);
    held.emplace_back(Slice(std::move(buffer), size), mark);
  }
  std::thread other([taken = std::move(held)]() mutable { taken.clear(); });  // ends on another thread
  other.join();
}

TEST_CASE("big-endian integers round-trip with their sign") {
  std::byte memory[8];
  store_big_endian<std::int32_t>(memory, -2);
  CHECK(memory[0] == std::byte{0xff});
  CHECK(memory[3] == std::byte{0xfe});
  CHECK(load_big_endian<std::int32_t>(memory) == -2);
  store_big_endian<std::uint16_t>(memory, 0xabcd);
  CHECK(memory[0] == std::byte{0xab});
  store_big_endian<std::int64_t>(memory, 1);
  CHECK(memory[7] == std::byte{1});
}

TEST_CASE("uuids have Kafka's text form") {
  CHECK(Uuid{0, 1}.text() == "AAAAAAAAAAAAAAAAAAAAAQ");  // the metadata topic's id
  CHECK(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAQ") == Uuid{0, 1});
  CHECK_FALSE(Uuid::parse("AAAA").has_value());
  CHECK_FALSE(Uuid::parse("AAAAAAAAAAAAAAAAAAAA!Q").has_value());
  Random random(7);
  for (int round = 0; round < 1000; ++round) {
    const Uuid uuid = Uuid::random(random);
    CHECK(uuid.text().front() != '-');
    CHECK(Uuid::parse(uuid.text()) == uuid);
  }
}

TEST_CASE("a seed repeats its numbers and below() stays below") {
  Random left(42), right(42), other(43);
  bool differs = false;
  for (int round = 0; round < 1000; ++round) {
    const std::uint64_t draw = left.below(7);
    CHECK(draw == right.below(7));
    CHECK(draw < 7);
    differs |= draw != other.below(7);
  }
  CHECK(differs);
}

TEST_CASE("errors carry context outward") {
  const Result<int> inner = fail(Errc::malformed, "length 9");
  const Error outer = Error(inner.error()).in("batch 3");
  CHECK(outer.message() == "batch 3: length 9: malformed data");
  CHECK(Error(Errc::malformed, "length 9: malformed data").message() == "length 9: malformed data");
  CHECK(outer == Errc::malformed);
}

TEST_CASE("time saturates instead of overflowing") {
  CHECK(milliseconds(INT64_MAX) == Duration::max());
  CHECK(Instant{1s} + Duration::max() == Instant::never());
}
