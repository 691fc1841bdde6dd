// Reads the message tables (NOTATION.md) and apis.txt.
#pragma once

#include <string>

#include "protocol/schema/compiler/model.h"

namespace klamm::schema {

// Adds the messages of one table to `schema`. Ends the program with file and line at the first fault.
void parse_tables(const std::string& path, Schema& schema);
void parse_traits(const std::string& path, Schema& schema);

// Puts structs into order and fills what is derived (used, has_records, needs_check, least_bytes).
void analyze(Message& message);

[[noreturn]] void give_up(const std::string& where, const std::string& what);

}  // namespace klamm::schema
