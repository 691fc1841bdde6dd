#include "tools/output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/text.h"
#include "protocol/error.h"

namespace klamm::tools {
namespace {

// Standard output, buffered in large pieces; a tool is single threaded where it prints.
struct Output {
  std::string buffer;
  bool broken = false;
  bool unread = false;  // whoever reads it has gone: `| head`
};
Output& output() {
  static Output one;
  return one;
}
constexpr std::size_t kFlushBytes = 256 << 10;

}  // namespace

void print_version() {
  print("klamm {} (Apache Kafka 4.3.1)\n", KLAMM_VERSION);
  flush_output();
}

int fail_text(std::string_view message) {
  flush_output();
  fmt::print(stderr, "{}\n", message);
  return 1;
}

int fail_error(const Error& error) { return fail_text(message_of(error)); }

std::string message_of(const Error& error) {
  const std::string_view context = error.context();
  const auto has = [&](std::string_view words) { return context.find(words) != std::string_view::npos; };
  const bool says_time = has(" in time") || has(" ms ") || has(" ms: ") || context.ends_with(" ms");
  const bool says_all = (error == Errc::timed_out && says_time) || error == Errc::invalid_argument;
  return says_all && !context.empty() ? error.context() : error.message();
}

std::string reason_of(const Error& error) {
  const bool whole_sentence = error.code().category() == protocol::kafka_category() ||
                              error == Errc::invalid_argument || error == Errc::unsupported ||
                              error == Errc::already_exists;
  return whole_sentence && !error.context().empty() ? error.context() : message_of(error);
}

std::string reason_of(const Error& error, std::string_view subject) {
  const std::string_view context = error.context();
  if (error.code().category() != protocol::kafka_category() || !context.starts_with(subject)) return reason_of(error);
  const std::string_view rest = context.substr(subject.size());
  if (rest.starts_with(": ")) return std::string(rest.substr(2));
  return std::string(rest.empty() ? protocol::default_message(protocol::code_of(error)) : context);
}

std::string exception_of(const Error& error) {
  // Names that are not those of the code in another case.
  using protocol::ErrorCode;
  const ErrorCode code = protocol::code_of(error);
  switch (code) {
    case ErrorCode::topic_already_exists: return "TopicExistsException";
    case ErrorCode::invalid_topic_exception: return "InvalidTopicException";
    case ErrorCode::invalid_config: return "InvalidConfigurationException";
    case ErrorCode::request_timed_out: return "TimeoutException";
    case ErrorCode::message_too_large: return "RecordTooLargeException";
    case ErrorCode::unknown_topic_id: return "UnknownTopicIdException";
    case ErrorCode::group_id_not_found: return "GroupIdNotFoundException";
    default: break;
  }
  std::string text;
  bool upper = true;
  for (const char letter : protocol::name(code)) {
    if (letter == '_') {
      upper = true;
      continue;
    }
    text += upper ? letter : lower_case(letter);
    upper = false;
  }
  return text + "Exception";
}

bool print_text(std::string_view text) {
  Output& out = output();
  out.buffer.append(text);
  if (out.buffer.size() >= kFlushBytes) return flush_output();
  return !out.broken;
}

std::string& output_buffer() { return output().buffer; }

bool flush_output() {
  Output& out = output();
  const char* at = out.buffer.data();
  std::size_t left = out.buffer.size();
  while (left > 0 && !out.broken) {
    const ssize_t written = ::write(STDOUT_FILENO, at, left);
    if (written < 0) {
      if (errno == EINTR) continue;
      out.broken = true;
      out.unread = errno == EPIPE;
      break;
    }
    at += written;
    left -= static_cast<std::size_t>(written);
  }
  out.buffer.clear();
  return !out.broken;
}

void forgive_output() {
  output().broken = false;
  output().buffer.clear();
}

int finish_output(int status) {
  if (flush_output() || output().unread || status != 0) return status;
  return fail_text("standard output could not be written");
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    if (widths.size() < row.size()) widths.resize(row.size());
    for (std::size_t column = 0; column < row.size(); ++column)
      widths[column] = std::max(widths[column], row[column].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      text += row[column];
      text.append(widths[column] - row[column].size(), ' ');
      text += '\t';
    }
    text += '\n';
  }
  return text;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool is_true(std::string_view text) { return equal_ignoring_case(trimmed(text), "true"); }

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace klamm::tools
