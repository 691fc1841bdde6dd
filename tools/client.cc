#include "tools/client.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/check.h"
#include "tools/output.h"

namespace klamm::tools {

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
  if (const auto path = options.text_of("command-config")) {
    Result<void> loaded = load_properties(config, *path);
    KLAMM_TRY(loaded);
  }
  if (const auto servers = options.text_of("bootstrap-server")) config.set("bootstrap.servers", *servers);
  return config;
}

LogSink client_log() { return stderr_sink(); }

Session::Session() : machine_({.shards = 1}), runtime_(std::make_shared<blocking::Runtime>(machine_, 0)) {}
Session::~Session() {
  runtime_.reset();
  machine_.stop();
}

Instant Session::now() { return machine_.at(0).now(); }
TimestampMs Session::wall_ms() { return machine_.at(0).wall_ms(); }

Interrupt::Interrupt(io::Machine& machine, int hard_status, std::function<void()> first) {
  KLAMM_CHECK(::pipe(ends_) == 0, "no descriptors left");
  auto action = [this, hard_status, first = std::move(first), count = 0](int) mutable {
    if (++count > 1) ::_exit(hard_status);
    raise();
    if (first) first();
  };
  watch_ =
      std::make_unique<io::SignalWatch>(machine, 0, std::initializer_list<int>{SIGINT, SIGTERM}, std::move(action));
}

Interrupt::~Interrupt() {
  watch_.reset();
  ::close(ends_[0]);
  ::close(ends_[1]);
}

void Interrupt::raise() {
  const char byte = 1;
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

std::optional<blocking::Admin> make_admin(const Options& options, Session& session) {
  Result<Config> config = admin_config(options);
  if (!config) {
    fail_error(config.error());
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
