// Settings of this broker's TLS listeners that a client wants to change: stores are tried before they are taken.
#pragma once

#include "base/config.h"
#include "base/result.h"
#include "broker/handler/services.h"

namespace klamm::handler {

// Whether the TLS listeners could go on with `proposed`, all the run-time settings that this broker will have. Fails
// with INVALID_REQUEST if a store cannot be read, or its certificate is another one than before, in words like Kafka's.
// Any shard of the broker may call it.
io::Task<Result<void>> check_tls_settings(Services& services, ConfigMap proposed);

}  // namespace klamm::handler
