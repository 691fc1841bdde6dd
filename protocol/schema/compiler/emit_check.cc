// check: what a version cannot carry.
#include "protocol/schema/compiler/emit.h"

namespace klamm::schema {
namespace {

// Complaints about the value itself, in versions that have the field.
void emit_value_check(Code& code, const Message& message, const Struct& subject, const Field& field) {
  const std::string member = member_reference(field);
  const std::string path = field_path(message, subject, field);
  const Range here = field.versions.cut(subject.used);
  const bool is_records = field.kind == Kind::records && !field.is_array;
  if ((field.can_be_null() || is_records) && !field.nullable.contains(here)) {
    const std::string null = is_records ? member + ".is_null()" : "!" + member;
    const bool never = field.nullable.cut(here).empty();
    const std::string when = never ? "" : negated_condition(field.nullable, here);
    code.line("if (" + (when.empty() ? null : "(" + when + ") && " + null) + ") checker.null(" + path + ");");
  }
  if (field.kind == Kind::string) {
    code.line((field.is_array ? "checker.texts(" : "checker.text(") + path + ", " + member + ");");
  }
  if (field.kind != Kind::structure || !message.find(field.struct_name).needs_check) return;
  if (field.is_array) {
    code.line("wire::check_structs(checker, " + member + ", version);");
  } else if (field.can_be_null()) {
    code.line("if (" + member + ") " + member + "->check(checker, version);");
  } else {
    code.line(member + ".check(checker, version);");
  }
}

void emit_field(Code& code, const Message& message, const Struct& subject, const Field& field) {
  Code value;
  emit_value_check(value, message, subject, field);
  const std::string when = condition(field.versions, subject.used);
  if (when.empty()) {
    emit_value_check(code, message, subject, field);
    return;
  }
  if (!value.text().empty()) {
    code.open("if (" + when + ")");
    emit_value_check(code, message, subject, field);
    code.close();
  }
  if (field.ignorable) return;
  const std::string without = negated_condition(field.versions, subject.used);
  code.line("if ((" + without + ") && (" + is_set(field) + ")) checker.absent(" + field_path(message, subject, field) +
            ");");
}

void emit_tags(Code& code, const Message& message, const Struct& subject) {
  if (!has_tags(message, subject)) return;
  std::uint64_t known = 0;
  for (const Field& field : subject.fields) {
    if (!field.tagged.cut(subject.used).empty()) known |= std::uint64_t{1} << field.tag;
  }
  const std::string path = "\"" + message.name + (subject.name == message.name ? "" : "." + subject.name) + "\"";
  code.line("checker.unknown_tags(" + path + ", unknown_tags, " + flexible_flag(message, subject) + ", " +
            std::to_string(known) + ");");
}

void emit_struct(Code& code, const Message& message, const Struct& subject) {
  if (!subject.needs_check) return;
  Code body;
  body.indent();
  for (const Field& field : subject.fields) emit_field(body, message, subject, field);
  emit_tags(body, message, subject);
  emit_function(code, message, "void " + qualified(message, subject) + "::check",
                {{"wire::Checker&", "checker"}, {"std::int16_t", "version"}}, " const", body);
}

}  // namespace

Code emit_check(const Message& message) {
  Code code;
  for (const Struct& subject : message.structs) emit_struct(code, message, subject);
  emit_struct(code, message, message.root);
  code.open("Result<void> " + message.name + "::check(std::int16_t version) const");
  code.line("wire::Checker checker(version);");
  code.line("if (version < kMinVersion || version > kMaxVersion) checker.no_version(\"" + message.name + "\");");
  if (message.root.needs_check) code.line("check(checker, version);");
  code.line("return checker.result();");
  code.close();
  code.line();
  return code;
}

}  // namespace klamm::schema
