// Messages that are stored: metadata records, coordinator keys and values, data; and headers.
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto types = [] {
    std::vector<const klamm::protocol::MessageType*> all;
    for (const char* kind : {"metadata", "coordinator-key", "coordinator-value", "data", "header"}) {
      for (const auto* type : klamm::fuzz::types_of_kind(kind)) all.push_back(type);
    }
    return all;
  }();
  klamm::fuzz::choose_and_round_trip(types, std::as_bytes(std::span(data, size)));
  return 0;
}
