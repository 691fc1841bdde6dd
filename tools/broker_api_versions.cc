#include <algorithm>
#include <map>

#include "klamm/blocking.h"
#include "protocol/message/api.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

// "\tFetch(1): 4 to 18 [usable: 18]": what the broker has of one API, and the newest version that klamm has too.
std::string line_of(const ApiRange& api) {
  const protocol::ApiInfo* known = protocol::find_api(api.key);
  const std::string range = api.min_version == api.max_version
                                ? std::to_string(api.min_version)
                                : fmt::format("{} to {}", api.min_version, api.max_version);
  if (known == nullptr) return fmt::format("\tUNKNOWN({}): {}", api.key, range);
  const std::int16_t usable = std::min(api.max_version, known->max_version);
  const std::string text =
      usable < api.min_version || usable < known->min_version ? "unusable" : fmt::format("usable: {}", usable);
  return fmt::format("\t{}({}): {} [{}]", known->name, api.key, range, text);
}

void print_broker(const BrokerApiVersions& broker) {
  std::map<std::int16_t, std::string> lines;
  for (const ApiRange& api : broker.apis) lines.emplace(api.key, line_of(api));
  for (const protocol::ApiInfo& api : protocol::all_apis()) {
    const auto key = static_cast<std::int16_t>(api.key);
    if (api.on_broker) lines.emplace(key, fmt::format("\t{}({}): UNSUPPORTED", api.name, key));
  }
  std::vector<std::string> texts;
  for (auto& [key, text] : lines) texts.push_back(std::move(text));
  print("{}:{} (id: {} rack: {} isFenced: {}) -> (\n{}\n)\n", broker.node.host, broker.node.port, broker.node.id,
        broker.node.rack.value_or("null"), broker.node.fenced, joined(texts, ",\n"));
}

}  // namespace

int run_broker_api_versions(const Arguments& arguments) {
  Options options("broker-api-versions", "Prints the API versions that each broker serves.");
  options.admin_client();
  if (const auto status = options.parse(arguments)) return *status;
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  Result<DescribeApiVersions::Outcome> described = admin->describe_api_versions({});
  if (!described) return fail_text(reason_of(described.error()));
  for (const auto& [id, broker] : *described) {
    if (broker) {
      print_broker(*broker);
    } else {
      print("broker {} -> ERROR: {}\n", id, reason_of(broker.error()));
    }
  }
  return 0;
}

}  // namespace klamm::tools
