#include "tools/server_settings.h"

#include <fmt/core.h>

#include <algorithm>

#include "tools/output.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kController = "CONTROLLER";

// The listener of this name in a list of them; nothing if there is none or it is not NAME://host:port.
std::optional<config::Endpoint> find_listener(std::string_view listeners, std::string_view name) {
  const config::ProtocolMap protocols{{std::string(name), config::SecurityProtocol::plaintext}};
  for (const std::string& text : split(listeners, ',')) {
    const Result<std::vector<config::Endpoint>> parsed =
        config::parse_endpoints("listeners", {std::string(trimmed(text))}, protocols, false);
    if (parsed) return parsed->front();
  }
  return std::nullopt;
}

// The port of the last listener; 0 if that cannot be read or was left to the system.
int last_port(std::string_view listeners) {
  const std::string_view last = trimmed(listeners.substr(listeners.rfind(',') + 1));
  const std::size_t colon = last.rfind(':');
  return colon == std::string_view::npos ? 0 : std::atoi(std::string(last.substr(colon + 1)).c_str());
}

// Where a listener is to be reached on this machine.
std::string reachable_host(const std::string& host) {
  return host.empty() || host == "0.0.0.0" || host == "::" ? "localhost" : host;
}

}  // namespace

ConfigMap development_settings(const ConfigMap& overrides) {
  ConfigMap settings = {
      {"node.id", "1"},
      {"process.roles", "broker,controller"},
      {"controller.listener.names", std::string(kController)},
      {"listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
      {"controller.quorum.bootstrap.servers", "localhost:9093"},
      {"log.dirs", "./klamm-data"},
      {"offsets.topic.replication.factor", "1"},
      {"transaction.state.log.replication.factor", "1"},
      {"transaction.state.log.min.isr", "1"},
      {"share.coordinator.state.topic.replication.factor", "1"},
      {"share.coordinator.state.topic.min.isr", "1"},
  };
  for (const auto& [key, value] : overrides) settings.insert_or_assign(key, value);
  if (!overrides.contains("listeners") || overrides.contains("controller.listener.names")) return settings;
  std::string& listeners = settings["listeners"];
  std::optional<config::Endpoint> controller = find_listener(listeners, kController);
  if (!controller) {
    const int port = last_port(listeners);
    if (port <= 0 || port >= 65535) return settings;  // what is wrong with it is told when it is parsed
    listeners += fmt::format(",{}://localhost:{}", kController, port + 1);
    controller = find_listener(listeners, kController);
  }
  const bool told =
      overrides.contains("controller.quorum.bootstrap.servers") || overrides.contains("controller.quorum.voters");
  if (!told && controller) {
    settings["controller.quorum.bootstrap.servers"] =
        config::HostPort{reachable_host(controller->host), controller->port}.text();
  }
  return settings;
}

std::string listeners_text(std::vector<config::Endpoint> bound, const std::vector<config::Endpoint>& advertised,
                           const std::string& host_name) {
  std::vector<std::string> addresses;
  for (config::Endpoint& endpoint : bound) {
    if (endpoint.host.empty()) endpoint.host = host_name;
    std::string text = endpoint.text();
    const auto same = [&](const config::Endpoint& other) { return other.listener == endpoint.listener; };
    const auto found = std::find_if(advertised.begin(), advertised.end(), same);
    if (found != advertised.end()) {
      config::Endpoint told = *found;
      if (told.host.empty()) told.host = host_name;
      if (told.port == 0) told.port = endpoint.port;
      if (told.text() != text)
        text += fmt::format(" (advertised as {})", config::HostPort{told.host, told.port}.text());
    }
    addresses.push_back(std::move(text));
  }
  return joined(addresses, ",");
}

}  // namespace klamm::tools
