#include "base/config.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "base/duration.h"

namespace klamm {
namespace {

using namespace config_table;

std::optional<std::string> refuse_odd(const ConfigValue& value) {
  if (std::get<std::int64_t>(value) % 2 == 0) return std::nullopt;
  return "Value must be even";
}

constexpr ConfigKey kKeys[] = {
    ConfigKey{"a.flag", kBoolean, "true", kAny, kHigh},
    ConfigKey{"a.count", kInt, "7", at_least(1), kHigh}.cluster_wide().about("How many."),
    ConfigKey{"a.percent", kInt, "50", between(0, 100), kHigh},
    ConfigKey{"a.level", kInt, "-1", between_or(1, 9, -1), kHigh},
    ConfigKey{"a.short", kShort, "3", kAny, kLow},
    ConfigKey{"a.long", kLong, kNoDefault, kAny, kLow},
    ConfigKey{"a.double", kDouble, "0.5", between(0, 1), kLow},
    ConfigKey{"a.name", kString, "x", kNonEmpty, kLow},
    ConfigKey{"a.codec", kString, "none", one_of("none, gzip"), kLow},
    ConfigKey{"a.protocol", kString, "PLAINTEXT", one_of_any_case("PLAINTEXT, SSL"), kLow},
    ConfigKey{"a.list", kList, "", kAny, kLow},
    ConfigKey{"a.roles", kList, "broker", some_of("broker, controller"), kLow},
    ConfigKey{"a.even", kInt, "2", checked_by(refuse_odd, "even"), kLow},
    ConfigKey{"a.secret", kPassword, kNoDefault, kNonEmpty, kLow},
    ConfigKey{"a.hidden", kInt, "1", kAny, kLow}.hidden(),
};

const ConfigDef& def() {
  static const ConfigDef registry{kKeys};
  return registry;
}

std::string error_of(std::string_view key, std::string_view text) {
  const Result<ConfigValue> value = parse_value(*def().find(key), text);
  if (value) return "<good>";
  CHECK(value.error() == Errc::invalid_argument);
  return value.error().context();
}

bool good(std::string_view key, std::string_view text) { return parse_value(*def().find(key), text).has_value(); }

TEST_CASE("defaults are taken for what is not set") {
  const Result<ConfigValues> values = def().parse({});
  REQUIRE(values);
  CHECK(values->get_bool("a.flag"));
  CHECK(values->get_int("a.count") == 7);
  CHECK(values->get_int("a.short") == 3);
  CHECK_FALSE(values->find_long("a.long"));
  CHECK(values->get_double("a.double") == 0.5);
  CHECK(values->get_list("a.list").empty());
  CHECK_FALSE(values->given("a.count"));
}

TEST_CASE("set values are parsed, trimmed, and unknown names are kept aside") {
  const Result<ConfigValues> values = def().parse({{"a.flag", " FALSE "},
                                                   {"a.count", " 12\t"},
                                                   {"a.list", " x , y,z ,x"},
                                                   {"a.long", "-9223372036854775808"},
                                                   {"a.double", "1e-1"},
                                                   {"b.unknown", "?"}});
  REQUIRE(values);
  CHECK_FALSE(values->get_bool("a.flag"));
  CHECK(values->get_int("a.count") == 12);
  CHECK(values->get_list("a.list") == std::vector<std::string>{"x", "y", "z"});
  CHECK(values->get_long("a.long") == std::numeric_limits<std::int64_t>::min());
  CHECK(values->get_double("a.double") == 0.1);
  CHECK(values->given("a.count"));
  CHECK(values->originals().at("b.unknown") == "?");
}

TEST_CASE("errors name the key, the value and what is allowed, in Kafka's words") {
  CHECK(error_of("a.flag", "yes") ==
        "Invalid value yes for configuration a.flag: Expected value to be either true or false");
  CHECK(error_of("a.count", "many") ==
        "Invalid value many for configuration a.count: Not a number of type INT (allowed: [1,...])");
  CHECK(error_of("a.count", "0") == "Invalid value 0 for configuration a.count: Value must be at least 1");
  CHECK(error_of("a.percent", "101") ==
        "Invalid value 101 for configuration a.percent: Value must be no more than 100 (allowed: [0,...,100])");
  CHECK(error_of("a.level", "0") ==
        "Invalid value 0 for configuration a.level: Value must be between 1 and 9 or equal to -1");
  CHECK(error_of("a.name", "  ") == "Invalid value    for configuration a.name: String must be non-empty");
  CHECK(error_of("a.codec", "GZIP") ==
        "Invalid value GZIP for configuration a.codec: String must be one of: none, gzip");
  CHECK(error_of("a.protocol", "tls") ==
        "Invalid value tls for configuration a.protocol: String must be one of (case insensitive): PLAINTEXT, SSL");
  CHECK(error_of("a.even", "3") == "Invalid value 3 for configuration a.even: Value must be even");
}

TEST_CASE("numbers outside their type are refused") {
  CHECK(good("a.count", "2147483647"));
  CHECK(error_of("a.count", "2147483648").find("Not a number of type INT") != std::string::npos);
  CHECK(good("a.short", "32767"));
  CHECK(error_of("a.short", "32768").find("Not a number of type SHORT (allowed: [-32768,...,32767])") !=
        std::string::npos);
  CHECK(good("a.long", "9223372036854775807"));
  CHECK_FALSE(good("a.long", "9223372036854775808"));
  for (const char* text : {"", " ", "+", "-", "+-1", "1.0", "0x10", "1 2", "1L"}) CHECK_FALSE(good("a.long", text));
  CHECK(good("a.long", "+5"));
}

TEST_CASE("doubles are read as Java reads them") {
  for (const char* text : {"1", ".5", "0.", "1e-3", "+0.25", "0.5d", "1F"}) CHECK(good("a.double", text));
  for (const char* text : {"", "x", "1.5", "-0.1", "NaN", "Infinity", "inf", "0x1p-1", "1e", "d"})
    CHECK_FALSE(good("a.double", text));
}

TEST_CASE("lists refuse empty elements, foreign ones, and to be empty where one is needed") {
  CHECK(good("a.list", ""));
  CHECK_FALSE(good("a.list", "a,,b"));
  CHECK_FALSE(good("a.list", "a,"));
  CHECK(good("a.roles", "controller, broker"));
  CHECK_FALSE(good("a.roles", ""));
  CHECK(error_of("a.roles", "broker,observer").find("one of: broker, controller") != std::string::npos);
}

TEST_CASE("names are told apart from other cases") {
  CHECK(good("a.protocol", "ssl"));
  CHECK_FALSE(good("a.codec", "None"));
}

TEST_CASE("a password is never shown") { CHECK(error_of("a.secret", "").find("[hidden]") != std::string::npos); }

TEST_CASE("a required key that is not set is an error") {
  constexpr ConfigKey kRequiredKey[] = {ConfigKey{"must", kInt, kRequired, kAny, kHigh}};
  const ConfigDef required{kRequiredKey};
  const Result<ConfigValues> values = required.parse({});
  REQUIRE_FALSE(values);
  CHECK(values.error().context() == "Missing required configuration \"must\" which has no default value");
}

TEST_CASE("values are shown as Kafka shows them") {
  CHECK(value_text(true) == "true");
  CHECK(value_text(std::int64_t{-2}) == "-2");
  CHECK(value_text(std::vector<std::string>{"a", "b"}) == "a,b");
  CHECK(value_text(std::monostate{}) == std::nullopt);
  CHECK(value_text(0.5) == "0.5");
  CHECK(value_text(1.0) == "1.0");
  CHECK(value_text(0.0) == "0.0");
  CHECK(value_text(123456.75) == "123456.75");
  CHECK(value_text(9999999.0) == "9999999.0");
  CHECK(value_text(1e7) == "1.0E7");
  CHECK(value_text(0.001) == "0.001");
  CHECK(value_text(0.0001) == "1.0E-4");
  CHECK(value_text(-1.25e-7) == "-1.25E-7");
  CHECK(value_text(2.147483647E9) == "2.147483647E9");
  CHECK(value_text(std::numeric_limits<double>::max()) == "1.7976931348623157E308");
}

TEST_CASE("validators describe themselves as in Kafka's tables") {
  CHECK(at_least(0).text() == "[0,...]");
  CHECK(between(-131072, 22).text() == "[-131072,...,22]");
  CHECK(between(0.5, 1).text() == "[0.5,...,1]");
  CHECK(between_or(1, 9, -1).text() == "[1,...,9] or -1");
  CHECK(one_of("a, b").text() == "[a, b]");
  CHECK(one_of_any_case("a, b").text() == "(case insensitive) [a, b]");
}

TEST_CASE("the nearest known name is found for a slip, and none for something else") {
  CHECK(def().nearest("a.cuont") == "a.count");
  CHECK(def().nearest("A.COUNT") == "a.count");
  CHECK(def().nearest("completely.different.thing") == std::nullopt);
  CHECK(def().nearest("a.hiden") != "a.hidden");
  CHECK(def().nearest(std::string(100'000, 'a')) == std::nullopt);
}

TEST_CASE("keys are found by name, in order") {
  CHECK(def().find("a.count")->update == UpdateMode::cluster_wide);
  CHECK(def().find("a.count")->doc == "How many.");
  CHECK(def().find("a.coun") == nullptr);
  for (std::size_t i = 1; i < def().keys().size(); ++i) CHECK(def().keys()[i - 1].name < def().keys()[i].name);
}

TEST_CASE("ISO durations are read as Java reads them") {
  CHECK(parse_iso_duration_ms("PT10S") == 10'000);
  CHECK(parse_iso_duration_ms("P1DT2H30M5.25S") == 86'400'000 + 2 * 3'600'000 + 30 * 60'000 + 5250);
  CHECK(parse_iso_duration_ms("p2d") == 2 * 86'400'000);
  CHECK(parse_iso_duration_ms("-PT5M") == -300'000);
  CHECK(parse_iso_duration_ms("PT-1H") == -3'600'000);
  CHECK(parse_iso_duration_ms("PT0.001234567S") == 1);
  for (const char* text : {"", "P", "PT", "1D", "P1H", "PT1D", "PT1S1M", "P1DT", "PT1.5M", "PT1", "PTS", "P1D ",
                           "PT1.1234567891S", "P99999999999999D", "PTTS"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_iso_duration_ms(text));
  }
}

}  // namespace
}  // namespace klamm
