// What TLS on a listener needs, by its own keys (listener.name.<name>.ssl.*) or the general ones, on either end of it.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "broker/config/broker_config.h"
#include "io/shard.h"
#include "io/tls/context.h"

namespace klamm::server {

// Null for a plain listener; Errc::unsupported for SASL. The error names `shown`.
io::Task<Result<std::shared_ptr<const io::tls::Context>>> load_listener_tls(io::Shard& shard,
                                                                            const config::BrokerConfig& config,
                                                                            std::string listener,
                                                                            config::SecurityProtocol protocol,
                                                                            io::tls::Role role, std::string shown);

}  // namespace klamm::server
