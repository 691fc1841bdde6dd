// Whole requests, header and body, every API in every version.
#include "protocol/message/header.h"
#include "tests/fuzz/round_trip.h"

namespace {

// Input: a request frame without its size.
void take_frame(klamm::Bytes input) {
  klamm::wire::Reader reader(klamm::Slice::copy(input));
  const auto header = klamm::protocol::read_request_header(reader);
  if (!header) return;
  const auto* type = klamm::protocol::find_message("clients", "request", header->request_api_key);
  KLAMM_CHECK(type != nullptr);
  if (!type->has_version(header->request_api_version)) return;
  klamm::fuzz::round_trip(*type, header->request_api_version, klamm::Slice::copy(reader.read_rest().bytes()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto types = klamm::fuzz::types_of_kind("request");
  const klamm::Bytes input = std::as_bytes(std::span(data, size));
  take_frame(input);
  klamm::fuzz::choose_and_round_trip(types, input);
  return 0;
}
