#include "base/properties.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/utf8.h"

namespace klamm {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\f'; }
bool is_line_end(char c) { return c == '\n' || c == '\r'; }

std::string latin1_to_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (const char c : text) append_utf8(out, static_cast<unsigned char>(c));
  return out;
}

// A logical line: comments and blank lines are skipped, continued lines joined without the next line's leading blanks.
// Escapes are still in it.
struct Line {
  std::string text;
  std::size_t number = 0;  // of its first natural line, from 1
};

class LineReader {
 public:
  explicit LineReader(std::string_view text) : text_(text) {}

  bool next(Line& line) {
    for (;;) {
      skip_blanks();
      if (at_ == text_.size()) return false;
      if (is_line_end(text_[at_])) {
        skip_line_end();
        continue;
      }
      if (text_[at_] == '#' || text_[at_] == '!') {
        while (at_ < text_.size() && !is_line_end(text_[at_])) ++at_;
        continue;
      }
      line.text.clear();
      line.number = number_;
      read_logical(line.text);
      return true;
    }
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }
  void skip_line_end() {
    const bool pair = text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n';
    at_ += pair ? 2 : 1;
    ++number_;
  }
  void read_logical(std::string& out) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (is_line_end(c)) {
        skip_line_end();
        return;
      }
      if (c != '\\') {
        out += c;
        ++at_;
        continue;
      }
      if (at_ + 1 == text_.size()) {  // a backslash at the very end joins nothing
        ++at_;
        return;
      }
      if (is_line_end(text_[at_ + 1])) {
        ++at_;
        skip_line_end();
        skip_blanks();
        continue;
      }
      out += c;
      out += text_[at_ + 1];
      at_ += 2;
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t number_ = 1;
};

std::optional<char32_t> hex4(std::string_view text, std::size_t at) {
  if (text.size() < 4 || at > text.size() - 4) return std::nullopt;
  char32_t value = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const char c = text[i];
    value <<= 4;
    if (c >= '0' && c <= '9')
      value |= static_cast<char32_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      value |= static_cast<char32_t>(c - 'a' + 10);
    else if (c >= 'A' && c <= 'F')
      value |= static_cast<char32_t>(c - 'A' + 10);
    else
      return std::nullopt;
  }
  return value;
}

// Resolves the escapes of one key or value.
Result<std::string> unescape(std::string_view text, std::size_t line_number) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '\\' || at + 1 == text.size()) {
      out += text[at++];
      continue;
    }
    const char c = text[at + 1];
    at += 2;
    if (c == 't')
      out += '\t';
    else if (c == 'n')
      out += '\n';
    else if (c == 'r')
      out += '\r';
    else if (c == 'f')
      out += '\f';
    else if (c != 'u')
      out += c;
    if (c != 'u') continue;

    const std::optional<char32_t> unit = hex4(text, at);
    if (!unit)
      return fail(Errc::malformed, "line " + std::to_string(line_number) + ": \\u needs four hexadecimal digits");
    at += 4;
    char32_t code = *unit;
    if (code >= 0xD800 && code <= 0xDBFF && text.substr(at, 2) == "\\u") {
      const std::optional<char32_t> low = hex4(text, at + 2);
      if (low && *low >= 0xDC00 && *low <= 0xDFFF) {
        code = 0x10000 + ((code - 0xD800) << 10) + (*low - 0xDC00);
        at += 6;
      }
    }
    append_utf8(out, code >= 0xD800 && code <= 0xDFFF ? kReplacementCharacter : code);
  }
  return out;
}

// Where the key ends and where the value begins in a logical line.
std::pair<std::size_t, std::size_t> split(std::string_view line) {
  std::size_t end = 0;
  while (end < line.size() && !is_blank(line[end]) && line[end] != '=' && line[end] != ':') {
    end += line[end] == '\\' && end + 1 < line.size() ? 2 : 1;
  }
  std::size_t value = end;
  while (value < line.size() && is_blank(line[value])) ++value;
  if (value < line.size() && (line[value] == '=' || line[value] == ':')) {
    ++value;
    while (value < line.size() && is_blank(line[value])) ++value;
  }
  return {end, value};
}

void append_unit(std::string& out, char32_t unit) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[(unit >> shift) & 0xF];
}

void append_code_point(std::string& out, char32_t code) {
  if (code >= 0x10000) {
    append_unit(out, 0xD800 + ((code - 0x10000) >> 10));
    append_unit(out, 0xDC00 + ((code - 0x10000) & 0x3FF));
  } else {
    append_unit(out, code);
  }
}

// Blanks are escaped everywhere in a key, and in front of a value: there a reader would take them off.
void append_escaped(std::string& out, std::string_view text, bool is_key) {
  for (std::size_t at = 0; at < text.size();) {
    const bool first = at == 0;
    bool valid = true;
    const char32_t code = next_code_point(text, at, valid);
    switch (code) {
      case ' ':
        if (is_key || first) out += '\\';
        out += ' ';
        break;
      case '\t': out += "\\t"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\f': out += "\\f"; break;
      case '\\':
      case '=':
      case ':':
      case '#':
      case '!':
        out += '\\';
        out += static_cast<char>(code);
        break;
      default:
        if (code < 0x20 || code > 0x7E)
          append_code_point(out, code);
        else
          out += static_cast<char>(code);
    }
  }
}

}  // namespace

Properties::Properties(std::vector<Entry> entries) {
  for (Entry& entry : entries) set(std::move(entry.key), std::move(entry.value));
}

Result<Properties> Properties::parse(std::string_view text) {
  std::string converted;
  if (!is_utf8(text)) {
    converted = latin1_to_utf8(text);
    text = converted;
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // editors on Windows leave a byte order mark

  Properties properties;
  LineReader reader(text);
  for (Line line; reader.next(line);) {
    const std::string_view logical = line.text;
    const auto [key_end, value_begin] = split(logical);
    Result<std::string> key = unescape(logical.substr(0, key_end), line.number);
    KLAMM_TRY(key);
    Result<std::string> value = unescape(logical.substr(value_begin), line.number);
    KLAMM_TRY(value);
    properties.set(*std::move(key), *std::move(value));
  }
  return properties;
}

std::optional<std::string_view> Properties::get(std::string_view key) const {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.key == key; });
  if (found == entries_.end()) return std::nullopt;
  return found->value;
}

void Properties::set(std::string key, std::string value) {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.key == key; });
  if (found != entries_.end())
    found->value = std::move(value);
  else
    entries_.push_back({std::move(key), std::move(value)});
}

ConfigMap Properties::to_map() const {
  ConfigMap map;
  for (const Entry& entry : entries_) map.emplace(entry.key, entry.value);
  return map;
}

std::string Properties::text(std::span<const std::string> comments) const {
  std::string out;
  for (const std::string& comment : comments) {
    out += '#';
    // A line end inside a comment would start an entry.
    for (const char c : comment) out += is_line_end(c) ? ' ' : c;
    out += '\n';
  }
  for (const Entry& entry : entries_) {
    append_escaped(out, entry.key, true);
    out += '=';
    append_escaped(out, entry.value, false);
    out += '\n';
  }
  return out;
}

}  // namespace klamm
