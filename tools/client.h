// What tools that talk to a cluster share: the event loop, settings from files and the command line, Ctrl-C.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "io/machine.h"
#include "klamm/blocking.h"
#include "klamm/config.h"
#include "klamm/hooks.h"
#include "tools/options.h"

namespace klamm::tools {

// The whole content of a file. The error names the file.
Result<std::string> file_content(const std::string& path);
// Adds the settings of a properties file.
Result<void> load_properties(Config& config, const std::string& path);
// Adds one "key=value"; without '=' an empty value, as Kafka's tools do, if `lenient`, else an error.
Result<void> add_property(Config& config, std::string_view text, bool lenient = true);
// --command-config and --bootstrap-server.
Result<Config> admin_config(const Options& options);

// Warnings of the SDK, as lines on standard error.
LogSink client_log();

// A tool's machine: one event loop for its clients. Everything here is for the main thread.
class Session {
 public:
  Session();
  ~Session();

  io::Machine& machine() noexcept { return machine_; }
  const std::shared_ptr<blocking::Runtime>& runtime() const noexcept { return runtime_; }
  // The clocks of the machine.
  Instant now();
  TimestampMs wall_ms();

 private:
  io::Machine machine_;
  std::shared_ptr<blocking::Runtime> runtime_;
};

// SIGINT and SIGTERM as an event to wait for. The second one ends the process at once with `hard_status`.
class Interrupt {
 public:
  // `first`, if any, is called on the loop's thread at the first signal.
  Interrupt(io::Machine& machine, int hard_status, std::function<void()> first = {});
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // True once a signal came.
  bool raised();
  // Waits for a signal, or for raise().
  void wait();
  // Waits for a signal at most so long; true if there was one.
  bool wait_for(Duration time);
  // The same as a signal. From any thread.
  void raise();
  // Becomes readable when raised.
  int descriptor() const noexcept { return ends_[0]; }

 private:
  int ends_[2] = {-1, -1};
  bool raised_ = false;
  std::unique_ptr<io::SignalWatch> watch_;
};

// An admin client with the settings of the command line; prints the error and leaves it empty if that fails.
std::optional<blocking::Admin> make_admin(const Options& options, Session& session);

}  // namespace klamm::tools
