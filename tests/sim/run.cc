#include "run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "broker_host.h"
#include "clients.h"
#include "io/sim/simulation.h"

namespace klamm::simtest {

namespace {

using io::sim::FaultKind;

constexpr const char* kBrokerName = "broker";
constexpr const char* kClientNames[] = {"writers", "readers"};

// Virtual time that things may take once nothing is broken any more.
constexpr Duration kStartLimit = 180s;
constexpr Duration kWorkLimit = 600s;
constexpr Duration kStopLimit = 180s;
constexpr Duration kCalm = 10s;  // after the faults, before the last records

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::vector<FaultKind> kinds_of(const Scenario& scenario) {
  std::vector<FaultKind> kinds{FaultKind::partition, FaultKind::one_way, FaultKind::isolate,   FaultKind::delay,
                               FaultKind::cut,       FaultKind::cut_all, FaultKind::drop,      FaultKind::kill,
                               FaultKind::kill,      FaultKind::pause,   FaultKind::slow_disk, FaultKind::clock_skew};
  if (scenario.power_fails) kinds.insert(kinds.end(), 3, FaultKind::crash);
  if (scenario.disk_fills) kinds.insert(kinds.end(), 3, FaultKind::disk_full);
  return kinds;
}

}  // namespace

// ---- Scenario ----

Scenario Scenario::draw(std::uint64_t seed) {
  Random random(seed ^ 0x7363656E6172696FULL);
  constexpr const char* kCompressions[] = {"none", "gzip", "snappy", "lz4", "zstd"};
  Scenario scenario;
  scenario.seed = seed;
  scenario.shards = static_cast<unsigned>(random.between(1, 3));
  scenario.power_fails = random.chance(0.6);
  scenario.disk_fills = random.chance(0.3);
  for (std::int64_t topics = random.between(1, 2); topics > 0; --topics) {
    scenario.topics.push_back(static_cast<std::int32_t>(random.between(1, 4)));
  }
  scenario.producers = static_cast<std::uint32_t>(random.between(1, 3));
  scenario.records = static_cast<std::uint32_t>(random.between(50, 600));
  const bool large = random.chance(0.2);
  scenario.largest_value = large ? 20'000 : 400;
  scenario.compression = kCompressions[random.below(5)];
  scenario.request_timeout_ms = random.between(large ? 4 : 1, 8) * 1000;
  scenario.delivery_timeout_ms = scenario.request_timeout_ms + random.between(1, 60) * 1000;
  scenario.segment_bytes = random.between(large ? 44 : 20, 80) << 10;  // a batch must fit
  io::sim::FaultPlanOptions plan;
  plan.duration = random.between(10, 60) * 1s;
  plan.mean_interval = random.between(1, 6) * 1s;
  plan.longest = 15s;
  plan.victims = {kBrokerName};
  plan.bystanders = {kClientNames[0], kClientNames[1]};
  plan.kinds = kinds_of(scenario);
  scenario.plan = io::sim::FaultPlan::draw(random.next(), plan);
  return scenario;
}

std::string Scenario::text() const {
  return fmt::format(
      "seed {}: {} shards, power {}, disk {}, topics of [{}] partitions, {} producers of {} records up to {} bytes "
      "({}), "
      "segments of {} bytes, request.timeout.ms={} delivery.timeout.ms={}\n{}",
      seed, shards, power_fails ? "fails" : "stays", disk_fills ? "fills" : "has room", fmt::join(topics, " "),
      producers, records, largest_value, compression, segment_bytes, request_timeout_ms, delivery_timeout_ms,
      plan.text());
}

// ---- one run ----

namespace {

io::sim::Options simulation_options(const RunOptions& options) {
  io::sim::Options drawn = io::sim::Options::draw(options.seed);
  drawn.trace = options.trace;
  drawn.max_items = 100'000'000;
  // Not so slow that a request cannot be over before its timeout.
  drawn.network.socket_buffer_bytes = std::max<std::size_t>(drawn.network.socket_buffer_bytes, 4 << 10);
  drawn.network.latency.high = std::min<Duration>(drawn.network.latency.high, 20ms);
  return drawn;
}

class World {
 public:
  explicit World(const RunOptions& options);
  void run();
  Outcome outcome() const;
  // Nothing of this world waits any more: it may be destroyed.
  bool at_rest() const noexcept { return at_rest_; }

 private:
  bool prepare();
  bool storm();
  bool last_words();
  bool judge(std::string_view when);
  bool stop_broker();
  bool restart_broker();

  bool wait(std::string_view what, Duration limit, const std::function<bool()>& done);
  void violated(std::string line) { violations_.push_back(std::move(line)); }
  void violated(std::string_view when, const std::vector<std::string>& lines);
  void spawn(io::Shard& shard, io::Task<void> task);
  LogSink log_sink(const io::sim::Node& node);
  Config client_config(std::string_view client_id) const;
  Config consumer_config(std::string_view client_id) const;
  Config producer_config(std::uint32_t number) const;
  NewTopic new_topic(std::size_t index) const;
  std::vector<TopicPartition> partitions_of(std::size_t topic) const;
  std::vector<TopicPartition> all_partitions() const;
  void start_clients(std::size_t topic);
  void add_writer(std::uint32_t number, std::size_t topic);

  RunOptions options_;
  Scenario scenario_;
  io::sim::Simulation simulation_;
  io::sim::Node& machine_;
  io::sim::Node& writing_;
  io::sim::Node& reading_;
  BrokerHost broker_;
  Random random_;
  Ledger ledger_;
  std::vector<std::unique_ptr<Writer>> writers_;
  std::vector<std::unique_ptr<Reader>> live_readers_;
  std::vector<std::unique_ptr<Reader>> log_readers_;
  std::unique_ptr<bool[]> created_;
  std::vector<std::string> violations_;
  bool at_rest_ = false;
};

World::World(const RunOptions& options)
    : options_(options),
      scenario_(Scenario::draw(options.seed)),
      simulation_(options.seed, simulation_options(options)),
      machine_(simulation_.add_node(kBrokerName, {.shards = scenario_.shards})),
      writing_(simulation_.add_node(kClientNames[0])),
      reading_(simulation_.add_node(kClientNames[1])),
      broker_(simulation_, machine_, LogLevel::debug),
      random_(options.seed ^ 0x776F726C64ULL),
      created_(new bool[scenario_.topics.size()]()) {
  if (options_.trace) options_.trace(scenario_.text());
}

void World::run() {
  at_rest_ = prepare() && storm() && last_words() && judge("after the faults") && stop_broker() && restart_broker() &&
             judge("after a clean restart") && stop_broker();
}

Outcome World::outcome() const {
  Outcome outcome;
  outcome.violations = violations_;
  outcome.trace_hash = simulation_.trace_hash();
  outcome.sent = ledger_.sent_count();
  outcome.acknowledged = ledger_.acknowledged_count();
  outcome.broker_starts = broker_.starts();
  outcome.broker_gave_up = broker_.gave_up();
  outcome.virtual_seconds = seconds(simulation_.now().since_start);
  return outcome;
}

// Waits for something that must happen.
bool World::wait(std::string_view what, Duration limit, const std::function<bool()>& done) {
  if (simulation_.run_until(done, limit)) return true;
  violated(fmt::format("{} did not happen within {} s of virtual time", what, seconds(limit)));
  return false;
}

void World::violated(std::string_view when, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) violated(fmt::format("{}: {}", when, line));
}

void World::spawn(io::Shard& shard, io::Task<void> task) {
  auto* argument = new io::Task<void>(std::move(task));
  shard.post(
      [](void* raw) {
        const std::unique_ptr<io::Task<void>> owned(static_cast<io::Task<void>*>(raw));
        io::spawn_detached(std::move(*owned));
      },
      argument);
}

LogSink World::log_sink(const io::sim::Node& node) {
  if (!options_.trace) return {};
  return [this, name = node.name()](LogLevel, std::string_view component, std::string_view message) {
    simulation_.trace().line(simulation_.now(), fmt::format("{} {} ({})", name, message, component));
  };
}

// ---- settings ----

Config World::client_config(std::string_view client_id) const {
  Config config;
  config.set("bootstrap.servers", fmt::format("{}:{}", kBrokerName, BrokerHost::kPort));
  config.set("client.id", client_id);
  return config;
}

Config World::consumer_config(std::string_view client_id) const {
  Config config = client_config(client_id);
  config.set("request.timeout.ms", "10000");
  config.set("fetch.max.bytes", "65536");
  return config;
}

Config World::producer_config(std::uint32_t number) const {
  Random random(options_.seed * 31 + number);
  Config config = client_config(fmt::format("producer-{}", number));
  config.set("request.timeout.ms", std::to_string(scenario_.request_timeout_ms));
  config.set("acks", "all");
  config.set("enable.idempotence", "true");
  config.set("compression.type", scenario_.compression);
  config.set("linger.ms", std::to_string(random.chance(0.3) ? 0 : random.between(1, 100)));
  config.set("delivery.timeout.ms", std::to_string(scenario_.delivery_timeout_ms));
  config.set("batch.size", std::to_string(random.between(1, 32) * 512));
  config.set("buffer.memory", std::to_string(random.chance(0.3) ? 131'072 : 33'554'432));
  config.set("max.in.flight.requests.per.connection", std::to_string(random.between(1, 5)));
  return config;
}

NewTopic World::new_topic(std::size_t index) const {
  NewTopic topic;
  topic.name = fmt::format("topic-{}", index);
  topic.partitions = scenario_.topics[index];
  topic.replication_factor = 1;
  topic.configs = {{"internal.segment.bytes", std::to_string(scenario_.segment_bytes)},
                   {"index.interval.bytes", "512"},
                   {"retention.ms", "-1"},
                   // The broker's clock may be hours off.
                   {"message.timestamp.before.max.ms", "9223372036854775807"},
                   {"message.timestamp.after.max.ms", "9223372036854775807"}};
  if (scenario_.power_fails && !options_.forget_flush) topic.configs["flush.messages"] = "1";
  return topic;
}

std::vector<TopicPartition> World::partitions_of(std::size_t topic) const {
  std::vector<TopicPartition> partitions;
  for (std::int32_t index = 0; index < scenario_.topics[topic]; ++index) {
    partitions.push_back({fmt::format("topic-{}", topic), index});
  }
  return partitions;
}

std::vector<TopicPartition> World::all_partitions() const {
  std::vector<TopicPartition> all;
  for (std::size_t topic = 0; topic < scenario_.topics.size(); ++topic) {
    for (TopicPartition& partition : partitions_of(topic)) all.push_back(std::move(partition));
  }
  return all;
}

void World::add_writer(std::uint32_t number, std::size_t topic) {
  WriterOptions options;
  options.number = number;
  options.config = producer_config(number);
  options.log_sink = log_sink(writing_);
  options.partitions = partitions_of(topic);
  options.records = scenario_.records;
  options.last_records = 5;
  options.largest_value = scenario_.largest_value;
  options.largest_burst = static_cast<std::uint64_t>(random_.between(1, 20));
  // The records are spread over the time of the faults.
  const std::uint64_t bursts = std::max<std::uint64_t>(1, 2 * scenario_.records / (options.largest_burst + 1));
  const Duration pause = (scenario_.plan.end() + 5s) / static_cast<std::int64_t>(bursts);
  options.pause = {0ns, 2 * pause};
  options.seed = random_.next();
  writers_.push_back(std::make_unique<Writer>(writing_.shard(), std::move(options), ledger_));
  spawn(writing_.shard(), writers_.back()->send_records());
}

// ---- the acts ----

bool World::prepare() {
  Result<void> formatted = broker_.format();
  if (!formatted) {
    violated("format: " + formatted.error().message());
    return false;
  }
  broker_.start();
  if (!wait("the broker's first start", kStartLimit, [&] { return broker_.serving(); })) return false;
  spawn(writing_.shard(),
        create_topic(writing_.shard(), client_config("admin-0"), log_sink(writing_), new_topic(0), created_[0]));
  return wait("the first topic's creation", kStartLimit, [&] { return created_[0]; });
}

void World::start_clients(std::size_t topic) {
  for (std::uint32_t number = 0; number < scenario_.producers; ++number) {
    add_writer(static_cast<std::uint32_t>(topic) * 100 + number, topic);
  }
  live_readers_.push_back(std::make_unique<Reader>(reading_.shard(), consumer_config(fmt::format("live-{}", topic)),
                                                   log_sink(reading_), partitions_of(topic)));
  spawn(reading_.shard(), live_readers_.back()->follow());
}

bool World::storm() {
  io::sim::FaultHooks hooks;
  hooks.crashed = [this](io::sim::Node&) { broker_.died(); };
  hooks.restarted = [this](io::sim::Node&) { broker_.revived(); };
  scenario_.plan.install(simulation_, std::move(hooks));
  const Instant over = simulation_.now() + scenario_.plan.end() + 1ms;
  start_clients(0);
  for (std::size_t topic = 1; topic < scenario_.topics.size(); ++topic) {
    simulation_.run_for(Duration(random_.between(0, scenario_.plan.end().count() / 2)));
    spawn(writing_.shard(), create_topic(writing_.shard(), client_config(fmt::format("admin-{}", topic)),
                                         log_sink(writing_), new_topic(topic), created_[topic]));
    const std::string what = fmt::format("the creation of topic {}", topic);
    if (!wait(what, kWorkLimit, [&] { return created_[topic]; })) return false;
    start_clients(topic);
  }
  const auto all_sent = [&] {
    return simulation_.now() >= over &&
           std::all_of(writers_.begin(), writers_.end(), [](const auto& writer) { return writer->sent(); });
  };
  if (simulation_.now() < over) simulation_.run_for(over - simulation_.now());
  return wait("the sending of all records", kWorkLimit, all_sent);
}

bool World::last_words() {
  if (!wait("the broker's recovery", kStartLimit, [&] { return broker_.serving(); })) {
    if (!broker_.last_error().empty()) violated("the broker's last error: " + broker_.last_error());
    return false;
  }
  simulation_.run_for(kCalm);
  for (const auto& writer : writers_) spawn(writing_.shard(), writer->finish());
  const auto finished = [&] {
    return std::all_of(writers_.begin(), writers_.end(), [](const auto& writer) { return writer->finished(); });
  };
  if (!wait("the producers' end", kWorkLimit, finished)) return false;
  for (const auto& writer : writers_) violated("after the faults", writer->complaints());
  if (ledger_.open_count() != 0) violated(fmt::format("{} records have no outcome", ledger_.open_count()));
  return true;
}

bool World::judge(std::string_view when) {
  log_readers_.push_back(
      std::make_unique<Reader>(reading_.shard(), consumer_config("judge"), log_sink(reading_), all_partitions()));
  Reader& reader = *log_readers_.back();
  spawn(reading_.shard(), reader.read_all());
  if (!wait(fmt::format("{}: the reading of the whole log", when), kWorkLimit, [&] { return reader.finished(); }))
    return false;
  violated(when, reader.complaints());
  Readings log = reader.readings();
  std::map<TopicPartition, Ends> ends = reader.ends();
  if (!tell(options_.lie, ledger_, log, ends, random_)) violated("the log is too short to lie about");
  violated(when, ledger_.check(log, ends));
  for (const auto& live : live_readers_) live->stop();
  const auto stopped = [&] {
    return std::all_of(live_readers_.begin(), live_readers_.end(), [](const auto& live) { return live->finished(); });
  };
  if (!wait("the consumers' end", kWorkLimit, stopped)) return false;
  for (const auto& live : live_readers_) {
    violated("during the faults", live->complaints());
    violated(when, Ledger::compare(live->readings(), log));
  }
  live_readers_.clear();
  return true;
}

bool World::stop_broker() {
  const std::size_t gave_up = broker_.gave_up();
  broker_.stop();
  if (!wait("the broker's stop", kStopLimit, [&] { return broker_.all_ended(); })) return false;
  if (broker_.gave_up() != gave_up) violated("the broker failed while it was stopped: " + broker_.last_error());
  return true;
}

bool World::restart_broker() {
  machine_.kill();
  machine_.restart();
  broker_.start();
  return wait("the broker's start after a clean stop", kStartLimit, [&] { return broker_.serving(); });
}

}  // namespace

Outcome run(const RunOptions& options) {
  auto world = std::make_unique<World>(options);
  world->run();
  Outcome outcome = world->outcome();
  // Coroutines still run in a world that got stuck, and have no other owner than it: it is kept for ever.
  static auto* stuck = new std::vector<std::unique_ptr<World>>();
  if (!world->at_rest()) stuck->push_back(std::move(world));
  return outcome;
}

}  // namespace klamm::simtest
