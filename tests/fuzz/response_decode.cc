// Bodies of responses, every API in every version.
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto types = klamm::fuzz::types_of_kind("response");
  klamm::fuzz::choose_and_round_trip(types, std::as_bytes(std::span(data, size)));
  return 0;
}
