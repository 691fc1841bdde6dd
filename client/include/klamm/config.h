// klamm::Config: settings of a producer, consumer or admin client, by Kafka's own names.
//
//   klamm::Config config{{"bootstrap.servers", "localhost:9092"}, {"linger.ms", "5"}, {"compression.type", "zstd"}};
//
// Settings are text, as in Kafka's .properties files; the client that is made from them checks them: a name that Kafka
// does not have is a warning in the client's log that names the nearest known one, a bad value is an error that names
// the key, the value and what is allowed. Names, types and defaults are those of Apache Kafka 4.3.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace klamm {

// A plain value: copying copies the settings. Not for use by several threads at once while one changes it.
class Config {
 public:
  using Settings = std::map<std::string, std::string, std::less<>>;

  Config() = default;
  // Of a name that comes twice, the last value counts.
  Config(std::initializer_list<std::pair<std::string_view, std::string_view>> settings) {
    for (const auto& [key, value] : settings) set(key, value);
  }
  explicit Config(Settings settings) : settings_(std::move(settings)) {}

  // Adds the settings of `text`, which has the format of Java's .properties files (Kafka's producer.properties and so
  // on); they replace those of the same name. Returns false, and says why in `error` (if not null), when an escape in
  // it is broken; then nothing was changed.
  [[nodiscard]] bool load(std::string_view text, std::string* error = nullptr);

  // Sets one value, in place of the one before. Returns *this, for chains.
  Config& set(std::string_view key, std::string_view value) {
    settings_.insert_or_assign(std::string(key), std::string(value));
    return *this;
  }
  // The value that was set; nothing if none was (defaults are the client's business).
  std::optional<std::string> get(std::string_view key) const {
    const auto found = settings_.find(key);
    if (found == settings_.end()) return std::nullopt;
    return found->second;
  }
  bool contains(std::string_view key) const { return settings_.find(key) != settings_.end(); }
  // Takes a setting back; nothing happens if it was not set.
  void erase(std::string_view key) {
    const auto found = settings_.find(key);
    if (found != settings_.end()) settings_.erase(found);
  }
  // All settings, by name.
  const Settings& settings() const noexcept { return settings_; }

  friend bool operator==(const Config&, const Config&) = default;

 private:
  Settings settings_;
};

}  // namespace klamm
