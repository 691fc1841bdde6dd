// Diagnostics for people: one line an event, to a sink that the embedding program chooses.
#pragma once

#include <fmt/core.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace klamm {

enum class LogLevel { debug, info, warning, error, off };

// Where lines go. Called from any shard's thread: it must be thread-safe and must not block for long.
using LogSink = std::function<void(LogLevel level, std::string_view component, std::string_view message)>;

// A named handle on a sink; cheap to copy. The default-made one drops everything.
class Logger {
 public:
  Logger() = default;
  Logger(LogSink sink, LogLevel threshold, std::string component = {})
      : shared_(std::make_shared<Shared>(Shared{std::move(sink), threshold})), component_(std::move(component)) {}

  // The same sink under another component name ("log", "raft", "producer").
  Logger named(std::string component) const {
    Logger copy = *this;
    copy.component_ = std::move(component);
    return copy;
  }
  bool enabled(LogLevel level) const { return shared_ && level >= shared_->threshold; }

  template <typename... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::debug, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::info, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::warning, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::error, format, fmt::make_format_args(args...));
  }

 private:
  struct Shared {
    LogSink sink;
    LogLevel threshold;
  };
  void write(LogLevel level, fmt::string_view format, fmt::format_args args) const {
    if (enabled(level)) shared_->sink(level, component_, fmt::vformat(format, args));
  }

  std::shared_ptr<const Shared> shared_;
  std::string component_;
};

// A sink that writes "[time] LEVEL message (component)" lines to stderr through spdlog, as Kafka's broker log does.
LogSink stderr_sink();

}  // namespace klamm
