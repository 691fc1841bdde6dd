// to_json and from_json: the form of Kafka's own JSON converters.
#include "protocol/schema/compiler/emit.h"
#include "protocol/schema/compiler/names.h"

namespace klamm::schema {
namespace {

std::string key_of(const Field& field) { return "\"" + json_name(field.name) + "\""; }

void emit_put(Code& code, const Field& field) {
  const std::string member = member_reference(field);
  if (field.is_struct_array()) {
    code.line("wire::put_structs(json, " + key_of(field) + ", " + member + ", version);");
  } else if (field.is_struct()) {
    code.line("wire::put_struct(json, " + key_of(field) + ", " + member + ", version);");
  } else {
    code.line("json.put(" + key_of(field) + ", " + member + ");");
  }
}

void emit_get(Code& code, const Field& field) {
  const std::string member = member_reference(field);
  if (field.is_struct_array()) {
    code.line("wire::get_structs(json, " + key_of(field) + ", " + member + ", version);");
  } else if (field.is_struct()) {
    code.line("wire::get_struct(json, " + key_of(field) + ", " + member + ", version);");
  } else {
    code.line("json.get(" + key_of(field) + ", " + member + ");");
  }
}

// The conditions under which a field appears: its versions, and for a tagged field a test of its own.
std::string joined(const std::string& versions, const std::string& test) {
  if (versions.empty() || test.empty()) return versions + test;
  return versions + " && (" + test + ")";
}

template <typename Emit>
void emit_guarded(Code& code, const std::string& guard, Emit emit) {
  if (!guard.empty()) code.open("if (" + guard + ")");
  emit();
  if (!guard.empty()) code.close();
}

void emit_struct(Code& code, const Message& message, const Struct& subject) {
  const Parameter version{"std::int16_t", "version"};
  Code to;
  Code from;
  to.indent();
  from.indent();
  for (const Field& field : subject.fields) {
    const bool tagged = !field.tagged.empty();
    const std::string versions = condition(field.versions, subject.used);
    emit_guarded(to, joined(versions, tagged ? "json.wants_defaults() || " + is_set(field) : ""),
                 [&] { emit_put(to, field); });
    emit_guarded(from, joined(versions, tagged ? "json.has(" + key_of(field) + ")" : ""),
                 [&] { emit_get(from, field); });
  }
  emit_function(code, message, "void " + qualified(message, subject) + "::to_json",
                {{"wire::JsonWriter&", "json"}, version}, " const", to);
  emit_function(code, message, "void " + qualified(message, subject) + "::from_json",
                {{"const wire::JsonReader&", "json"}, version}, "", from);
}

}  // namespace

Code emit_json(const Message& message) {
  Code code;
  for (const Struct& subject : message.structs) emit_struct(code, message, subject);
  emit_struct(code, message, message.root);
  return code;
}

}  // namespace klamm::schema
