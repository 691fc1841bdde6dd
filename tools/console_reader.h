// Lines as records: what Apache Kafka's LineMessageReader makes of the console producer's input. Pure, but for
// LineInput.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "klamm/config.h"
#include "klamm/record.h"

namespace klamm::tools {

// The reader's properties (--reader-property), with Kafka's defaults.
class LineParser {
 public:
  // Fails with the sentence to print for a bad property.
  static Result<LineParser> create(const Config& properties);

  // What one line says. Views into the line and into this parser, valid until the next call.
  struct Parsed {
    NullableBytes key;
    NullableBytes value;
    std::span<const Header> headers;
  };
  // `line` without its end. Fails with Kafka's sentence, naming the line's number.
  Result<Parsed> parse(std::string_view line);

 private:
  LineParser() = default;
  NullableBytes nullable(std::string_view text) const;
  Result<void> parse_headers(std::string_view text);

  bool parse_key_ = false;
  bool parse_headers_ = false;
  bool ignore_error_ = false;
  std::string key_separator_ = "\t";
  std::string headers_delimiter_ = "\t";
  std::string headers_separator_ = ",";
  std::string headers_key_separator_ = ":";
  std::string null_marker_;
  bool has_null_marker_ = false;
  std::int64_t line_number_ = 0;
  std::vector<Header> headers_;
};

// Cuts a stream of bytes into lines as Java's BufferedReader does: "\n", "\r" and "\r\n" end a line, and so does the
// end of the input after at least one byte. Holds the bytes of at most one unfinished line besides the last chunk.
class LineCutter {
 public:
  // Takes more input. Only after next() has returned false.
  void append(std::string_view chunk);
  // No more input: what is left is the last line.
  void finish() { finished_ = true; }
  // The next whole line, valid until the next call of append(); false if there is none yet.
  bool next(std::string_view& line);

 private:
  std::string buffer_;
  std::size_t at_ = 0;        // of the first byte not given out
  std::size_t searched_ = 0;  // no line end before this
  bool finished_ = false;
  bool skip_newline_ = false;  // the last line ended by "\r": a "\n" that follows belongs to it
};

}  // namespace klamm::tools
