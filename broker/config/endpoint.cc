#include "broker/config/endpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "base/config.h"
#include "base/text.h"

namespace klamm::config {
namespace {

constexpr std::array<std::string_view, 4> kProtocolNames{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

template <typename Int>
std::optional<Int> parse_number(std::string_view text) {
  Int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_host_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("-%._:").find(c) != std::string_view::npos;
}

// "host:port" with an empty host allowed. Nothing if it is not one.
std::optional<HostPort> split_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::optional<std::uint16_t> port = parse_number<std::uint16_t>(text.substr(colon + 1));
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!port || !std::all_of(host.begin(), host.end(), is_host_char)) return std::nullopt;
  return HostPort{std::string(host), *port};
}

bool is_ipv6(std::string_view host) { return host.find(':') != std::string_view::npos; }
bool is_ipv4(std::string_view host) {
  int parts = 0;
  for (;;) {
    const std::size_t dot = host.find('.');
    const std::string_view part = host.substr(0, dot);
    if (part.size() > 3 || !parse_number<std::uint8_t>(part)) return false;
    ++parts;
    if (dot == std::string_view::npos) return parts == 4;
    host.remove_prefix(dot + 1);
  }
}

std::string join(const std::vector<std::string>& list) {
  std::string joined;
  for (const std::string& element : list) joined += (joined.empty() ? "" : ",") + element;
  return joined;
}

std::string with_brackets(const std::string& host) { return is_ipv6(host) ? "[" + host + "]" : host; }

}  // namespace

std::string_view name_of(SecurityProtocol protocol) { return kProtocolNames[static_cast<std::size_t>(protocol)]; }

std::optional<SecurityProtocol> parse_security_protocol(std::string_view name) {
  const std::string upper = normalized_listener_name(name);
  for (std::size_t i = 0; i < kProtocolNames.size(); ++i) {
    if (kProtocolNames[i] == upper) return static_cast<SecurityProtocol>(i);
  }
  return std::nullopt;
}

std::string normalized_listener_name(std::string_view name) { return upper_case(name); }

std::string HostPort::text() const { return with_brackets(host) + ":" + std::to_string(port); }
std::string Endpoint::text() const { return listener + "://" + with_brackets(host) + ":" + std::to_string(port); }

Result<HostPort> parse_host_port(std::string_view text) {
  std::optional<HostPort> address = split_host_port(trim(text));
  if (!address || address->host.empty())
    return fail(Errc::invalid_argument, "'" + std::string(text) + "' is not host:port with a port of 0 to 65535");
  return *std::move(address);
}

Result<std::vector<Endpoint>> parse_endpoints(std::string_view key, const std::vector<std::string>& list,
                                              const ProtocolMap& protocols, bool distinct_ports) {
  std::vector<Endpoint> endpoints;
  const std::string whole = join(list);
  for (const std::string& text : list) {
    const std::size_t mark = text.find("://");
    std::optional<HostPort> address;
    if (mark != std::string::npos && mark > 0) address = split_host_port(std::string_view(text).substr(mark + 3));
    if (!address)
      return fail(config_error(key, whole, "'" + text + "' is not NAME://host:port with a port of 0 to 65535"));
    std::string name = normalized_listener_name(trim(std::string_view(text).substr(0, mark)));
    const auto protocol = protocols.find(name);
    if (protocol == protocols.end()) {
      return fail(config_error(
          key, whole,
          "No security protocol defined for listener " + name + " (add it to listener.security.protocol.map)"));
    }
    endpoints.push_back({std::move(name), protocol->second, std::move(address->host), address->port});
  }

  std::set<std::string_view> names;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    const Endpoint& endpoint = endpoints[i];
    if (!names.insert(endpoint.listener).second)
      return fail(config_error(key, whole, "Each listener must have a different name"));
    if (!distinct_ports || endpoint.port == 0) continue;
    for (std::size_t j = 0; j < i; ++j) {
      const Endpoint& other = endpoints[j];
      const bool two_families =
          (is_ipv4(endpoint.host) && is_ipv6(other.host)) || (is_ipv6(endpoint.host) && is_ipv4(other.host));
      if (other.port == endpoint.port && !two_families) {
        return fail(config_error(key, whole,
                                 "Each listener must have a different port unless exactly one listener has an IPv4 "
                                 "address and the other IPv6 address"));
      }
    }
  }
  return endpoints;
}

Result<ProtocolMap> parse_protocol_map(std::string_view key, std::string_view text) {
  ProtocolMap protocols;
  for (std::string_view rest = text; !trim(rest).empty();) {
    const std::size_t comma = rest.find(',');
    const std::string_view pair = trim(rest.substr(0, comma));
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    const std::size_t colon = pair.rfind(':');
    if (colon == std::string_view::npos || colon == 0)
      return fail(config_error(key, text, "'" + std::string(pair) + "' is not NAME:PROTOCOL"));
    const std::optional<SecurityProtocol> protocol = parse_security_protocol(trim(pair.substr(colon + 1)));
    if (!protocol) {
      return fail(config_error(key, text,
                               "No security protocol with name " + std::string(trim(pair.substr(colon + 1))) +
                                   " (allowed: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL)"));
    }
    protocols[normalized_listener_name(trim(pair.substr(0, colon)))] = *protocol;
  }
  return protocols;
}

Result<Voter> parse_voter(std::string_view text) {
  const std::string_view trimmed = trim(text);
  const std::size_t at = trimmed.find('@');
  const std::optional<std::int32_t> id =
      at == std::string_view::npos ? std::nullopt : parse_number<std::int32_t>(trimmed.substr(0, at));
  if (!id || *id < 0)
    return fail(Errc::invalid_argument, "'" + std::string(text) + "' is not id@host:port with an id of 0 or more");
  Result<HostPort> address = parse_host_port(trimmed.substr(at + 1));
  if (!address) return fail(Errc::invalid_argument, "'" + std::string(text) + "' is not id@host:port");
  if (address->host == "0.0.0.0" && address->port == 0)
    return fail(Errc::invalid_argument, "'" + std::string(text) + "': host 0.0.0.0 with port 0 cannot be reached");
  return Voter{*id, *std::move(address)};
}

}  // namespace klamm::config
