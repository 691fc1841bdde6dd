#include "tools/console_reader.h"

#include <doctest/doctest.h>

#include <vector>

namespace klamm::tools {
namespace {

std::vector<std::string> cut(const std::vector<std::string>& chunks) {
  LineCutter cutter;
  std::vector<std::string> lines;
  std::string_view line;
  for (const std::string& chunk : chunks) {
    cutter.append(chunk);
    while (cutter.next(line)) lines.emplace_back(line);
  }
  cutter.finish();
  while (cutter.next(line)) lines.emplace_back(line);
  return lines;
}

LineParser parser(std::initializer_list<std::pair<std::string_view, std::string_view>> properties) {
  Result<LineParser> made = LineParser::create(Config(properties));
  REQUIRE(made);
  return std::move(*made);
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("lines end by newline, carriage return, or both, however the input is cut into chunks") {
  const std::string input = "a\nb\rc\r\n\r\n\nlast";
  const Lines wanted = {"a", "b", "c", "", "", "last"};
  CHECK(cut({input}) == wanted);
  for (std::size_t split = 0; split <= input.size(); ++split) {
    CAPTURE(split);
    CHECK(cut({input.substr(0, split), input.substr(split)}) == wanted);
  }
  Lines bytes;
  for (const char byte : input) bytes.emplace_back(1, byte);
  CHECK(cut(bytes) == wanted);
}

TEST_CASE("an input that ends by a newline has no empty last line, and an empty input no line") {
  CHECK(cut({"a\n"}) == Lines{"a"});
  CHECK(cut({"a\r"}) == Lines{"a"});
  CHECK(cut({"\n"}) == Lines{""});
  CHECK(cut({}).empty());
}

TEST_CASE("a line without properties is the value, with null key") {
  LineParser plain = parser({});
  Result<LineParser::Parsed> parsed = plain.parse("k\tv");
  REQUIRE(parsed);
  CHECK(parsed->key.is_null());
  CHECK(parsed->value.text() == "k\tv");
  CHECK(parsed->headers.empty());
}

TEST_CASE("headers, key and value are cut in this order") {
  LineParser all = parser({{"parse.key", "TRUE"}, {"parse.headers", " true "}, {"key.separator", "|"}});
  Result<LineParser::Parsed> parsed = all.parse("a:1,b:zwei,c:\tk|v|w");
  REQUIRE(parsed);
  CHECK(parsed->key.text() == "k");
  CHECK(parsed->value.text() == "v|w");
  REQUIRE(parsed->headers.size() == 3);
  CHECK(parsed->headers[0].key == "a");
  CHECK(parsed->headers[1].value.text() == "zwei");
  CHECK_FALSE(parsed->headers[2].value.is_null());
  CHECK(parsed->headers[2].value.size() == 0);
}

TEST_CASE("a missing separator is an error that names the line, unless errors are ignored") {
  LineParser strict = parser({{"parse.key", "true"}, {"key.separator", "|"}});
  REQUIRE(strict.parse("k|v"));
  Result<LineParser::Parsed> parsed = strict.parse("nosep");
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().context() == "No key separator found on line number 2: 'nosep'");

  LineParser lenient = parser({{"parse.key", "true"}, {"parse.headers", "true"}, {"ignore.error", "true"}});
  parsed = lenient.parse("nosep");
  REQUIRE(parsed);
  CHECK(parsed->key.is_null());
  CHECK(parsed->value.text() == "nosep");

  LineParser headers = parser({{"parse.headers", "true"}});
  parsed = headers.parse("nohdr");
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().context() == "No headers delimiter found on line number 1: 'nohdr'");
  parsed = headers.parse("bad\tv");
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().context() == "No header key separator found in pair 'bad' on line number 2");
}

TEST_CASE("the null marker stands for null in keys, values and headers, but not in header keys") {
  LineParser marked = parser({{"parse.key", "true"}, {"parse.headers", "true"}, {"null.marker", "NULL"}});
  Result<LineParser::Parsed> parsed = marked.parse("NULL\tNULL\tNULL");
  REQUIRE(parsed);
  CHECK(parsed->headers.empty());
  CHECK(parsed->key.is_null());
  CHECK(parsed->value.is_null());
  parsed = marked.parse("h:NULL\tk\t");
  REQUIRE(parsed);
  CHECK(parsed->headers[0].value.is_null());
  CHECK_FALSE(parsed->value.is_null());
  CHECK_FALSE(marked.parse("NULL:x\tk\tv"));
}

TEST_CASE("separators that cannot be told apart are refused") {
  const auto refused = [](std::initializer_list<std::pair<std::string_view, std::string_view>> properties) {
    Result<LineParser> made = LineParser::create(Config(properties));
    return made ? std::string() : made.error().context();
  };
  CHECK(refused({{"headers.separator", ":"}}) == "headers.separator and headers.key.separator may not be equal");
  CHECK(refused({{"headers.delimiter", ","}}) == "headers.delimiter and headers.separator may not be equal");
  CHECK(refused({{"null.marker", "\t"}}) == "null.marker and key.separator may not be equal");
}

}  // namespace klamm::tools
