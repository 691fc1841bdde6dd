// Values of Java's own String.hashCode(), and of Kafka 4.3.1's placement on 50 partitions.
#include "base/java_hash.h"

#include <doctest/doctest.h>

#include <limits>

using namespace klamm;

TEST_CASE("the hash is Java's, of UTF-16 units") {
  CHECK(java_hash("") == 0);
  CHECK(java_hash("g-classic") == 486458668);
  CHECK(java_hash("g-consumer") == 935103132);
  CHECK(java_hash("tx1") == 115245);
  CHECK(java_hash("polygenelubricants") == std::numeric_limits<std::int32_t>::min());
  CHECK(java_hash("\u00e4") == 0xE4);
  CHECK(java_hash("\u20ac") == 0x20AC);
  CHECK(java_hash("\U0001F600") == 31 * 0xD83D + 0xDE00);
  CHECK(java_hash("\xff") == 0xFFFD);
}

TEST_CASE("the place is the hash without its sign, and 0 where it has no positive") {
  CHECK(place_by_java_hash("g-classic", 50) == 18);
  CHECK(place_by_java_hash("g-consumer", 50) == 32);
  CHECK(place_by_java_hash("gtx", 50) == 49);
  CHECK(place_by_java_hash("tx1", 50) == 45);
  CHECK(place_by_java_hash("polygenelubricants", 50) == 0);
}
