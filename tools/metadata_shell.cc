#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iostream>

#include "tools/metadata_tree.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

struct Command {
  std::string_view name;
  std::string_view about;
  std::string_view arguments;
  std::size_t least;
  std::size_t most;
  bool interactive;  // only there
};
constexpr std::size_t kMany = 1000;
constexpr Command kCommands[] = {
    {"cat", "Show the contents of metadata files.", "targets [targets ...]", 1, kMany, false},
    {"cd", "Set the current working directory.", "[target]", 0, 1, true},
    {"exit", "Exit the metadata shell.", "", 0, 0, true},
    {"find", "Search for nodes in the directory hierarchy.", "[paths [paths ...]]", 0, kMany, false},
    {"help", "Display this help message.", "", 0, 0, true},
    {"history", "Print command history.", "[numEntriesToShow]", 0, 1, true},
    {"ls", "List metadata nodes.", "[targets [targets ...]]", 0, kMany, false},
    {"man", "Show the help text for a specific command.", "cmd", 1, 1, true},
    {"pwd", "Print the current working directory.", "", 0, 0, true},
    {"tree", "Show the contents of metadata nodes in a tree structure.", "targets [targets ...]", 1, kMany, false},
};

using Words = std::vector<std::string>;

// Words parted by spaces; quotes and a backslash keep what is theirs together.
Words words_of(std::string_view line) {
  Words words;
  std::string word;
  bool some = false;
  char quote = 0;
  for (std::size_t at = 0; at < line.size(); ++at) {
    const char sign = line[at];
    if (sign == '\\' && quote != '\'' && at + 1 < line.size()) {
      word += line[++at];
      some = true;
    } else if (quote != 0) {
      if (sign == quote) {
        quote = 0;
      } else {
        word += sign;
      }
    } else if (sign == '"' || sign == '\'') {
      quote = sign;
      some = true;
    } else if (sign == ' ' || sign == '\t' || sign == '\r') {
      if (some) words.push_back(std::exchange(word, {}));
      some = false;
    } else {
      word += sign;
      some = true;
    }
  }
  if (some) words.push_back(std::move(word));
  return words;
}

class Shell {
 public:
  Shell(MetadataNode root, bool interactive) : root_(std::move(root)), interactive_(interactive) {}
  // False once it is to end.
  bool run(const Words& words);
  void loop();

 private:
  // The nodes of each word, or of "." if there is none; `missing` is said of what is not there.
  template <typename Take>
  void each(std::string_view command, const Words& words, std::string_view missing, Take take);
  void list(const Words& targets);
  void print_entries(std::string_view intro, const Words& names) const;
  void tree(const MetadataNode& node, std::size_t depth) const;
  void find(const FoundNode& from) const;
  void change_folder(const Words& words);
  void help() const;
  void manual(const std::string& name) const;
  void history(const Words& words) const;

  MetadataNode root_;
  bool interactive_;
  Words folder_;
  Words history_;
};

template <typename Take>
void Shell::each(std::string_view command, const Words& words, std::string_view missing, Take take) {
  for (const std::string& word : words.empty() ? Words{"."} : words) {
    Result<std::vector<FoundNode>> found = find_nodes(root_, folder_, word);
    if (!found) {
      print("{}\n", found.error().context());
      continue;
    }
    if (found->empty()) print("{}: {}: {}\n", command, word, missing);
    for (const FoundNode& one : *found) take(one);
  }
}

void Shell::print_entries(std::string_view intro, const Words& names) const {
  if (names.empty()) return;
  if (!intro.empty()) print("{}\n", intro);
  winsize size{};
  const bool terminal = interactive_ && ::isatty(STDOUT_FILENO) != 0 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
  std::size_t width = 0;
  for (const std::string& name : names) width = std::max(width, name.size() + 2);
  const std::size_t columns = terminal ? std::max<std::size_t>(1, size.ws_col / width) : 1;
  const std::size_t rows = (names.size() + columns - 1) / columns;
  for (std::size_t row = 0; row < rows; ++row) {
    std::string line;
    for (std::size_t at = row; at < names.size(); at += rows) {
      line += names[at];
      if (at + rows < names.size()) line.append(width - names[at].size(), ' ');
    }
    print("{}\n", line);
  }
}

void Shell::list(const Words& targets) {
  Words files;
  std::vector<std::pair<std::string, Words>> folders;
  each("ls", targets, "no such file or directory.", [&](const FoundNode& found) {
    if (!found.node->directory) return files.push_back(found.name);
    Words names;
    for (const auto& [name, node] : found.node->children) names.push_back(name);
    // The last part of its path, as Kafka's shell heads a list.
    folders.emplace_back(found.name.substr(found.name.rfind('/') + 1), std::move(names));
  });
  print_entries("", files);
  bool first = files.empty();
  for (const auto& [name, names] : folders) {
    std::string intro;
    if (files.size() + folders.size() > 1) {
      if (!first) intro += '\n';
      intro += name + ":";
      first = false;
    }
    print_entries(intro, names);
  }
}

void Shell::tree(const MetadataNode& node, std::size_t depth) const {
  const std::string indent(2 * depth, ' ');
  if (!node.directory) {
    print("{}{}\n", indent, node.text);
    return;
  }
  for (const auto& [name, child] : node.children) {
    print("{}{}:\n", indent, name);
    tree(child, depth + 1);
  }
}

void Shell::find(const FoundNode& from) const {
  print("{}\n", from.name.empty() ? "." : from.name);
  const std::string prefix = from.name.empty() || from.name == "/" ? from.name : from.name + "/";
  for (const auto& [name, child] : from.node->children) find({prefix + name, &child});
}

void Shell::change_folder(const Words& words) {
  const std::string word = words.empty() ? "/" : words.front();
  Result<std::vector<FoundNode>> found = find_nodes(root_, folder_, word);
  if (!found) {
    print("{}\n", found.error().context());
  } else if (found->empty()) {
    print("cd: {}: no such directory.\n", word);
  } else if (!found->front().node->directory) {
    print("cd: {}: not a directory.\n", word);
  } else {
    const std::string& name = found->front().name;
    folder_ = resolve_path(folder_, name.empty() ? "." : name);
  }
}

void Shell::help() const {
  Words names;
  for (const Command& command : kCommands) names.emplace_back(command.name);
  const std::string all = "{" + joined(names, ",") + "}";
  print("Welcome to klamm's metadata shell.\n\nusage:  {} ...\n\npositional arguments:\n  {}\n", all, all);
  for (const Command& command : kCommands) print("    {:<21}{}\n", command.name, command.about);
}

void Shell::manual(const std::string& name) const {
  for (const Command& command : kCommands) {
    if (command.name != name) continue;
    print("{}: {}\n\nusage: {} {}\n", name, command.about, name, command.arguments);
    return;
  }
  print("man: unknown command {}. Type help to get a list of commands.\n", name);
}

void Shell::history(const Words& words) const {
  std::size_t count = history_.size();
  if (!words.empty()) {
    const std::string& text = words.front();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc() || end != text.data() + text.size()) {
      print("argument numEntriesToShow: could not convert '{}' to Integer\n", text);
      return;
    }
  }
  for (std::size_t at = history_.size() - std::min(count, history_.size()); at < history_.size(); ++at)
    print("{:5}  {}\n", at + 1, history_[at]);
}

bool Shell::run(const Words& words) {
  if (words.empty()) return true;
  const std::string& name = words.front();
  const auto same = [&](const Command& one) { return one.name == name && (interactive_ || !one.interactive); };
  const Command* command = std::find_if(std::begin(kCommands), std::end(kCommands), same);
  if (command == std::end(kCommands)) {
    Words choices;
    for (const Command& one : kCommands) {
      if (interactive_ || !one.interactive) choices.push_back(fmt::format("'{}'", one.name));
    }
    print("invalid choice: '{}' (choose from {})\n", name, joined(choices, ", "));
    return true;
  }
  const Words rest(words.begin() + 1, words.end());
  const auto dash =
      std::find_if(rest.begin(), rest.end(), [](const std::string& word) { return word.size() > 1 && word[0] == '-'; });
  if (dash != rest.end() || rest.size() > command->most) {
    print("unrecognized arguments: '{}'\n", dash != rest.end() ? *dash : rest[command->most]);
  } else if (rest.size() < command->least) {
    print("too few arguments\n");
  } else if (name == "exit") {
    return false;
  } else if (name == "ls") {
    list(rest);
  } else if (name == "cat") {
    each(name, rest, "No such file or directory.", [&](const FoundNode& found) {
      if (found.node->directory) {
        print("cat: {}: Is a directory\n", found.name.empty() ? "." : found.name);
      } else {
        print("{}\n", found.node->text);
      }
    });
  } else if (name == "tree") {
    each(name, rest, "No such file or directory.", [&](const FoundNode& found) { tree(*found.node, 0); });
  } else if (name == "find") {
    each(name, rest, "no such file or directory.", [&](const FoundNode& found) { find(found); });
  } else if (name == "cd") {
    change_folder(rest);
  } else if (name == "pwd") {
    print("/{}\n", joined(folder_, "/"));
  } else if (name == "help") {
    help();
  } else if (name == "man") {
    manual(rest.front());
  } else {
    history(rest);
  }
  return true;
}

void Shell::loop() {
  print("[ klamm Metadata Shell ]\n");
  std::string line;
  for (;;) {
    print(">> ");
    flush_output();
    if (!std::getline(std::cin, line)) return;
    Words words = words_of(line);
    if (!words.empty()) history_.push_back(line);
    if (!run(words)) return;
  }
}

Options declare() {
  Options options("metadata-shell", "Shows what a snapshot or segment of the metadata log holds, as a tree of names.",
                  Options::Style::argparse);
  options.words("command", kMany,
                "cat, find, ls or tree, with names, which may have *, ? and {a,b}. Without a command: reads commands "
                "from standard input; `help` lists them.");
  options.text("-s,--snapshot", "file",
               "A .checkpoint or .log file of __cluster_metadata-0. A running node's may be read as well.");
  options.require("snapshot");
  return options;
}

}  // namespace

int run_metadata_shell(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  Result<metadata::ImageRef> image = load_metadata(*options.text_of("snapshot"));
  if (!image) return fail_error(image.error());
  const bool interactive = options.words().empty();
  Shell shell(metadata_tree(**image), interactive);
  if (interactive) {
    shell.loop();
  } else {
    shell.run(options.words());
  }
  return 0;
}

}  // namespace klamm::tools
