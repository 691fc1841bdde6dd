// klamm_schema_compiler OUTPUT_FOLDER TABLE...: turns message tables into C++ (see NOTATION.md).
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>

#include "protocol/schema/compiler/emit.h"
#include "protocol/schema/compiler/names.h"
#include "protocol/schema/compiler/parse.h"

namespace klamm::schema {
namespace {

// The numbers of generated sources are fixed, so that the build knows their names before they exist (CMakeLists.txt).
constexpr int kCodecParts = 8;
constexpr int kJsonParts = 2;
constexpr int kCatalogParts = 2;

// Leaves a file alone that has the content already, so that nothing that includes it is built again.
void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ostringstream old;
  if (std::ifstream file(path); file) old << file.rdbuf();
  if (!old.str().empty() && old.str() == content) return;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path);
  file << content;
  if (!file.flush()) give_up(path.string(), "cannot be written");
}

// Messages in `parts` groups whose generated texts are about the same length.
std::vector<std::vector<const Message*>> balanced(const Schema& schema, int parts) {
  std::vector<std::vector<const Message*>> groups(static_cast<std::size_t>(parts));
  std::vector<std::size_t> weights(groups.size());
  for (const Message& message : schema.messages) {
    const auto lightest = static_cast<std::size_t>(std::min_element(weights.begin(), weights.end()) - weights.begin());
    groups[lightest].push_back(&message);
    weights[lightest] += emit_codec(message).text().size();
  }
  return groups;
}

std::string source_of(const std::vector<const Message*>& messages, const std::vector<std::string>& includes,
                      const std::vector<Code (*)(const Message&)>& emitters) {
  Code code;
  for (const Message* message : messages) code.line("#include \"" + header_path(*message) + "\"");
  for (const std::string& header : includes) code.line("#include \"" + header + "\"");
  code.line();
  for (const Message* message : messages) {
    code.line("namespace " + full_namespace(*message) + " {");
    code.line();
    for (const auto emit : emitters) code.add(emit(*message));
    code.line("}  // namespace " + full_namespace(*message));
    code.line();
  }
  return kNotice + code.text();
}

void write_all(const Schema& schema, const std::filesystem::path& folder) {
  const std::filesystem::path messages = folder / "protocol/messages";
  for (const Message& message : schema.messages) write_file(folder / header_path(message), emit_header(message));
  write_file(messages / "api_key.h", emit_api_keys(schema));
  write_file(messages / "api_table.inc", emit_api_table(schema));
  int part = 0;
  for (const auto& group : balanced(schema, kCodecParts)) {
    write_file(messages / ("codec_" + std::to_string(part++) + ".cc"),
               source_of(group, {"protocol/wire/array.h"}, {emit_codec, emit_check}));
  }
  part = 0;
  for (const auto& group : balanced(schema, kJsonParts)) {
    write_file(messages / ("json_" + std::to_string(part++) + ".cc"),
               source_of(group, {"protocol/wire/json_array.h"}, {emit_json}));
  }
  part = 0;
  for (const auto& group : balanced(schema, kCatalogParts)) {
    write_file(messages / ("catalog_" + std::to_string(part) + ".cc"), emit_catalog_part(group, part));
    ++part;
  }
  write_file(messages / "catalog.cc", emit_catalog(kCatalogParts));
}

}  // namespace
}  // namespace klamm::schema

int main(int argument_count, char** arguments) {
  using namespace klamm::schema;
  if (argument_count < 3) give_up("usage", "klamm_schema_compiler OUTPUT_FOLDER apis.txt TABLE...");
  Schema schema;
  parse_traits(arguments[2], schema);
  for (int index = 3; index < argument_count; ++index) parse_tables(arguments[index], schema);
  write_all(schema, arguments[1]);
  return 0;
}
