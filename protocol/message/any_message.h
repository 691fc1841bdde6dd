// Bodies of requests and responses whose API is known at run time only: for tests, fuzzers and tools. See
// schema/catalog.h for what can be done with them.
#pragma once

#include <memory>

#include "protocol/message/api.h"
#include "protocol/schema/catalog.h"

namespace klamm::protocol {

// UNSUPPORTED_VERSION if the API has no such version, Errc::malformed if the bytes do not fit it.
Result<std::unique_ptr<AnyMessage>> decode_any_request(ApiKey key, std::int16_t version, Slice body);
Result<std::unique_ptr<AnyMessage>> decode_any_response(ApiKey key, std::int16_t version, Slice body);

}  // namespace klamm::protocol
