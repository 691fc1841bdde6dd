// The settings of `klamm server`: those of a development broker, which has no file, and what its ready line says.
#pragma once

#include <string>
#include <vector>

#include "base/properties.h"
#include "broker/config/endpoint.h"

namespace klamm::tools {

// What a development broker runs with: a broker and controller on localhost that keeps its data in ./klamm-data, with
// `overrides` on top. With listeners of the user's own the controller gets one too, on the next port, and is looked for
// where it listens.
ConfigMap development_settings(const ConfigMap& overrides);

// "PLAINTEXT://localhost:9092", elements parted by commas; " (advertised as …)" where clients are told other addresses.
// `bound` are the addresses that are listened on, with their real ports; a host that is empty is `host_name`.
std::string listeners_text(std::vector<config::Endpoint> bound, const std::vector<config::Endpoint>& advertised,
                           const std::string& host_name);

}  // namespace klamm::tools
