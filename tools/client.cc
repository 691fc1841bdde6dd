#include "tools/client.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/check.h"
#include "client/blocking_runtime.h"
#include "client/core/config_keys.h"
#include "tools/output.h"

namespace klamm::tools {
namespace {

constexpr int kBySignal = 128;
// How long nothing may happen after a signal until the process ends.
constexpr Duration kPatience = 2s;

}  // namespace

Result<std::string> file_content(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(system_error(errno != 0 ? errno : EIO, path));
  file.peek();  // a directory opens, but does not read
  if (file.bad()) return fail(system_error(errno != 0 ? errno : EISDIR, path));
  file.clear();
  std::ostringstream content;
  content << file.rdbuf();
  if (file.bad()) return fail(system_error(errno != 0 ? errno : EIO, path));
  return std::move(content).str();
}

Result<void> load_properties(Config& config, const std::string& path) {
  Result<std::string> content = file_content(path);
  KLAMM_TRY(content);
  std::string wrong;
  if (!config.load(*content, &wrong)) return fail(Errc::invalid_argument, path + ": " + wrong);
  return {};
}

Result<void> add_property(Config& config, std::string_view text, bool lenient) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos && !lenient)
    return fail(Errc::invalid_argument, "Invalid property '" + std::string(text) + "': key=value is wanted");
  config.set(text.substr(0, equals), equals == std::string_view::npos ? std::string_view() : text.substr(equals + 1));
  return {};
}

Result<Config> admin_config(const Options& options) {
  Config config;
  for (const std::string_view name : {"admin.config", "config", "command-config"}) {
    if (!options.takes_text(name)) continue;  // to `topics`, --config is something else
    if (const auto path = options.text_of(name)) {
      Result<void> loaded = load_properties(config, *path);
      KLAMM_TRY(loaded);
    }
  }
  if (const auto servers = options.text_of("bootstrap-server")) config.set("bootstrap.servers", *servers);
  if (!options.declared("bootstrap-controller")) return config;
  if (const auto servers = options.text_of("bootstrap-controller")) config.set("bootstrap.controllers", *servers);
  return config;
}

Result<void> check_bootstrap(const Config& config) {
  for (const std::string_view key : {"bootstrap.servers", "bootstrap.controllers"}) {
    const std::string list = config.get(key).value_or("");
    bool some = false;
    std::vector<std::string> lost;
    for (const std::string& one : split(list, ',')) {
      const std::string_view server = trimmed(one);
      const std::size_t colon = server.rfind(':');
      std::string_view host = server.substr(0, colon);
      if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
      if (colon == std::string_view::npos || host.empty() || io::has_address(std::string(host))) {
        some = true;
      } else {
        lost.push_back(
            fmt::format("Couldn't resolve server {} from {} as DNS resolution failed for {}", server, key, host));
      }
    }
    const Logger log(client_log(), LogLevel::warning);
    for (const std::string& one : lost) log.warning("{}", one);
    if (!some) return fail(Errc::invalid_argument, fmt::format("No resolvable bootstrap urls given in {}", key));
  }
  return {};
}

LogSink client_log() { return stderr_sink(); }

Session::Session() : machine_({.shards = 1}), runtime_(blocking::runtime_on(machine_.at(0))) {}
Session::~Session() {
  runtime_.reset();
  machine_.stop();
}

Instant Session::now() { return machine_.at(0).now(); }
TimestampMs Session::wall_ms() { return machine_.at(0).wall_ms(); }

Interrupt::Interrupt(io::Machine& machine, Reaction reaction) : machine_(machine), reaction_(std::move(reaction)) {
  KLAMM_CHECK(::pipe(ends_) == 0, "no descriptors left");
  auto action = [this](int signal) {
    if (signal_ != 0) ::_exit(kBySignal + signal);
    signal_ = signal;
    raise(signal);
    if (reaction_.first) reaction_.first();
    if (!reaction_.progress) return;
    progress_ = reaction_.progress();
    patience_ = std::make_unique<io::Timer>(machine_.at(0), [this] { look(); });
    patience_->arm_in(kPatience);
  };
  watch_ =
      std::make_unique<io::SignalWatch>(machine, 0, std::initializer_list<int>{SIGINT, SIGTERM}, std::move(action));
}

Interrupt::~Interrupt() {
  watch_.reset();
  settle();
  ::close(ends_[0]);
  ::close(ends_[1]);
}

void Interrupt::look() {
  const std::uint64_t before = std::exchange(progress_, reaction_.progress());
  if (progress_ != before) return patience_->arm_in(kPatience);
  if (reaction_.farewell) reaction_.farewell();
  ::_exit(kBySignal + signal_);
}

void Interrupt::settle() {
  machine_.run(0, [](Interrupt& self) -> io::Task<void> {
    self.reaction_.progress = nullptr;
    self.patience_.reset();
    co_return;
  }(*this));
}

int Interrupt::status() {
  char signal = 0;
  while (::read(ends_[0], &signal, 1) < 0 && errno == EINTR) {
  }
  return kBySignal + (signal != 0 ? signal : SIGINT);
}

void Interrupt::raise(int signal) {
  const char byte = static_cast<char>(signal);
  while (::write(ends_[1], &byte, 1) < 0 && errno == EINTR) {
  }
}

bool Interrupt::raised() {
  pollfd waiting{ends_[0], POLLIN, 0};
  if (!raised_ && ::poll(&waiting, 1, 0) > 0) raised_ = true;
  return raised_;
}

void Interrupt::wait() {
  pollfd waiting{ends_[0], POLLIN, 0};
  while (::poll(&waiting, 1, -1) <= 0) {
  }
  raised_ = true;
}

bool Interrupt::wait_for(Duration time) {
  pollfd waiting{ends_[0], POLLIN, 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
  if (!raised_ && ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(ms, 1 << 30))) > 0) raised_ = true;
  return raised_;
}

namespace {
// Without what an admin client has no use for.
Config known_to_admin(const Config& config) {
  const ConfigDef known({client::common_keys(), client::security_keys(), client::admin_keys()});
  Config left;
  for (const auto& [key, value] : config.settings()) {
    if (known.find(key) != nullptr) left.set(key, value);
  }
  return left;
}
}  // namespace

std::optional<blocking::Admin> make_admin(const Options& options, Session& session, UnknownKeys unknown) {
  Result<Config> config = admin_config(options);
  if (config && unknown == UnknownKeys::left_out) config = known_to_admin(*config);
  if (!config) {
    fail_error(config.error());
    return std::nullopt;
  }
  if (Result<void> found = check_bootstrap(*config); !found) {
    fail_text(reason_of(found.error()));
    return std::nullopt;
  }
  AdminHooks hooks;
  hooks.log_sink = client_log();
  hooks.log_level = LogLevel::warning;
  Result<blocking::Admin> admin = blocking::Admin::create(*config, std::move(hooks), session.runtime());
  if (!admin) {
    fail_text(reason_of(admin.error()));
    return std::nullopt;
  }
  return std::move(*admin);
}

}  // namespace klamm::tools
