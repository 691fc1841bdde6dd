// What is about all messages together: the API keys, the table of APIs, the catalog.
#include "protocol/schema/compiler/emit.h"
#include "protocol/schema/compiler/names.h"

namespace klamm::schema {
namespace {

const Message* find_request(const Schema& schema, int key) {
  for (const Message& message : schema.messages) {
    if (message.is_request() && message.key == key) return &message;
  }
  return nullptr;
}

bool has_trait(const Schema& schema, const std::string& trait, const std::string& api) {
  const auto names = schema.api_traits.find(trait);
  return names != schema.api_traits.end() && names->second.count(api) != 0;
}

std::string yes_no(bool value) { return value ? "true" : "false"; }

// "first_version, last_version".
std::string limits(Range range) { return std::to_string(range.low) + ", " + std::to_string(range.high); }

std::string first_flexible(const Message& message) {
  return std::to_string(message.flexible.empty() ? kNoLimit : message.flexible.low);
}

}  // namespace

std::string emit_api_keys(const Schema& schema) {
  Code code;
  code.line("#pragma once");
  code.line();
  code.line("#include <cstdint>");
  code.line();
  code.line("namespace klamm::protocol {");
  code.line();
  code.line("// The number by which a request names its API. See message/api.h for what is known of each.");
  code.open("enum class ApiKey : std::int16_t");
  for (const auto& [key, name] : schema.api_names) {
    const bool removed = find_request(schema, key) == nullptr;
    code.line(member_name(name) + " = " + std::to_string(key) + "," + (removed ? "  // removed, has no version" : ""));
  }
  code.close(";");
  code.line();
  code.line("}  // namespace klamm::protocol");
  return kNotice + code.text();
}

std::string emit_api_table(const Schema& schema) {
  Code code;
  for (const auto& [key, name] : schema.api_names) {
    const Message* request = find_request(schema, key);
    if (request == nullptr) continue;
    const auto listens = [&](const char* listener) {
      const auto& all = request->listeners;
      return yes_no(std::find(all.begin(), all.end(), listener) != all.end());
    };
    const int stable = request->valid.high - (request->latest_unstable ? 1 : 0);
    code.line("{ApiKey::" + member_name(name) + ", \"" + name + "\", " + limits(request->valid) + ", " +
              std::to_string(stable) + ", " + first_flexible(*request) + ", " + listens("broker") + ", " +
              listens("controller") + ", " + yes_no(has_trait(schema, "cluster-action", name)) + ", " +
              yes_no(has_trait(schema, "forwarded", name)) + ", " +
              yes_no(!has_trait(schema, "response-header-v0", name)) + "},");
  }
  return "// key, name, first and last version, last stable one, first flexible one, broker, controller, "
         "cluster_action,\n"
         "// forwarded, response_header_follows\n" +
         code.text();
}

std::string emit_catalog_part(const std::vector<const Message*>& messages, int part) {
  Code code;
  code.line("#include \"protocol/schema/catalog_entry.h\"");
  for (const Message* message : messages) code.line("#include \"" + header_path(*message) + "\"");
  code.line();
  code.line("namespace klamm::protocol {");
  code.line();
  const std::string name = "catalog_part_" + std::to_string(part);
  code.open("void " + name + "(std::vector<MessageType>& catalog)");
  for (const Message* message : messages) {
    code.line("catalog.push_back(catalog_entry<" + full_namespace(*message) + "::" + message->name + ">(\"" +
              message->source + "\", \"" + message->kind + "\", " + std::to_string(message->key.value_or(-1)) + "));");
  }
  code.close();
  code.line();
  code.line("}  // namespace klamm::protocol");
  return kNotice + code.text();
}

std::string emit_catalog(int parts) {
  Code code;
  code.line("#include \"protocol/schema/catalog.h\"");
  code.line();
  code.line("namespace klamm::protocol {");
  code.line();
  for (int part = 0; part < parts; ++part) {
    code.line("void catalog_part_" + std::to_string(part) + "(std::vector<MessageType>& catalog);");
  }
  code.line();
  code.open("const std::vector<MessageType>& message_catalog()");
  code.open("static const std::vector<MessageType> catalog = []");
  code.line("std::vector<MessageType> all;");
  for (int part = 0; part < parts; ++part) code.line("catalog_part_" + std::to_string(part) + "(all);");
  code.line("return all;");
  code.close("();");
  code.line("return catalog;");
  code.close();
  code.line();
  code.line("}  // namespace klamm::protocol");
  return kNotice + code.text();
}

}  // namespace klamm::schema
