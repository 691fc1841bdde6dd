#include "broker_host.h"

#include <fmt/format.h>

#include "base/check.h"
#include "broker/metadata/format.h"

namespace klamm::simtest {

namespace {

constexpr Duration kRestartDelay = 2s;  // of the supervisor, after the process ended by itself

config::BrokerConfig make_config(const std::string& host, const Settings& more) {
  ConfigMap settings{{"node.id", "1"},
                     {"process.roles", "broker,controller"},
                     {"controller.listener.names", "CONTROLLER"},
                     {"listeners", fmt::format("PLAINTEXT://{0}:{1},CONTROLLER://{0}:9093", host, BrokerHost::kPort)},
                     {"controller.quorum.voters", fmt::format("1@{}:9093", host)},
                     {"log.dirs", "/data"},
                     {"auto.create.topics.enable", "false"}};
  for (const auto& [key, value] : more) settings.insert_or_assign(key, value);
  Result<config::BrokerConfig> config = config::BrokerConfig::parse(std::move(settings));
  KLAMM_CHECK(config, config ? std::string() : config.error().message());
  return std::move(*config);
}

}  // namespace

BrokerHost::BrokerHost(io::sim::Simulation& simulation, io::sim::Node& machine, const Settings& settings,
                       bool power_cycles, LogLevel log_level)
    : simulation_(simulation),
      machine_(machine),
      logger_(simulation.logger(machine, log_level)),
      config_(make_config(machine.name(), settings)),
      power_cycles_(power_cycles) {}

BrokerHost::~BrokerHost() = default;

Result<void> BrokerHost::format() {
  metadata::FormatOptions options = metadata::format_options(config_, "AAAAAAAAQUCAAAAAAAAAAQ");
  Result<metadata::FormatReport> report =
      simulation_.run(machine_.shard(), metadata::format_storage(machine_.shard(), std::move(options)));
  KLAMM_TRY(report);
  return {};
}

void BrokerHost::start() {
  lives_.push_back(std::make_unique<Life>(machine_.shards()));
  Life& life = *lives_.back();
  struct Start {
    BrokerHost& host;
    Life& life;
  };
  auto* argument = new Start{*this, life};
  life.shards.at(0).post(
      [](void* raw) {
        const std::unique_ptr<Start> start(static_cast<Start*>(raw));
        io::spawn_detached(start->host.run(start->life));
      },
      argument);
}

// On the life's first shard.
io::Task<void> BrokerHost::run(Life& life) {
  server::NodeOptions options{config_, logger_, {}};
  options.on_fatal = [this, &life](const Error& error) {
    last_error_ = error.message();
    life.fatal = life.must_end = true;
    life.told.notify_all();
  };
  life.node = std::make_unique<server::Node>(life.shards, std::move(options));
  Result<void> started = co_await life.node->start();
  if (started) {
    life.serving = true;
    while (!life.must_end) co_await life.told.wait();
    life.serving = false;
  } else {
    last_error_ = started.error().message();
  }
  co_await life.node->stop();
  life.node.reset();
  life.ended = true;
  if (!started || life.fatal) {
    gave_up(life);
  } else if (life.in_order && &life == lives_.back().get()) {
    ++orderly_restarts_;
    replace(life, 0s);
  }
}

// The process ends by itself; what the supervisor of the machine does then. Nothing if the machine ended it before.
void BrokerHost::gave_up(Life& life) {
  if (&life != lives_.back().get() || !machine_.alive()) return;
  ++gave_up_;
  simulation_.trace().note(simulation_.now(), "broker gave up", std::uint64_t{machine_.index()} << 32, gave_up_, 0,
                           last_error_);
  replace(life, kRestartDelay);
}

void BrokerHost::replace(Life& life, Duration delay) {
  simulation_.after(0s, [this, &life] {
    if (&life != lives_.back().get()) return;
    if (!power_cycles_) return machine_.kill();
    machine_.crash();
    if (!life.in_order && on_power_cut_) on_power_cut_();
  });
  simulation_.after(delay, [this, &life] {
    if (&life != lives_.back().get() || machine_.alive() || !supervised_) return;
    machine_.restart();
    start();
  });
}

void BrokerHost::end(Life& life) {
  life.must_end = true;
  life.shards.at(0).post([](void* raw) { static_cast<Life*>(raw)->told.notify_all(); }, &life);
}

void BrokerHost::died() {
  if (!lives_.empty()) end(*lives_.back());
}

void BrokerHost::restart_in_order() {
  if (!serving()) return;
  lives_.back()->in_order = true;
  end(*lives_.back());
}

void BrokerHost::stop() {
  supervised_ = false;
  end(*lives_.back());
}

bool BrokerHost::serving() const {
  return machine_.alive() && !lives_.empty() && lives_.back()->serving && !lives_.back()->must_end;
}

bool BrokerHost::all_ended() const {
  for (const std::unique_ptr<Life>& life : lives_) {
    if (!life->ended) return false;
  }
  return true;
}

}  // namespace klamm::simtest
