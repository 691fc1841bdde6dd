// What tools that talk to a cluster share: the event loop, settings from files and the command line, Ctrl-C.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "io/machine.h"
#include "io/timer.h"
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
// --command-config (and what Kafka called it before), --bootstrap-server and --bootstrap-controller.
Result<Config> admin_config(const Options& options);

// As Kafka's clients do before they connect: a warning for each bootstrap server whose name has no address, an error if
// none of them has one. What does not parse is left to the client. Waits for the system's resolver.
Result<void> check_bootstrap(const Config& config);

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

// SIGINT and SIGTERM as an event to wait for. The second one ends the process at once.
class Interrupt {
 public:
  // What is done at the first signal, on the loop's thread. Each may be left out.
  struct Reaction {
    std::function<void()> first;
    // With these, the process ends by itself once `progress` has stood still for some seconds after the signal: the
    // tool's own thread may be waiting for a broker that nobody can reach. `farewell` tells what was not done.
    std::function<std::uint64_t()> progress;
    std::function<void()> farewell;
  };
  explicit Interrupt(io::Machine& machine) : Interrupt(machine, Reaction()) {}
  Interrupt(io::Machine& machine, Reaction reaction);
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
  void raise() { raise(0); }
  // Becomes readable when raised.
  int descriptor() const noexcept { return ends_[0]; }
  // The tool has done its work: from now on it ends by itself, and says what it has to say.
  void settle();
  // 128 + the signal, as a shell tells it of a program that the signal ended (and the JVM). Only after raised() or
  // wait(); once.
  int status();

 private:
  void raise(int signal);
  void look();

  io::Machine& machine_;
  Reaction reaction_;
  int ends_[2] = {-1, -1};  // the byte in it is the signal
  bool raised_ = false;
  // The loop's.
  int signal_ = 0;
  std::uint64_t progress_ = 0;
  std::unique_ptr<io::Timer> patience_;
  std::unique_ptr<io::SignalWatch> watch_;
};

// An admin client with the settings of the command line; prints the error and leaves it empty if that fails.
enum class UnknownKeys { told, left_out };
std::optional<blocking::Admin> make_admin(const Options& options, Session& session,
                                          UnknownKeys unknown = UnknownKeys::told);

}  // namespace klamm::tools
