// A tool's command line, declared and read as Apache Kafka's tools have it: `--name value` or `--name=value`, names
// shortened as long as they are unique. Wraps CLI11, whose header stays out of the tools.
//
//   Options options("topics", "Create, list, describe, change and delete topics.");
//   options.flag("--list", "List all topics.").text("--topic", "name", "The topic.");
//   if (const auto status = options.parse(arguments)) return *status;
//   if (options.has("list")) ...
//
// parse() has answered already when it returns a status: help, version, or an error with its line on standard error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/tool.h"

namespace klamm::tools {

class Options {
 public:
  // How Kafka's tool reads its command line. Both know long names; argparse: exit status 0 for --help, the last of
  // several values counts. joptsimple: --help is exit status 1, two values for one option are an error.
  enum class Style { joptsimple, argparse };

  Options(std::string tool, std::string about, Style style = Style::joptsimple);

  // `names`: "--topic", or "-t,--cluster-id". `what` names the value in the help.
  Options& flag(std::string names, std::string help);
  Options& text(std::string names, std::string what, std::string help);
  // A number that fits 32, or 64 bits.
  Options& int32(std::string names, std::string what, std::string help);
  Options& int64(std::string names, std::string what, std::string help);
  // May be given several times; after one name there may be several values if `greedy`.
  Options& many(std::string names, std::string what, std::string help, bool greedy = false);
  // The value may be left out; then it is `implied`.
  Options& maybe(std::string names, std::string what, std::string implied, std::string help);
  // Words without a name, up to `most` of them.
  Options& words(std::string what, std::size_t most, std::string help);
  // --bootstrap-server (required, unless told otherwise) and --command-config.
  Options& admin_client(bool required = true);
  // --bootstrap-controller, for a tool that may ask the controllers themselves (KIP-919).
  Options& admin_controllers();
  // Must be given. By its name without dashes.
  Options& require(std::string_view name);
  // Lines at the end of the help.
  Options& epilogue(std::string text);

  // Reads the command line. A value: the exit status, the tool has nothing more to do.
  std::optional<int> parse(const Arguments& arguments);

  // Of the options by their long names without dashes; naming one that was not declared is a bug of the tool.
  bool has(std::string_view name) const;
  bool declared(std::string_view name) const;
  // It takes one value.
  bool takes_text(std::string_view name) const;
  std::optional<std::string> text_of(std::string_view name) const;
  std::string text_or(std::string_view name, std::string_view otherwise) const;
  std::optional<std::int64_t> number_of(std::string_view name) const;
  std::int64_t number_or(std::string_view name, std::int64_t otherwise) const;
  const std::vector<std::string>& all_of(std::string_view name) const;
  const std::vector<std::string>& words() const noexcept { return words_; }

  // Prints the message and where to find help; returns 1.
  int usage_error(std::string_view message) const;
  // `Missing required argument "[topic]"` if any of them is not there.
  std::optional<int> check_required(std::initializer_list<std::string_view> names) const;
  // Exactly one of --bootstrap-server and --bootstrap-controller must be there.
  std::optional<int> check_bootstrap() const;
  // `Option "[a]" can't be used with option "[b]"` if `name` and any of the others are there.
  std::optional<int> check_exclusive(std::string_view name, std::initializer_list<std::string_view> others) const;

 private:
  enum class Kind { flag, text, int32, int64, many, greedy, maybe };
  struct Option {
    Kind kind;
    std::string names;
    std::string name;  // the long one, without dashes
    std::string what;
    std::string help;
    std::string implied;
    bool required = false;
    bool given = false;
    std::vector<std::string> values;
    std::int64_t number = 0;
  };

  Options& add(Kind kind, std::string names, std::string what, std::string help);
  const Option& find(std::string_view name) const;
  std::optional<int> expand(Arguments& arguments) const;
  std::optional<int> check_value(Option& option) const;
  int print_help() const;

  std::string tool_;
  std::string about_;
  Style style_;
  std::vector<Option> options_;
  std::string words_what_;
  std::string words_help_;
  std::size_t most_words_ = 0;
  std::vector<std::string> words_;
  std::string epilogue_;
};

}  // namespace klamm::tools
