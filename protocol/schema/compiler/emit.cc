#include "protocol/schema/compiler/emit.h"

#include <cctype>

#include "protocol/schema/compiler/names.h"
#include "protocol/schema/compiler/parse.h"

namespace klamm::schema {

bool Code::mentions(const std::string& word) const {
  // A quote and an arrow count as letters: what follows them is no parameter.
  const auto in_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '"' || c == '>';
  };
  for (std::size_t at = text_.find(word); at != std::string::npos; at = text_.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !in_word(text_[at - 1])) && (end == text_.size() || !in_word(text_[end]))) return true;
  }
  return false;
}

std::string element_type(const Field& field) {
  switch (field.kind) {
    case Kind::boolean: return "bool";
    case Kind::int8: return "std::int8_t";
    case Kind::int16: return "std::int16_t";
    case Kind::uint16: return "std::uint16_t";
    case Kind::int32: return "std::int32_t";
    case Kind::uint32: return "std::uint32_t";
    case Kind::int64: return "std::int64_t";
    case Kind::float64: return "double";
    case Kind::uuid: return "Uuid";
    case Kind::string: return "std::string";
    case Kind::bytes: return "Slice";
    case Kind::records: return "wire::Records";
    case Kind::structure: return field.struct_name;
  }
  return "";
}

std::string member_type(const Field& field) {
  std::string type = element_type(field);
  if (field.is_array) type = "std::vector<" + type + ">";
  // Records know null themselves.
  if (field.can_be_null() && field.kind != Kind::records) type = "std::optional<" + type + ">";
  return type;
}

std::string member_reference(const Field& field) {
  static const std::set<std::string> kParameters = {"version",  "reader", "writer", "checker", "json",
                                                    "flexible", "bytes",  "tags",   "tag",     "other"};
  return kParameters.count(field.member) != 0 ? "this->" + field.member : field.member;
}

namespace {

bool is_number(const Field& field) {
  return !field.is_array && field.kind >= Kind::int8 && field.kind <= Kind::float64;
}

std::string number_default(const Field& field) { return field.default_text.value_or("0"); }

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

}  // namespace

std::string is_set(const Field& field) {
  const std::string member = member_reference(field);
  if (field.kind == Kind::records && !field.is_array) return "!" + member + ".is_null()";
  if (field.defaults_to_null()) return member + ".has_value()";
  if (field.can_be_null()) {
    if (field.is_struct()) return "!" + member + " || !(*" + member + " == " + field.struct_name + "{})";
    return "!" + member + " || !" + member + "->empty()";
  }
  if (field.is_array) return "!" + member + ".empty()";
  if (field.kind == Kind::boolean) return field.default_text == "true" ? "!" + member : member;
  if (is_number(field)) return member + " != " + number_default(field);
  if (field.kind == Kind::uuid) return "!" + member + ".is_zero()";
  if (field.is_struct()) return "!(" + member + " == " + field.struct_name + "{})";
  if (field.default_text && !field.default_text->empty()) return member + " != " + quoted(*field.default_text);
  return "!" + member + ".empty()";
}

std::string initializer(const Field& field) {
  if (field.kind == Kind::records || field.defaults_to_null()) return "";
  if (field.can_be_null()) {
    if (field.default_text && !field.default_text->empty()) return " = " + quoted(*field.default_text);
    const std::string inner = field.is_array ? "std::vector<" + element_type(field) + ">" : element_type(field);
    return " = " + inner + "{}";
  }
  if (field.is_array) return "";
  if (field.kind == Kind::boolean) return " = " + field.default_text.value_or("false");
  if (is_number(field)) return " = " + number_default(field);
  if (field.kind == Kind::string && field.default_text && !field.default_text->empty()) {
    return " = " + quoted(*field.default_text);
  }
  return "";
}

std::string qualified(const Message& message, const Struct& subject) {
  return subject.name == message.name ? message.name : parts_namespace(message) + "::" + subject.name;
}

std::string field_path(const Message& message, const Struct& subject, const Field& field) {
  const std::string owner = subject.name == message.name ? message.name : message.name + "." + subject.name;
  return quoted(owner + "." + field.name);
}

std::string condition(Range when, Range within) {
  const bool low = when.low > within.low;
  const bool high = when.high < within.high;
  if (low && high) {
    if (when.low == when.high) return "version == " + std::to_string(when.low);
    return "version >= " + std::to_string(when.low) + " && version <= " + std::to_string(when.high);
  }
  if (low) return "version >= " + std::to_string(when.low);
  if (high) return "version <= " + std::to_string(when.high);
  return "";
}

std::string negated_condition(Range when, Range within) {
  const bool low = when.low > within.low;
  const bool high = when.high < within.high;
  if (low && high) return "version < " + std::to_string(when.low) + " || version > " + std::to_string(when.high);
  if (low) return "version < " + std::to_string(when.low);
  if (high) return "version > " + std::to_string(when.high);
  return "";
}

std::string flexible_flag(const Message& message, const Struct& subject) {
  if (message.flexible.cut(subject.used).empty()) return "false";
  if (message.flexible.contains(subject.used)) return "true";
  return "flexible";
}

std::string flexible_flag(const Message& message, const Struct& subject, const Field& field) {
  if (field.flexible && field.flexible->empty()) return "false";
  const Range used = subject.used.cut(field.versions);
  if (message.flexible.cut(used).empty()) return "false";
  if (message.flexible.contains(used)) return "true";
  return "flexible";
}

bool is_array_element(const Message& message, const Struct& subject) {
  const auto holds = [&](const Struct& owner) {
    return std::any_of(owner.fields.begin(), owner.fields.end(), [&](const Field& field) {
      return field.is_struct_array() && field.struct_name == subject.name;
    });
  };
  return holds(message.root) || std::any_of(message.structs.begin(), message.structs.end(), holds);
}

bool has_tags(const Message& message, const Struct& subject) { return !message.flexible.cut(subject.used).empty(); }

void emit_function(Code& code, const Message& message, const std::string& head,
                   const std::vector<Parameter>& parameters, const std::string& suffix, const Code& body) {
  const bool uses_flexible = body.mentions("flexible");
  std::string list;
  for (const Parameter& parameter : parameters) {
    const bool used = body.mentions(parameter.name) || (uses_flexible && parameter.name == "version");
    list += (list.empty() ? "" : ", ") + parameter.type + (used ? " " + parameter.name : "");
  }
  code.open(head + "(" + list + ")" + suffix);
  if (uses_flexible) code.line("const bool flexible = version >= " + std::to_string(message.flexible.low) + ";");
  code.add(body);
  code.close();
  code.line();
}

}  // namespace klamm::schema
