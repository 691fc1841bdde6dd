// What tools print: results to standard output, faults to standard error as one line, tables as Kafka's tools print
// them.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace klamm::tools {

// "klamm 0.1.0 (Apache Kafka 4.3.1)"
void print_version();

// Prints the message as a line on standard error; returns 1, the exit status of a tool that failed.
int fail_text(std::string_view message);
template <typename... Args>
int fail_with(fmt::format_string<Args...> format, Args&&... args) {
  return fail_text(fmt::vformat(format, fmt::make_format_args(args...)));
}
int fail_error(const Error& error);
// What went wrong, said once: "timed out" is left out where the context tells the time that it took, "invalid value"
// where the context tells what the value must be.
std::string message_of(const Error& error);

// What the broker said of it, where it said something; else what went wrong in klamm's words.
std::string reason_of(const Error& error);
// The same without what the admin client put before it: which topic, partition or resource (`subject`) it was about.
// The code's own sentence where the broker said nothing.
std::string reason_of(const Error& error, std::string_view subject);
// The class of Apache Kafka's Java client that carries this error, without package: "TopicExistsException".
std::string exception_of(const Error& error);

// Appends "\n" terminated text to standard output; buffered. False once standard output cannot be written (closed
// pipe).
bool print_text(std::string_view text);
template <typename... Args>
bool print(fmt::format_string<Args...> format, Args&&... args) {
  return print_text(fmt::vformat(format, fmt::make_format_args(args...)));
}
// The buffer of standard output, for tools that format much: append, and call flush_output() now and then.
std::string& output_buffer();
// Writes out what is buffered. False if it could not be written.
bool flush_output();
// Forgets that standard output could not be written: the tool has told it.
void forgive_output();
// At the end of a tool: flushes, and turns success into failure if that did not work. Not where the reader of a pipe
// has seen enough: that is no fault, and Kafka's tools end with 0 as well.
int finish_output(int status);

// Columns padded with spaces to their widest cell, a tab after each; the first row is the heading. As Kafka's
// ToolsUtils.prettyPrintTable prints.
std::string table(const std::vector<std::vector<std::string>>& rows);

// "a,b,c"
template <typename Range>
std::string joined(const Range& range, std::string_view separator) {
  std::string text;
  bool first = true;
  for (const auto& element : range) {
    if (!first) text.append(separator);
    first = false;
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(element)>>) {
      text += std::to_string(element);
    } else {
      text += element;
    }
  }
  return text;
}
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trimmed(std::string_view text);
// Java's Boolean.parseBoolean of the trimmed text: "true" in any case.
bool is_true(std::string_view text);

}  // namespace klamm::tools
