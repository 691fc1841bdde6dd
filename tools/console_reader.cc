#include "tools/console_reader.h"

#include <algorithm>
#include <cstring>

#include "tools/output.h"

namespace klamm::tools {
Result<LineParser> LineParser::create(const Config& properties) {
  LineParser parser;
  const auto flag = [&](std::string_view name, bool& into) {
    if (const auto text = properties.get(name)) into = is_true(*text);
  };
  flag("parse.key", parser.parse_key_);
  flag("parse.headers", parser.parse_headers_);
  flag("ignore.error", parser.ignore_error_);
  if (const auto text = properties.get("key.separator")) parser.key_separator_ = *text;
  if (const auto text = properties.get("headers.delimiter")) parser.headers_delimiter_ = *text;
  if (const auto text = properties.get("headers.separator")) parser.headers_separator_ = *text;
  if (const auto text = properties.get("headers.key.separator")) parser.headers_key_separator_ = *text;
  if (const auto text = properties.get("null.marker")) {
    parser.null_marker_ = *text;
    parser.has_null_marker_ = true;
  }
  struct Name {
    std::string_view name;
    const std::string& value;
  };
  const Name delimiter{"headers.delimiter", parser.headers_delimiter_};
  const Name separator{"headers.separator", parser.headers_separator_};
  const Name key_separator{"headers.key.separator", parser.headers_key_separator_};
  const Name null_marker{"null.marker", parser.null_marker_};
  std::vector<std::pair<Name, Name>> differ = {
      {delimiter, separator}, {delimiter, key_separator}, {separator, key_separator}};
  if (parser.has_null_marker_) {
    differ.push_back({null_marker, {"key.separator", parser.key_separator_}});
    for (const Name& each : {separator, delimiter, key_separator}) differ.push_back({null_marker, each});
  }
  for (const auto& [left, right] : differ) {
    if (left.value == right.value) {
      return fail(Errc::invalid_argument,
                  std::string(left.name) + " and " + std::string(right.name) + " may not be equal");
    }
  }
  return parser;
}

NullableBytes LineParser::nullable(std::string_view text) const {
  if (has_null_marker_ && text == null_marker_) return nullptr;
  return text;
}

Result<LineParser::Parsed> LineParser::parse(std::string_view line) {
  ++line_number_;
  headers_.clear();
  Parsed parsed;
  std::string_view rest = line;
  // Cuts the part before `separator` off; false if the separator is not there, which may be an error.
  const auto cut = [&](const std::string& separator, std::string_view& part) {
    const std::size_t at = rest.find(separator);
    if (at == std::string_view::npos) return false;
    part = rest.substr(0, at);
    rest.remove_prefix(at + separator.size());
    return true;
  };
  const auto missing = [&](std::string_view what) {
    return fail(Errc::invalid_argument, "No " + std::string(what) + " found on line number " +
                                            std::to_string(line_number_) + ": '" + std::string(line) + "'");
  };
  std::string_view part;
  if (parse_headers_) {
    if (cut(headers_delimiter_, part)) {
      if (!has_null_marker_ || part != null_marker_) {
        Result<void> done = parse_headers(part);
        KLAMM_TRY(done);
      }
    } else if (!ignore_error_) {
      return missing("headers delimiter");
    }
  }
  if (parse_key_) {
    if (cut(key_separator_, part)) {
      parsed.key = nullable(part);
    } else if (!ignore_error_) {
      return missing("key separator");
    }
  }
  parsed.value = nullable(rest);
  parsed.headers = headers_;
  return parsed;
}

Result<void> LineParser::parse_headers(std::string_view text) {
  std::vector<std::string_view> pairs;
  for (;;) {
    const std::size_t end = text.find(headers_separator_);
    pairs.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + headers_separator_.size());
  }
  while (pairs.size() > 1 && pairs.back().empty()) pairs.pop_back();  // as Java's split()
  for (const std::string_view pair : pairs) {
    const std::size_t at = pair.find(headers_key_separator_);
    if (at == std::string_view::npos && !ignore_error_) {
      return fail(Errc::invalid_argument, "No header key separator found in pair '" + std::string(pair) +
                                              "' on line number " + std::to_string(line_number_));
    }
    const std::string_view key = pair.substr(0, at);
    if (has_null_marker_ && key == null_marker_) {
      return fail(Errc::invalid_argument,
                  "Header keys should not be equal to the null marker '" + null_marker_ + "' as they can't be null");
    }
    Header header{key, nullptr};
    if (at != std::string_view::npos) header.value = nullable(pair.substr(at + headers_key_separator_.size()));
    headers_.push_back(header);
  }
  return {};
}

void LineCutter::append(std::string_view chunk) {
  if (at_ > 0) {
    buffer_.erase(0, at_);
    searched_ -= at_;
    at_ = 0;
  }
  buffer_.append(chunk);
}

bool LineCutter::next(std::string_view& line) {
  if (skip_newline_ && at_ < buffer_.size()) {
    if (buffer_[at_] == '\n') ++at_;
    searched_ = std::max(searched_, at_);
    skip_newline_ = false;
  }
  const char* begin = buffer_.data();
  const char* from = begin + searched_;
  const std::size_t left = buffer_.size() - searched_;
  const auto* newline = static_cast<const char*>(std::memchr(from, '\n', left));
  const std::size_t before = newline != nullptr ? static_cast<std::size_t>(newline - from) : left;
  const auto* ret = static_cast<const char*>(std::memchr(from, '\r', before));
  const char* end = ret != nullptr ? ret : newline;
  if (end == nullptr) {
    searched_ = buffer_.size();
    if (!finished_ || at_ == buffer_.size()) return false;
    line = std::string_view(buffer_).substr(at_);
    at_ = buffer_.size();
    return true;
  }
  const auto stop = static_cast<std::size_t>(end - begin);
  line = std::string_view(buffer_).substr(at_, stop - at_);
  at_ = searched_ = stop + 1;
  skip_newline_ = *end == '\r';
  return true;
}

}  // namespace klamm::tools
