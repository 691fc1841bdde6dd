#include "tools/options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/check.h"
#include "base/config.h"
#include "tools/output.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kNoValue = "";

// What Kafka had in earlier releases, and what to use now.
struct Removed {
  std::string_view name;
  std::string_view instead;
};
constexpr Removed kRemoved[] = {
    {"zookeeper", "--zookeeper was removed in Apache Kafka 4.0: use --bootstrap-server with the address of a broker"},
    {"zookeeper-connect",
     "--zookeeper-connect was removed in Apache Kafka 4.0: use --bootstrap-server with the address of a broker"},
    {"broker-list", "--broker-list was removed in Apache Kafka 4.0: use --bootstrap-server"},
    {"new-consumer", "--new-consumer was removed: there is no other consumer; leave it out"},
    {"whitelist", "--whitelist was removed in Apache Kafka 4.0: use --include"},
};

// Text in lines of at most `width`, each but the first with `indent` spaces before it.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string out;
  std::size_t column = indent;
  for (const std::string& paragraph : split(text, '\n')) {
    if (!out.empty()) {
      out.append("\n").append(indent, ' ');
      column = indent;
    }
    for (const std::string& word : split(paragraph, ' ')) {
      if (column > indent && column + 1 + word.size() > width) {
        out.append("\n").append(indent, ' ');
        column = indent;
      } else if (column > indent) {
        out += ' ';
        ++column;
      }
      out += word;
      column += word.size();
    }
  }
  return out;
}

}  // namespace

Options::Options(std::string tool, std::string about, Style style)
    : tool_(std::move(tool)), about_(std::move(about)), style_(style) {}

Options& Options::add(Kind kind, std::string names, std::string what, std::string help) {
  Option& option = options_.emplace_back();
  option.kind = kind;
  option.what = std::move(what);
  option.help = std::move(help);
  const std::size_t dashes = names.find("--");
  KLAMM_CHECK(dashes != std::string::npos, "an option needs a long name");
  option.name = names.substr(dashes + 2);
  option.names = std::move(names);
  return *this;
}

Options& Options::flag(std::string names, std::string help) {
  return add(Kind::flag, std::move(names), {}, std::move(help));
}
Options& Options::text(std::string names, std::string what, std::string help) {
  return add(Kind::text, std::move(names), std::move(what), std::move(help));
}
Options& Options::int32(std::string names, std::string what, std::string help) {
  return add(Kind::int32, std::move(names), std::move(what), std::move(help));
}
Options& Options::int64(std::string names, std::string what, std::string help) {
  return add(Kind::int64, std::move(names), std::move(what), std::move(help));
}
Options& Options::many(std::string names, std::string what, std::string help, bool greedy) {
  return add(greedy ? Kind::greedy : Kind::many, std::move(names), std::move(what), std::move(help));
}
Options& Options::maybe(std::string names, std::string what, std::string implied, std::string help) {
  add(Kind::maybe, std::move(names), std::move(what), std::move(help));
  options_.back().implied = std::move(implied);
  return *this;
}
Options& Options::words(std::string what, std::size_t most, std::string help) {
  words_what_ = std::move(what);
  words_help_ = std::move(help);
  most_words_ = most;
  return *this;
}
Options& Options::admin_client(bool required) {
  text("--bootstrap-server", "host:port,...", "The brokers to connect to first.");
  if (required) require("bootstrap-server");
  return text("--command-config", "file", "A properties file with settings of the admin client.");
}
Options& Options::admin_controllers() {
  return text("--bootstrap-controller", "host:port,...", "The controllers to connect to first, instead of brokers.");
}
Options& Options::require(std::string_view name) {
  for (Option& option : options_) {
    if (option.name == name) option.required = true;
  }
  return *this;
}
Options& Options::epilogue(std::string text) {
  epilogue_ = std::move(text);
  return *this;
}

const Options::Option& Options::find(std::string_view name) const {
  for (const Option& option : options_) {
    if (option.name == name) return option;
  }
  check_failed(__FILE__, __LINE__, "option not declared", std::string(name).c_str());
}

// Shortened names become whole ones; help, version, removed and unknown names are answered.
std::optional<int> Options::expand(Arguments& arguments) const {
  for (std::size_t index = 0; index < arguments.size(); ++index) {
    std::string& argument = arguments[index];
    if (argument == "--") break;
    if (argument == "-h") return print_help();
    if (!argument.starts_with("--")) continue;
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    std::vector<std::string_view> matches;
    const Option* match = nullptr;
    for (const Option& option : options_) {
      if (option.name == name) {
        matches = {option.name};
        match = &option;
        break;
      }
      if (option.name.starts_with(name)) {
        matches.push_back(option.name);
        match = &option;
      }
    }
    if (match == nullptr) {
      if (name == "help") return print_help();
      if (name == "version") {
        print("4.3.1 (klamm {})\n", KLAMM_VERSION);
        return 0;
      }
      for (const Removed& removed : kRemoved) {
        if (removed.name == name) return fail_text(removed.instead);
      }
      std::vector<std::string_view> names;
      names.reserve(options_.size());
      for (const Option& option : options_) names.push_back(option.name);
      if (const auto nearest = nearest_name(name, names)) {
        return usage_error(fmt::format("{} is not a recognized option: did you mean --{}?", name, *nearest));
      }
      return usage_error(name + " is not a recognized option");
    }
    if (matches.size() > 1)
      return usage_error(
          fmt::format("{} is not a recognized option: it could be any of --{}", name, joined(matches, ", --")));
    argument = "--" + match->name + (equals == std::string::npos ? "" : argument.substr(equals));
    const bool takes_value = match->kind != Kind::flag && match->kind != Kind::maybe;
    if (takes_value && equals == std::string::npos) ++index;  // whatever the value looks like
  }
  return std::nullopt;
}

std::optional<int> Options::parse(const Arguments& given) {
  Arguments arguments = given;
  if (const auto status = expand(arguments)) return status;
  CLI::App app;
  app.set_help_flag();
  std::vector<CLI::Option*> made;
  for (const Option& option : options_) {
    if (option.kind == Kind::flag) {
      made.push_back(app.add_flag(option.names));
      continue;
    }
    CLI::Option* one = app.add_option(option.names);
    one->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    if (option.kind == Kind::greedy) {
      one->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args();
    } else if (option.kind == Kind::maybe) {
      one->expected(0, 1)->default_str(std::string(kNoValue));
    } else {
      one->expected(1)->allow_extra_args(false);
    }
    made.push_back(one);
  }
  app.allow_extras();
  try {
    std::reverse(arguments.begin(), arguments.end());
    app.parse(arguments);
  } catch (const CLI::ArgumentMismatch& mismatch) {
    return usage_error(mismatch.what());
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what());
  }
  words_ = app.remaining();
  std::erase(words_, "--");
  for (const std::string& word : words_) {
    if (word.size() > 1 && word[0] == '-') return usage_error(word + " is not a recognized option");
  }
  if (words_.size() > most_words_) return usage_error(fmt::format("'{}' is not expected here", words_[most_words_]));
  for (std::size_t index = 0; index < options_.size(); ++index) {
    Option& option = options_[index];
    option.given = made[index]->count() > 0;
    if (!option.given || option.kind == Kind::flag) continue;
    option.values = made[index]->results();
    if (const auto status = check_value(option)) return status;
  }
  for (const Option& option : options_) {
    if (option.required && !option.given)
      return usage_error(fmt::format("Missing required argument \"[{}]\"", option.name));
  }
  return std::nullopt;
}

std::optional<int> Options::check_value(Option& option) const {
  if (option.kind == Kind::many || option.kind == Kind::greedy) return std::nullopt;
  if (option.values.size() > 1 && style_ == Style::joptsimple) {
    return usage_error(fmt::format("Found multiple arguments for option {}, but you asked for only one", option.name));
  }
  if (option.kind == Kind::maybe && option.values.back().empty()) option.values.back() = option.implied;
  if (option.kind != Kind::int32 && option.kind != Kind::int64) return std::nullopt;
  const std::string& text = option.values.back();
  const char* first = text.data();
  const char* end = first + text.size();
  if (first != end && *first == '+') ++first;
  const auto [rest, error] = std::from_chars(first, end, option.number);
  const bool narrow = option.kind == Kind::int32;
  const bool fits = !narrow || (option.number >= std::numeric_limits<std::int32_t>::min() &&
                                option.number <= std::numeric_limits<std::int32_t>::max());
  if (error != std::errc() || rest != end || !fits) {
    return usage_error(fmt::format("Cannot parse argument '{}' of option {}", text, option.name));
  }
  return std::nullopt;
}

bool Options::has(std::string_view name) const { return find(name).given; }

bool Options::declared(std::string_view name) const {
  return std::any_of(options_.begin(), options_.end(), [&](const Option& option) { return option.name == name; });
}

bool Options::takes_text(std::string_view name) const {
  return std::any_of(options_.begin(), options_.end(),
                     [&](const Option& option) { return option.name == name && option.kind == Kind::text; });
}

std::optional<std::string> Options::text_of(std::string_view name) const {
  const Option& option = find(name);
  if (!option.given) return std::nullopt;
  return option.values.back();
}

std::string Options::text_or(std::string_view name, std::string_view otherwise) const {
  const Option& option = find(name);
  return option.given ? option.values.back() : std::string(otherwise);
}

std::optional<std::int64_t> Options::number_of(std::string_view name) const {
  const Option& option = find(name);
  KLAMM_CHECK(option.kind == Kind::int32 || option.kind == Kind::int64, "not a number");
  if (!option.given) return std::nullopt;
  return option.number;
}

std::int64_t Options::number_or(std::string_view name, std::int64_t otherwise) const {
  return number_of(name).value_or(otherwise);
}

const std::vector<std::string>& Options::all_of(std::string_view name) const { return find(name).values; }

int Options::usage_error(std::string_view message) const {
  return fail_with("{}\n`klamm {} --help` lists the options.", message, tool_);
}

std::optional<int> Options::check_required(std::initializer_list<std::string_view> names) const {
  for (const std::string_view name : names) {
    if (!has(name)) return usage_error(fmt::format("Missing required argument \"[{}]\"", name));
  }
  return std::nullopt;
}

std::optional<int> Options::check_bootstrap() const {
  const bool server = has("bootstrap-server");
  const bool controller = has("bootstrap-controller");
  if (server != controller) return std::nullopt;
  return usage_error(server ? "--bootstrap-server and --bootstrap-controller cannot be given together"
                            : "one of --bootstrap-server and --bootstrap-controller is required");
}

std::optional<int> Options::check_exclusive(std::string_view name,
                                            std::initializer_list<std::string_view> others) const {
  if (!has(name)) return std::nullopt;
  for (const std::string_view other : others) {
    if (has(other)) return usage_error(fmt::format("Option \"[{}]\" can't be used with option \"[{}]\"", name, other));
  }
  return std::nullopt;
}

int Options::print_help() const {
  constexpr std::size_t kHelpColumn = 34;
  constexpr std::size_t kWidth = 110;
  std::string out = fmt::format("{}\n\nusage: klamm {}{}{} [option...]\n", about_, tool_,
                                words_what_.empty() ? "" : " ", words_what_);
  if (!words_help_.empty()) out += "\n" + wrapped(words_help_, 0, kWidth) + "\n";
  out += '\n';
  const auto line = [&](std::string left, std::string_view help) {
    if (left.size() + 2 > kHelpColumn) {
      left.append("\n").append(kHelpColumn, ' ');
    } else {
      left.append(kHelpColumn - left.size(), ' ');
    }
    out += left + wrapped(help, kHelpColumn, kWidth) + "\n";
  };
  for (const Option& option : options_) {
    std::string names = option.names;
    if (const std::size_t comma = names.find(','); comma != std::string::npos) names.insert(comma + 1, " ");
    std::string what = option.kind == Kind::flag ? "" : " <" + option.what + ">";
    if (option.kind == Kind::maybe) what = " [" + option.what + "]";
    if (option.kind == Kind::greedy) what += "...";
    std::string help = option.required ? "REQUIRED: " : "";
    help.append(option.help);
    line("  " + names + what, help);
  }
  line("  --help", "Print this.");
  line("  --version", "Print the version of Apache Kafka that this tool follows, and klamm's.");
  if (!epilogue_.empty()) out += "\n" + wrapped(epilogue_, 0, kWidth) + "\n";
  flush_output();
  std::FILE* to = style_ == Style::argparse ? stdout : stderr;
  fmt::print(to, "{}", out);
  std::fflush(to);
  return style_ == Style::argparse ? 0 : 1;
}

}  // namespace klamm::tools
