// decode, encoded_size, encode of a message and its structs: straight-line code, one condition for each run of fields
// with the same versions.
#include <functional>

#include "protocol/schema/compiler/emit.h"
#include "protocol/schema/compiler/parse.h"

namespace klamm::schema {
namespace {

// How null may stand for a field's value in the versions in which the field exists.
enum class Nullness { never, sometimes, always };

Nullness nullness(const Struct& subject, const Field& field) {
  const Range here = field.versions.cut(subject.used);
  if (field.nullable.cut(here).empty()) return Nullness::never;
  return field.nullable.contains(here) ? Nullness::always : Nullness::sometimes;
}

std::string null_condition(const Struct& subject, const Field& field) {
  return condition(field.nullable, field.versions.cut(subject.used));
}

// The reader's or writer's name of a scalar: "int32".
std::string scalar_name(const Field& field) {
  switch (field.kind) {
    case Kind::boolean: return "bool";
    case Kind::int8: return "int8";
    case Kind::int16: return "int16";
    case Kind::uint16: return "uint16";
    case Kind::int32: return "int32";
    case Kind::uint32: return "uint32";
    case Kind::int64: return "int64";
    case Kind::float64: return "float64";
    case Kind::uuid: return "uuid";
    default: return "";
  }
}

std::size_t fixed_size(const Field& field) {
  if (field.is_array) return 0;
  switch (field.kind) {
    case Kind::boolean:
    case Kind::int8: return 1;
    case Kind::int16:
    case Kind::uint16: return 2;
    case Kind::int32:
    case Kind::uint32: return 4;
    case Kind::int64:
    case Kind::float64: return 8;
    case Kind::uuid: return 16;
    default: return 0;
  }
}

// Calls `emit` for each inline field, inside the condition of its versions; neighbours share one.
void each_inline_field(
    Code& code, const Struct& subject, const std::function<void(Code&, const Field&)>& emit,
    const std::function<bool(const Field&)>& wanted = [](const Field&) { return true; }) {
  std::string open;
  for (const Field& field : subject.fields) {
    const Range here = field.versions.cut(subject.used);
    if (here.empty() || field.tagged.contains(here) || !wanted(field)) continue;
    if (!field.tagged.cut(here).empty())
      give_up(subject.name, field.name + ": inline in some versions, tagged in others");
    const std::string when = condition(field.versions, subject.used);
    if (when != open) {
      if (!open.empty()) code.close();
      if (!when.empty()) code.open("if (" + when + ")");
      open = when;
    }
    emit(code, field);
  }
  if (!open.empty()) code.close();
}

std::vector<const Field*> tagged_fields(const Struct& subject) {
  std::vector<const Field*> fields;
  for (const Field& field : subject.fields) {
    if (!field.tagged.cut(subject.used).empty()) fields.push_back(&field);
  }
  std::sort(fields.begin(), fields.end(), [](const Field* left, const Field* right) { return left->tag < right->tag; });
  return fields;
}

// --- decode ---

void emit_read_struct(Code& code, const Struct& subject, const Field& field, const std::string& present) {
  const std::string member = member_reference(field);
  if (!field.can_be_null()) {
    code.line(member + ".decode(reader, version);");
    return;
  }
  switch (nullness(subject, field)) {
    case Nullness::never: code.line(member + ".emplace().decode(reader, version);"); return;
    case Nullness::always: code.open("if (" + present + ")"); break;
    case Nullness::sometimes:
      code.open("if (" + negated_condition(field.nullable, field.versions.cut(subject.used)) + " || " + present + ")");
      break;
  }
  code.line(member + ".emplace().decode(reader, version);");
  code.outdent();
  code.line("} else {");
  code.indent();
  code.line(member + ".reset();");
  code.close();
}

void emit_read_structs(Code& code, const Message& message, const Struct& subject, const Field& field,
                       const std::string& flexible) {
  const std::string member = member_reference(field);
  const std::string least = std::to_string(message.find(field.struct_name).least_bytes);
  const std::string plain = "reader.read_count(" + flexible + ", " + least + ")";
  const std::string nullable = "reader.read_nullable_count(" + flexible + ", " + least + ")";
  std::string count = plain;
  if (nullness(subject, field) == Nullness::always) count = nullable;
  if (nullness(subject, field) == Nullness::sometimes)
    count = null_condition(subject, field) + " ? " + nullable + " : " + plain;
  code.line("wire::read_structs(reader, " + member + ", " + count + ", version);");
}

void emit_read(Code& code, const Message& message, const Struct& subject, const Field& field,
               const std::string& flexible, const std::string& present) {
  if (field.is_struct()) return emit_read_struct(code, subject, field, present);
  if (field.is_struct_array()) return emit_read_structs(code, message, subject, field, flexible);
  const std::string member = member_reference(field);
  if (!field.is_array && !scalar_name(field).empty()) {
    code.line(member + " = reader.read_" + scalar_name(field) + "();");
    return;
  }
  std::string what = "array";
  if (!field.is_array) {
    what = field.kind == Kind::string ? "string" : field.kind == Kind::bytes ? "bytes" : "records";
  }
  const std::string plain = "reader.read_" + what + "(" + member + ", " + flexible + ")";
  const std::string nullable = "reader.read_nullable_" + what + "(" + member + ", " + flexible + ")";
  switch (nullness(subject, field)) {
    case Nullness::never: code.line(plain + ";"); break;
    case Nullness::always: code.line(nullable + ";"); break;
    case Nullness::sometimes: code.line(null_condition(subject, field) + " ? " + nullable + " : " + plain + ";"); break;
  }
}

void emit_read_tags(Code& code, const Message& message, const Struct& subject) {
  if (!has_tags(message, subject)) return;
  const std::string flexible = flexible_flag(message, subject);
  const std::vector<const Field*> fields = tagged_fields(subject);
  if (fields.empty()) {
    code.line((flexible == "true" ? "" : "if (flexible) ") + std::string("reader.read_unknown_tags(unknown_tags);"));
    return;
  }
  if (flexible != "true") code.open("if (flexible)");
  code.open("for (std::uint32_t left = reader.read_tag_count(); left > 0 && reader.ok(); --left)");
  code.line("const wire::Reader::Tag tag = reader.read_tag();");
  code.open("switch (tag.tag)");
  for (const Field* field : fields) {
    code.line("case " + std::to_string(field->tag) + ":");
    code.indent();
    const std::string too_early = negated_condition(field->tagged, subject.used.cut(message.flexible));
    if (!too_early.empty())
      code.line("if (" + too_early + ") return reader.fail(\"a tagged field of another version\");");
    emit_read(code, message, subject, *field, "true", "reader.read_tagged_presence()");
    code.line("reader.end_tag(tag);");
    code.line("break;");
    code.outdent();
  }
  code.line("default:");
  code.line("  reader.read_unknown_tag(tag, unknown_tags);");
  code.close();
  code.close();
  if (flexible != "true") code.close();
}

// --- size ---

// An expression for the size of the value as it stands inline or inside a tagged field.
std::string size_expression(const Struct& subject, const Field& field, const std::string& flexible) {
  const std::string member = member_reference(field);
  if (const std::size_t fixed = fixed_size(field); fixed != 0) return std::to_string(fixed);
  if (field.is_struct_array()) return "wire::size_of_structs(" + member + ", version, " + flexible + ")";
  if (field.is_struct()) {
    if (!field.can_be_null()) return member + ".encoded_size(version)";
    const std::string inner = "(" + member + " ? " + member + "->encoded_size(version) : 0)";
    switch (nullness(subject, field)) {
      case Nullness::never: return inner;
      case Nullness::always: return "1 + " + inner;
      case Nullness::sometimes: return "(" + null_condition(subject, field) + " ? 1 : 0) + " + inner;
    }
  }
  const bool fixed_elements = field.is_array && field.kind != Kind::string;
  return (fixed_elements ? "wire::size_of_fixed(" : "wire::size_of(") + member + ", " + flexible + ")";
}

void emit_size_body(Code& code, const Message& message, const Struct& subject) {
  std::size_t fixed = 0;
  for (const Field& field : subject.fields) {
    if (condition(field.versions, subject.used).empty() && field.tagged.empty()) fixed += fixed_size(field);
  }
  code.line("std::size_t bytes = " + std::to_string(fixed) + ";");
  each_inline_field(code, subject, [&](Code& inner, const Field& field) {
    if (condition(field.versions, subject.used).empty() && fixed_size(field) != 0) return;
    inner.line("bytes += " + size_expression(subject, field, flexible_flag(message, subject, field)) + ";");
  });
  if (!has_tags(message, subject)) {
    code.line("return bytes;");
    return;
  }
  const std::string flexible = flexible_flag(message, subject);
  if (flexible != "true") code.line("if (!flexible) return bytes;");
  const std::vector<const Field*> fields = tagged_fields(subject);
  if (!fields.empty()) code.line("std::size_t tags = unknown_tags.size();");
  for (const Field* field : fields) {
    const std::string when = condition(field->tagged, subject.used.cut(message.flexible));
    const std::string set = is_set(*field);
    code.open("if (" + (when.empty() ? set : when + " && (" + set + ")") + ")");
    code.line("++tags;");
    code.line("bytes += wire::size_of_tagged(" + std::to_string(field->tag) + ", " +
              size_expression(subject, *field, "true") + ");");
    code.close();
  }
  const std::string count = fields.empty() ? "unknown_tags.size()" : "tags";
  code.line("return bytes + wire::size_of_uvarint(" + count + ") + wire::size_of(unknown_tags);");
}

void emit_records_size_body(Code& code, const Message& message, const Struct& subject) {
  const auto holds_records = [&](const Field& field) {
    if (field.kind == Kind::structure) return message.find(field.struct_name).has_records;
    return field.kind == Kind::records;
  };
  const auto emit = [&](Code& inner, const Field& field) {
    const std::string member = member_reference(field);
    if (field.kind == Kind::records) {
      inner.line("bytes += static_cast<std::size_t>(" + member + ".size());");
      return;
    }
    if (field.can_be_null() || !field.is_array) give_up(message.name, field.name + ": records in such a place");
    inner.line("bytes += wire::records_size_of_structs(" + member + ", version);");
  };
  code.line("std::size_t bytes = 0;");
  each_inline_field(code, subject, emit, holds_records);
  code.line("return bytes;");
}

// --- encode ---

void emit_write(Code& code, const Struct& subject, const Field& field, const std::string& flexible, bool in_tag) {
  const std::string member = member_reference(field);
  if (field.is_struct()) {
    if (!field.can_be_null()) {
      code.line(member + ".encode(writer, version);");
      return;
    }
    const std::string marker =
        std::string(in_tag ? "writer.write_tagged_presence(" : "writer.write_presence(") + member + ".has_value());";
    if (nullness(subject, field) == Nullness::always) code.line(marker);
    if (nullness(subject, field) == Nullness::sometimes)
      code.line("if (" + null_condition(subject, field) + ") " + marker);
    code.line("if (" + member + ") " + member + "->encode(writer, version);");
    return;
  }
  if (field.is_struct_array()) {
    code.line("wire::write_structs(writer, " + member + ", version, " + flexible + ");");
    return;
  }
  if (field.is_array) {
    code.line("writer.write_array(" + member + ", " + flexible + ");");
    return;
  }
  if (const std::string scalar = scalar_name(field); !scalar.empty()) {
    code.line("writer.write_" + scalar + "(" + member + ");");
    return;
  }
  const std::string what = field.kind == Kind::string ? "string" : field.kind == Kind::bytes ? "bytes" : "records";
  code.line("writer.write_" + what + "(" + member + ", " + flexible + ");");
}

// True if the tag's presence has to be worked out: "version >= 15 && ...".
std::string tag_condition(const Message& message, const Struct& subject, const Field& field) {
  const std::string when = condition(field.tagged, subject.used.cut(message.flexible));
  return when.empty() ? is_set(field) : when + " && (" + is_set(field) + ")";
}

void emit_write_tags(Code& code, const Message& message, const Struct& subject) {
  if (!has_tags(message, subject)) return;
  if (flexible_flag(message, subject) != "true") code.line("if (!flexible) return;");
  const std::vector<const Field*> fields = tagged_fields(subject);
  if (fields.empty()) {
    code.line("writer.write_uvarint(unknown_tags.size());");
    code.line("writer.write_unknown_tags(unknown_tags, 0);");
    return;
  }
  std::string sum = "unknown_tags.size()";
  for (const Field* field : fields) {
    const std::string has = "has_tag_" + std::to_string(field->tag);
    code.line("const bool " + has + " = " + tag_condition(message, subject, *field) + ";");
    sum += " + " + has;
  }
  code.line("writer.write_uvarint(" + sum + ");");
  code.line("std::size_t unknown = 0;");
  for (const Field* field : fields) {
    const std::string tag = std::to_string(field->tag);
    code.open("if (has_tag_" + tag + ")");
    if (field->tag > 0) code.line("unknown = writer.write_unknown_tags(unknown_tags, unknown, " + tag + ");");
    code.line("writer.write_tag(" + tag + ", " + size_expression(subject, *field, "true") + ");");
    emit_write(code, subject, *field, "true", true);
    code.close();
  }
  code.line("writer.write_unknown_tags(unknown_tags, unknown);");
}

Code body_of(const std::function<void(Code&)>& emit) {
  Code body;
  body.indent();
  emit(body);
  return body;
}

void emit_struct(Code& code, const Message& message, const Struct& subject) {
  const std::string name = qualified(message, subject);
  const Parameter version{"std::int16_t", "version"};
  emit_function(
      code, message, "void " + name + "::decode", {{"wire::Reader&", "reader"}, version}, "", body_of([&](Code& body) {
        each_inline_field(body, subject, [&](Code& inner, const Field& field) {
          emit_read(inner, message, subject, field, flexible_flag(message, subject, field), "reader.read_presence()");
        });
        emit_read_tags(body, message, subject);
      }));
  emit_function(code, message, "std::size_t " + name + "::encoded_size", {version}, " const",
                body_of([&](Code& body) { emit_size_body(body, message, subject); }));
  if (subject.has_records) {
    emit_function(code, message, "std::size_t " + name + "::records_size", {version}, " const",
                  body_of([&](Code& body) { emit_records_size_body(body, message, subject); }));
  }
  emit_function(code, message, "void " + name + "::encode", {{"wire::Writer&", "writer"}, version}, " const",
                body_of([&](Code& body) {
                  each_inline_field(body, subject, [&](Code& inner, const Field& field) {
                    emit_write(inner, subject, field, flexible_flag(message, subject, field), false);
                  });
                  emit_write_tags(body, message, subject);
                }));
  if (is_array_element(message, subject)) {
    code.line("void " + name + "::resize(std::vector<" + subject.name +
              ">& structs, std::size_t count) { structs.resize(count); }");
    code.line();
  }
  code.line("bool " + name + "::operator==(const " + subject.name + "& other) const = default;");
  code.line();
}

}  // namespace

Code emit_codec(const Message& message) {
  Code code;
  for (const Struct& subject : message.structs) emit_struct(code, message, subject);
  emit_struct(code, message, message.root);
  return code;
}

}  // namespace klamm::schema
