#include "protocol/schema/compiler/names.h"

#include <cctype>
#include <set>

namespace klamm::schema {
namespace {

bool upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }
char lowered(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

const std::set<std::string> kReserved = {"bool",   "class",    "default", "delete", "explicit", "namespace",
                                         "new",    "operator", "private", "public", "register", "static",
                                         "struct", "template", "this",    "union",  "using"};

}  // namespace

std::string snake_case(const std::string& name) {
  std::string words = name;
  if (const std::size_t at = words.find("KRaft"); at != std::string::npos) words.replace(at, 5, "Kraft");
  std::string snake;
  for (std::size_t index = 0; index < words.size(); ++index) {
    const bool next_lower = index + 1 < words.size() && !upper(words[index + 1]);
    if (index > 0 && upper(words[index]) && (!upper(words[index - 1]) || next_lower)) snake += '_';
    snake += lowered(words[index]);
  }
  return snake;
}

std::string member_name(const std::string& name) {
  const std::string snake = snake_case(name);
  return kReserved.count(snake) != 0 ? snake + "_" : snake;
}

std::string json_name(const std::string& name) { return lowered(name[0]) + name.substr(1); }

std::string api_name(const Message& message) {
  const std::string suffix = message.is_request() ? "Request" : "Response";
  return message.name.substr(0, message.name.size() - suffix.size());
}

std::string source_namespace(const std::string& source) {
  if (source == "clients") return "";
  const std::size_t suffix = source.find("-coordinator");
  return source.substr(0, suffix);
}

std::string full_namespace(const Message& message) {
  const std::string inner = source_namespace(message.source);
  return inner.empty() ? "klamm::protocol" : "klamm::protocol::" + inner;
}

std::string parts_namespace(const Message& message) { return snake_case(message.name) + "_parts"; }

std::string header_path(const Message& message) {
  const std::string inner = source_namespace(message.source);
  return "protocol/messages/" + (inner.empty() ? "" : inner + "/") + snake_case(message.name) + ".h";
}

}  // namespace klamm::schema
