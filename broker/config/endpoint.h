// The addresses in a broker's configuration: listeners, voters, bootstrap servers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace klamm::config {

// The numbers are those in registration records and requests.
enum class SecurityProtocol : std::int16_t { plaintext = 0, ssl = 1, sasl_plaintext = 2, sasl_ssl = 3 };
std::string_view name_of(SecurityProtocol protocol);                             // "PLAINTEXT" …
std::optional<SecurityProtocol> parse_security_protocol(std::string_view name);  // any case

// Listener names are compared without case; inside, they are upper case.
std::string normalized_listener_name(std::string_view name);

struct HostPort {
  std::string host;  // without brackets; may be empty (all interfaces) in `listeners`
  std::uint16_t port = 0;
  std::string text() const;  // "host:port", an IPv6 host in brackets
  friend bool operator==(const HostPort&, const HostPort&) = default;
};
// "host:port" or "[v6]:port"; the host must not be empty.
Result<HostPort> parse_host_port(std::string_view text);

struct Endpoint {
  std::string listener;
  SecurityProtocol protocol = SecurityProtocol::plaintext;
  std::string host;
  std::uint16_t port = 0;
  std::string text() const;  // "PLAINTEXT://host:9092"
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};
using ProtocolMap = std::map<std::string, SecurityProtocol, std::less<>>;  // by normalized listener name

// "NAME://host:port" elements. Names must differ; ports too (0 aside) if `distinct_ports`, except an IPv4 and an IPv6
// address on one port. `key` names the configuration in errors.
Result<std::vector<Endpoint>> parse_endpoints(std::string_view key, const std::vector<std::string>& list,
                                              const ProtocolMap& protocols, bool distinct_ports);
// "NAME:PROTOCOL" elements of listener.security.protocol.map.
Result<ProtocolMap> parse_protocol_map(std::string_view key, std::string_view text);

struct Voter {
  std::int32_t id = 0;
  HostPort address;
  friend bool operator==(const Voter&, const Voter&) = default;
};
// "id@host:port". The address 0.0.0.0:0 (Kafka's "not known") is refused.
Result<Voter> parse_voter(std::string_view text);

}  // namespace klamm::config
