// The header of a message: its structs and their members, with what a reader wants to know of each.
#include "protocol/schema/compiler/emit.h"
#include "protocol/schema/compiler/names.h"
#include "protocol/schema/compiler/parse.h"

namespace klamm::schema {
namespace {

std::string versions_in_words(Range range) {
  if (range.high == kNoLimit) return "from version " + std::to_string(range.low);
  if (range.low == 0) return "until version " + std::to_string(range.high);
  if (range.low == range.high) return "only version " + std::to_string(range.low);
  return "versions " + std::to_string(range.low) + " to " + std::to_string(range.high);
}

// What is special about a field: where it is missing, where it may be null, its tag.
std::string remark(const Struct& subject, const Field& field) {
  std::vector<std::string> parts;
  if (!field.versions.contains(subject.used)) {
    Range shown = field.versions;
    if (shown.high >= subject.used.high) shown.high = kNoLimit;
    if (shown.low <= subject.used.low) shown.low = 0;
    parts.push_back(versions_in_words(shown));
  }
  const Range here = field.versions.cut(subject.used);
  if (field.can_be_null() && !field.nullable.contains(here)) {
    const Range legal = field.nullable.cut(here);
    parts.push_back(legal.empty() ? "never null" : "null " + versions_in_words(field.nullable));
  }
  if (field.kind == Kind::records) parts.push_back(field.can_be_null() ? "may be null" : "never null on the wire");
  if (!field.tagged.cut(here).empty()) parts.push_back("tag " + std::to_string(field.tag));
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "  // " : ", ") + part;
  return text;
}

void emit_members(Code& code, const Message& message, const Struct& subject) {
  for (const Field& field : subject.fields) {
    code.line(member_type(field) + " " + field.member + initializer(field) + ";" + remark(subject, field));
  }
  if (has_tags(message, subject)) code.line("wire::UnknownTags unknown_tags;");
}

void emit_functions(Code& code, const Struct& subject, bool is_element) {
  code.line();
  code.line("void decode(wire::Reader& reader, std::int16_t version);");
  code.line("std::size_t encoded_size(std::int16_t version) const;");
  if (subject.has_records) code.line("std::size_t records_size(std::int16_t version) const;");
  code.line("void encode(wire::Writer& writer, std::int16_t version) const;");
  if (subject.needs_check) code.line("void check(wire::Checker& checker, std::int16_t version) const;");
  code.line("void to_json(wire::JsonWriter& json, std::int16_t version) const;");
  code.line("void from_json(const wire::JsonReader& json, std::int16_t version);");
  code.line("bool operator==(const " + subject.name + "& other) const;");
  if (!is_element) return;
  code.line("// Compiled once, for decoding and JSON: growing a vector of structs is the heaviest part of either.");
  code.line("static void resize(std::vector<" + subject.name + ">& structs, std::size_t count);");
}

void emit_constants(Code& code, const Message& message) {
  code.line("static constexpr std::string_view kName = \"" + message.name + "\";");
  if (message.is_api()) {
    code.line("static constexpr ApiKey kApiKey = ApiKey::" + member_name(api_name(message)) + ";");
  } else if (message.key) {
    code.line("static constexpr std::int16_t kRecordType = " + std::to_string(*message.key) + ";");
  }
  code.line("static constexpr std::int16_t kMinVersion = " + std::to_string(message.valid.low) + ";");
  code.line("static constexpr std::int16_t kMaxVersion = " + std::to_string(message.valid.high) + ";");
  const int stable = message.valid.high - (message.latest_unstable ? 1 : 0);
  code.line("static constexpr std::int16_t kMaxStableVersion = " + std::to_string(stable) + ";");
  const int flexible = message.flexible.empty() ? kNoLimit : message.flexible.low;
  code.line("static constexpr std::int16_t kFlexibleFrom = " + std::to_string(flexible) + ";" +
            (message.flexible.empty() ? "  // never" : ""));
  if (message.is_request()) code.line("using Response = " + api_name(message) + "Response;");
}

void emit_includes(Code& code, const Message& message) {
  bool uuid = false;
  bool records = false;
  const auto look = [&](const Struct& subject) {
    for (const Field& field : subject.fields) {
      uuid = uuid || field.kind == Kind::uuid;
      records = records || field.kind == Kind::records;
    }
  };
  look(message.root);
  for (const Struct& subject : message.structs) look(subject);
  for (const char* header : {"cstddef", "cstdint", "optional", "string", "string_view", "vector"}) {
    code.line("#include <" + std::string(header) + ">");
  }
  code.line();
  code.line("#include \"base/bytes.h\"");
  code.line("#include \"base/result.h\"");
  if (uuid) code.line("#include \"base/uuid.h\"");
  if (message.is_api()) code.line("#include \"protocol/messages/api_key.h\"");
  code.line("#include \"protocol/wire/fwd.h\"");
  if (records) code.line("#include \"protocol/wire/records.h\"");
  code.line("#include \"protocol/wire/tags.h\"");
}

void refuse_clashes(const Message& message, const Struct& subject) {
  std::set<std::string> taken = {"decode",  "encode",    "encoded_size", "records_size", "check",
                                 "to_json", "from_json", "resize",       "unknown_tags"};
  for (const Field& field : subject.fields) {
    if (!taken.insert(field.member).second) give_up(message.name, field.member + " is taken");
  }
  if (subject.name == message.name) return;
  for (const Field& field : message.root.fields) {
    if (field.member == subject.name) give_up(message.name, subject.name + " names a struct and a member");
  }
}

void emit_struct(Code& code, const Message& message, const Struct& subject) {
  refuse_clashes(message, subject);
  if (subject.used.low > message.valid.low || subject.used.high < message.valid.high) {
    Range shown = subject.used;
    if (shown.high == message.valid.high) shown.high = kNoLimit;
    if (shown.low == message.valid.low) shown.low = 0;
    code.line("// " + versions_in_words(shown));
  }
  code.open("struct " + subject.name);
  emit_members(code, message, subject);
  emit_functions(code, subject, is_array_element(message, subject));
  code.close(";");
  code.line();
}

}  // namespace

std::string emit_header(const Message& message) {
  Code code;
  code.line("#pragma once");
  code.line();
  emit_includes(code, message);
  code.line();
  code.line("namespace " + full_namespace(message) + " {");
  code.line();
  if (message.is_request()) {
    code.line("struct " + api_name(message) + "Response;");
    code.line();
  }
  if (!message.structs.empty()) {
    code.line("namespace " + parts_namespace(message) + " {");
    code.line();
    for (const Struct& subject : message.structs) emit_struct(code, message, subject);
    code.line("}  // namespace " + parts_namespace(message));
    code.line();
  }
  code.open("struct " + message.name);
  emit_constants(code, message);
  code.line();
  for (const Struct& subject : message.structs) {
    code.line("using " + subject.name + " = " + qualified(message, subject) + ";");
  }
  if (!message.structs.empty()) code.line();
  refuse_clashes(message, message.root);
  emit_members(code, message, message.root);
  emit_functions(code, message.root, false);
  code.line("// Success if `version` can carry every value that is set; encoding needs it. See wire/checker.h.");
  code.line("Result<void> check(std::int16_t version) const;");
  code.close(";");
  code.line();
  code.line("}  // namespace " + full_namespace(message));
  return kNotice + code.text();
}

}  // namespace klamm::schema
