#include "base/properties.h"

#include <doctest/doctest.h>

#include <string>

namespace klamm {
namespace {

std::string value(std::string_view text, std::string_view key) {
  const Result<Properties> properties = Properties::parse(text);
  REQUIRE(properties);
  const auto found = properties->get(key);
  return found ? std::string(*found) : std::string("<none>");
}

TEST_CASE("comments and blank lines are no entries") {
  const Result<Properties> properties = Properties::parse("# one\n  ! two\n\n \t\n#a=b\\\nc=d\n");
  REQUIRE(properties);
  REQUIRE(properties->size() == 1);
  CHECK(properties->entries()[0] == Properties::Entry{"c", "d"});
}

TEST_CASE("keys end at the first separator, and white space around it is dropped") {
  CHECK(value("a=1", "a") == "1");
  CHECK(value("a:1", "a") == "1");
  CHECK(value("a 1", "a") == "1");
  CHECK(value("  a \t = \f 1 ", "a") == "1 ");
  CHECK(value("a==1", "a") == "=1");
  CHECK(value("a : = 1", "a") == "= 1");
  CHECK(value("a\n", "a").empty());
  CHECK(value("=1", "") == "1");
  CHECK(value("listeners=PLAINTEXT://:9092,CONTROLLER://:9093", "listeners") == "PLAINTEXT://:9092,CONTROLLER://:9093");
}

TEST_CASE("a backslash at the end of a line continues it without the next line's leading blanks") {
  CHECK(value("a=1,\\\n   2,\\\r\n\t3\nb=4", "a") == "1,2,3");
  CHECK(value("a=1,\\\n   2\nb=4", "b") == "4");
  CHECK(value("a=1\\\\\nb=2", "a") == "1\\");
  CHECK(value("a=1\\\\\nb=2", "b") == "2");
  CHECK(value("a=1\\", "a") == "1");
}

TEST_CASE("every kind of line end ends a line") {
  CHECK(value("a=1\rb=2\r\nc=3\nd=4", "b") == "2");
  CHECK(value("a=1\rb=2\r\nc=3\nd=4", "c") == "3");
  CHECK(value("a=1\rb=2\r\nc=3\nd=4", "d") == "4");
}

TEST_CASE("escapes stand for their characters") {
  CHECK(value("a=x\\ty\\nz\\r\\f\\q\\:", "a") == "x\ty\nz\r\fq:");
  CHECK(value("a\\ b\\=c=1", "a b=c") == "1");
  CHECK(value("a=\\u0041\\u00e9\\u20AC", "a") == "A\xC3\xA9\xE2\x82\xAC");
  CHECK(value("a=\\uD83D\\uDE00", "a") == "\xF0\x9F\x98\x80");
  CHECK(value("a=\\uD83Dx", "a") == "\xEF\xBF\xBDx");
  CHECK(value("a=\\ 1", "a") == " 1");
}

TEST_CASE("a broken unicode escape is an error that names its line") {
  const Result<Properties> properties = Properties::parse("a=1\n\nb=\\u12G4\n");
  REQUIRE_FALSE(properties);
  CHECK(properties.error() == Errc::malformed);
  CHECK(properties.error().context().find("line 3") != std::string::npos);
  CHECK_FALSE(Properties::parse("a=\\u12"));
}

TEST_CASE("the last value of a key counts, at the place of the first") {
  const Result<Properties> properties = Properties::parse("a=1\nb=2\na=3");
  REQUIRE(properties);
  REQUIRE(properties->size() == 2);
  CHECK(properties->entries()[0] == Properties::Entry{"a", "3"});
}

TEST_CASE("UTF-8 stays, and what is not UTF-8 is read as Latin-1") {
  CHECK(value("a=gr\xC3\xBC\xC3\x9F", "a") == "gr\xC3\xBC\xC3\x9F");
  CHECK(value("a=gr\xFC\xDF", "a") == "gr\xC3\xBC\xC3\x9F");
  CHECK(value("\xEF\xBB\xBF"
              "a=1",
              "a") == "1");
}

TEST_CASE("written text is Java's and reads back as it was") {
  Properties properties;
  properties.set("version", "1");
  properties.set("cluster.id", "MkU3OEVBNTcwNTJENDM2Qk");
  properties.set("a key:=#!", "  leading, and trailing ");
  properties.set("escapes", "\t\n\r\f\\=:#!");
  properties.set("unicode", "\xC3\xA9\xF0\x9F\x98\x80\x7F\x01");
  properties.set("", "");
  const std::string comments[] = {"", "Sun Nov 22 12:27:41 UTC 2026"};
  const std::string text = properties.text(comments);
  CHECK(text ==
        "#\n#Sun Nov 22 12:27:41 UTC 2026\nversion=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\n"
        "a\\ key\\:\\=\\#\\!=\\  leading, and trailing \n"
        "escapes=\\t\\n\\r\\f\\\\\\=\\:\\#\\!\n"
        "unicode=\\u00E9\\uD83D\\uDE00\\u007F\\u0001\n=\n");
  const Result<Properties> again = Properties::parse(text);
  REQUIRE(again);
  CHECK(*again == properties);
}

TEST_CASE("a line end in a comment cannot start an entry") {
  const std::string comments[] = {"x\na=1"};
  const Result<Properties> properties = Properties::parse(Properties().text(comments));
  REQUIRE(properties);
  CHECK(properties->size() == 0);
}

}  // namespace
}  // namespace klamm
