#include "broker_host.h"

#include <fmt/format.h>

#include "base/check.h"
#include "broker/metadata/format.h"

namespace klamm::simtest {

namespace {

constexpr Duration kRestartDelay = 2s;  // of the supervisor, after the process ended by itself

constexpr std::uint16_t kControllerPort = 9093;
constexpr const char* kControllerListener = "CONTROLLER";
constexpr const char* kClusterId = "AAAAAAAAQUCAAAAAAAAAAQ";

config::BrokerConfig make_config(const HostOptions& options) {
  const std::string& host = options.cluster[options.index];
  std::string voters;
  std::string controllers;
  for (std::size_t voter = 0; voter < options.cluster.size(); ++voter) {
    const std::string address = fmt::format("{}:{}", options.cluster[voter], kControllerPort);
    voters += fmt::format("{}{}@{}", voter == 0 ? "" : ",", voter + 1, address);
    controllers += (voter == 0 ? "" : ",") + address;
  }
  ConfigMap settings{{"node.id", std::to_string(options.index + 1)},
                     {"process.roles", "broker,controller"},
                     {"controller.listener.names", kControllerListener},
                     {"listeners", fmt::format("PLAINTEXT://{0}:{1},{2}://{0}:{3}", host, kBrokerPort,
                                               kControllerListener, kControllerPort)},
                     {"log.dirs", BrokerHost::kDataDirectory},
                     {"auto.create.topics.enable", "false"}};
  if (options.dynamic_voters) {
    settings["controller.quorum.bootstrap.servers"] = controllers;
    settings["controller.quorum.auto.join.enable"] = "true";
  } else {
    settings["controller.quorum.voters"] = voters;
  }
  for (const auto& [key, value] : options.settings) settings.insert_or_assign(key, value);
  Result<config::BrokerConfig> config = config::BrokerConfig::parse(std::move(settings));
  KLAMM_CHECK(config, config ? std::string() : config.error().message());
  return std::move(*config);
}

// Of the voters that the first format names.
Uuid first_directory_id(std::size_t index) { return Uuid{0x4000, 0x8000000000000000ULL + index + 1}; }

}  // namespace

BrokerHost::BrokerHost(io::sim::Simulation& simulation, io::sim::Node& machine, HostOptions options)
    : simulation_(simulation),
      machine_(machine),
      options_(std::move(options)),
      logger_(make_logger()),
      config_(make_config(options_)) {}

// Everything goes into a trace, if there is one; what the listener hears is the same without.
Logger BrokerHost::make_logger() {
  const bool traced = simulation_.trace().has_sink();
  return Logger(
      [this, traced](LogLevel level, std::string_view component, std::string_view message) {
        if (level >= LogLevel::info) options_.listener(options_.index, message);
        if (!traced) return;
        constexpr std::string_view kNames[] = {"DEBUG", "INFO", "WARN", "ERROR", "OFF"};
        simulation_.trace().line(
            simulation_.now(),
            fmt::format("{} {} {} ({})", machine_.name(), kNames[static_cast<std::size_t>(level)], message, component));
      },
      traced ? LogLevel::debug : LogLevel::info);
}

BrokerHost::~BrokerHost() = default;

Result<void> BrokerHost::format() { return simulation_.run(machine_.shard(), format_disk(machine_.shard())); }

io::Task<Result<void>> BrokerHost::format_disk(io::Shard& shard) {
  metadata::FormatOptions options = metadata::format_options(config_, kClusterId);
  options.ignore_formatted = true;
  if (options_.dynamic_voters && !wiped_) {
    options.quorum = metadata::QuorumFormat::initial_controllers;
    for (std::size_t voter = 0; voter < options_.cluster.size(); ++voter) {
      raft::Voter initial;
      initial.key = {static_cast<std::int32_t>(voter + 1), first_directory_id(voter)};
      initial.endpoints.push_back({kControllerListener, options_.cluster[voter], kControllerPort});
      options.initial_controllers.push_back(std::move(initial));
    }
  } else if (options_.dynamic_voters) {
    options.quorum = metadata::QuorumFormat::no_initial_controllers;
  }
  Result<metadata::FormatReport> report = co_await metadata::format_storage(shard, std::move(options));
  KLAMM_CO_TRY(report);
  unformatted_ = false;
  co_return Result<void>();
}

void BrokerHost::wipe() {
  KLAMM_CHECK(!machine_.alive(), "the disk of a living process is taken away");
  machine_.disk().image() = io::sim::DiskImage();
  wiped_ = unformatted_ = true;
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
  options.descriptor_limit = 1;  // the fewest open files that a shard works with
  options.on_fatal = [this, &life](const Error& error) {
    last_error_ = error.message();
    life.fatal = life.must_end = true;
    life.told.notify_all();
  };
  life.node = std::make_unique<server::Node>(life.shards, std::move(options));
  Result<void> started;
  if (unformatted_) started = co_await format_disk(life.shards.at(0));
  if (started) started = co_await life.node->start();
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
    if (!options_.power_cycles) return machine_.kill();
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
  life.shards.at(0).post(
      [](void* raw) {
        Life& ending = *static_cast<Life*>(raw);
        // A start may wait for a quorum that a dead process will never reach.
        if (ending.node && !ending.serving) ending.node->interrupt();
        ending.told.notify_all();
      },
      &life);
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
