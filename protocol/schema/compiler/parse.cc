#include "protocol/schema/compiler/parse.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "protocol/schema/compiler/names.h"

namespace klamm::schema {
namespace {

const std::map<std::string, Kind> kKinds = {
    {"bool", Kind::boolean}, {"int8", Kind::int8},     {"int16", Kind::int16}, {"uint16", Kind::uint16},
    {"int32", Kind::int32},  {"uint32", Kind::uint32}, {"int64", Kind::int64}, {"float64", Kind::float64},
    {"uuid", Kind::uuid},    {"string", Kind::string}, {"bytes", Kind::bytes}, {"records", Kind::records},
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

// "attribute=value" as its two halves; the second is empty without '='.
std::pair<std::string, std::string> halves(const std::string& token) {
  const std::size_t equals = token.find('=');
  if (equals == std::string::npos) return {token, ""};
  return {token.substr(0, equals), token.substr(equals + 1)};
}

class TableParser {
 public:
  TableParser(const std::string& path, Schema& schema) : path_(path), schema_(schema) {}

  void run() {
    std::ifstream file(path_);
    if (!file) give_up(path_, "cannot be read");
    for (std::string line; std::getline(file, line);) {
      ++line_number_;
      if (!line.empty() && line[0] != '#') take(split(line, ' '));
    }
  }

 private:
  [[noreturn]] void fault(const std::string& what) const { give_up(path_ + ":" + std::to_string(line_number_), what); }

  void take(const std::vector<std::string>& tokens) {
    if (tokens[0] == "message") {
      begin_message(tokens);
    } else if (tokens[0] == "struct") {
      message_.structs.push_back({.name = tokens.at(1)});
      open_ = {tokens.at(1)};
    } else if (tokens[0] == "end") {
      end_message();
    } else if (tokens[0].find_first_not_of('.') == std::string::npos) {
      add_field(tokens);
    } else {
      fault("unknown line");
    }
  }

  void begin_message(const std::vector<std::string>& tokens) {
    message_ = {};
    message_.name = tokens.at(1);
    message_.kind = tokens.at(2);
    message_.root.name = message_.name;
    for (std::size_t index = 3; index < tokens.size(); ++index) {
      const auto [attribute, value] = halves(tokens[index]);
      if (attribute == "key") {
        message_.key = std::stoi(value);
      } else if (attribute == "valid") {
        message_.valid = range(value);
      } else if (attribute == "flex") {
        message_.flexible = range(value);
      } else if (attribute == "listeners") {
        message_.listeners = split(value, ',');
      } else if (attribute == "unstable") {
        message_.latest_unstable = true;
      } else if (attribute == "src") {
        message_.source = value;
      } else {
        fault("unknown attribute " + attribute);
      }
    }
    open_ = {message_.name};
  }

  void end_message() {
    if (message_.is_request()) schema_.api_names[message_.key.value()] = api_name(message_);
    if (message_.valid.empty()) return;
    analyze(message_);
    schema_.messages.push_back(message_);
  }

  void add_field(const std::vector<std::string>& tokens) {
    const std::size_t depth = tokens[0].size();
    if (tokens.size() < 4 || depth > open_.size()) fault("a field line that does not fit");
    open_.resize(depth);
    Field field;
    field.name = tokens[1];
    field.member = member_name(field.name);
    set_type(field, tokens[2]);
    field.versions = tokens[3] == "-" ? Range{} : range(tokens[3]);
    for (std::size_t index = 4; index < tokens.size(); ++index) set_attribute(field, tokens[index]);
    if (tokens[3] == "-") field.versions = field.tagged;
    struct_named(open_.back()).fields.push_back(field);
    // A struct type may be described by the lines that follow, one level deeper.
    open_.push_back(field.kind == Kind::structure ? field.struct_name : "");
  }

  void set_type(Field& field, std::string type) {
    if (type.rfind("[]", 0) == 0) {
      field.is_array = true;
      type = type.substr(2);
    }
    const auto kind = kKinds.find(type);
    field.kind = kind == kKinds.end() ? Kind::structure : kind->second;
    if (field.kind == Kind::structure) field.struct_name = type;
  }

  void set_attribute(Field& field, const std::string& token) {
    const auto [attribute, value] = halves(token);
    if (attribute == "tagged") {
      field.tagged = range(value);
    } else if (attribute == "tag") {
      field.tag = std::stoi(value);
    } else if (attribute == "null") {
      field.nullable = range(value);
    } else if (attribute == "default" && value != "~") {
      field.default_text = value == "\"\"" ? "" : value;
    } else if (attribute == "flex") {
      field.flexible = range(value);
    } else if (attribute == "ignorable") {
      field.ignorable = true;
    }
  }

  Struct& struct_named(const std::string& name) {
    if (name == message_.name) return message_.root;
    for (Struct& candidate : message_.structs) {
      if (candidate.name == name) return candidate;
    }
    if (name.empty()) fault("a member of something that is no struct");
    message_.structs.push_back({.name = name});
    return message_.structs.back();
  }

  Range range(const std::string& text) const {
    if (text == "none") return {};
    const std::size_t dash = text.find('-');
    const int low = std::stoi(text);
    if (text.back() == '+') return {low, kNoLimit};
    return {low, dash == std::string::npos ? low : std::stoi(text.substr(dash + 1))};
  }

  std::string path_;
  Schema& schema_;
  int line_number_ = 0;
  Message message_;
  std::vector<std::string> open_;  // the struct at each level, outermost first
};

}  // namespace

void give_up(const std::string& where, const std::string& what) {
  std::cerr << where << ": " << what << "\n";
  std::exit(1);
}

void parse_tables(const std::string& path, Schema& schema) { TableParser(path, schema).run(); }

void parse_traits(const std::string& path, Schema& schema) {
  std::ifstream file(path);
  if (!file) give_up(path, "cannot be read");
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> tokens = split(line, ' ');
    schema.api_traits[tokens[0]].insert(tokens.begin() + 1, tokens.end());
  }
}

}  // namespace klamm::schema
