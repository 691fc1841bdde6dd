// Writes C++ for messages. One part of the output a file: emit_header.cc, emit_codec.cc, emit_check.cc, emit_json.cc,
// emit_catalog.cc.
#pragma once

#include <string>
#include <vector>

#include "protocol/schema/compiler/code.h"
#include "protocol/schema/compiler/model.h"

namespace klamm::schema {

// The header of one message.
std::string emit_header(const Message& message);
// decode, encode, encoded_size, records_size and operator== of a message and its structs.
Code emit_codec(const Message& message);
// check.
Code emit_check(const Message& message);
// to_json and from_json.
Code emit_json(const Message& message);

// "api_key.h", the rows of the table of APIs, and a part of the catalog of all messages.
std::string emit_api_keys(const Schema& schema);
std::string emit_api_table(const Schema& schema);
std::string emit_catalog_part(const std::vector<const Message*>& messages, int part);
std::string emit_catalog(int parts);

// --- shared by the emitters ---

constexpr const char* kNotice =
    "// Made by the schema compiler from the message tables in protocol/schema. Do not edit.\n";

// The C++ type of a field's member, and of one element of it.
std::string member_type(const Field& field);
std::string element_type(const Field& field);
// A reference to the member that no parameter of a generated function hides.
std::string member_reference(const Field& field);
// An expression that is true if the member is not at its default.
std::string is_set(const Field& field);
// The initializer of the member: " = -1", or nothing.
std::string initializer(const Field& field);
// "FetchRequest" or "fetch_request_parts::FetchTopic"; the field's place for people: "FetchRequest.FetchTopic.Topic".
std::string qualified(const Message& message, const Struct& subject);
std::string field_path(const Message& message, const Struct& subject, const Field& field);

// The condition that a version out of `within` is in `when`; empty if every one is. `when` must meet `within`.
std::string condition(Range when, Range within);
// The condition that a version out of `within` is not in `when`.
std::string negated_condition(Range when, Range within);

// How a struct's functions know whether the version is flexible: "true", "false" or "flexible".
std::string flexible_flag(const Message& message, const Struct& subject);
// The same for one field.
std::string flexible_flag(const Message& message, const Struct& subject, const Field& field);

// True if some field is an array of the struct.
bool is_array_element(const Message& message, const Struct& subject);
// True if the struct has a tagged section in some version in which it occurs.
bool has_tags(const Message& message, const Struct& subject);

// Emits "head(parameters) suffix { body }": parameters that the body does not mention lose their names, and `flexible`
// is defined if it does.
struct Parameter {
  std::string type;
  std::string name;
};
void emit_function(Code& code, const Message& message, const std::string& head,
                   const std::vector<Parameter>& parameters, const std::string& suffix, const Code& body);

}  // namespace klamm::schema
