#include "run.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "clients.h"
#include "cluster.h"
#include "io/sim/simulation.h"
#include "monitor.h"
#include "operator.h"

namespace klamm::simtest {

namespace {

// Virtual time that things may take once nothing is broken any more.
constexpr Duration kStartLimit = 180s;
constexpr Duration kWorkLimit = 600s;
constexpr Duration kStopLimit = 180s;
constexpr Duration kCalm = 10s;             // after the faults, before the last records
constexpr Duration kWholeLimit = 180s;      // the same, until a cluster is whole
constexpr Duration kLongestWay = 70s;       // of bytes that were sent
constexpr Duration kGlance = 250ms;         // between two looks at what readers have
constexpr std::uint32_t kMoreRecords = 40;  // while a machine without a disk comes back
constexpr std::uint32_t kLastRecords = 5;
constexpr std::size_t kMinInSync = 2;  // min.insync.replicas in clusters

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// For RunOptions::drift.
std::int64_t& runs_so_far() {
  static std::int64_t runs = 0;
  return runs;
}

io::sim::Options simulation_options(const RunOptions& options) {
  io::sim::Options drawn = io::sim::Options::draw(options.seed);
  drawn.trace = options.trace;
  if (options.drift) drawn.step.low += Duration(runs_so_far()++);
  drawn.max_items = 100'000'000;
  // Not so slow that a request cannot be over before its timeout.
  drawn.network.socket_buffer_bytes = std::max<std::size_t>(drawn.network.socket_buffer_bytes, 4 << 10);
  drawn.network.latency.high = std::min<Duration>(drawn.network.latency.high, 20ms);
  return drawn;
}

Settings broker_settings(const RunOptions& options, const Scenario& scenario) {
  Settings settings = scenario.broker;
  if (options.forget_flush) settings.erase("log.flush.interval.messages");
  return settings;
}

// The partitions that a reader reads.
Readings of_reader(const Reader& reader, const Readings& log) {
  Readings part;
  for (const TopicPartition& partition : reader.partitions()) {
    const auto found = log.find(partition);
    if (found != log.end()) part.insert(*found);
  }
  return part;
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
  void install(const io::sim::FaultPlan& plan);
  bool heal(std::string_view when);
  bool lose_disk();
  bool last_words();
  bool judge(std::string_view when);
  bool stop_brokers();
  bool restart_brokers();
  bool compare_replicas();

  bool wait_serving(std::string_view what);
  bool wait(std::string_view what, Duration limit, const std::function<bool()>& done);
  void violated(std::string line) { violations_.push_back(std::move(line)); }
  void violated(std::string_view when, const std::vector<std::string>& lines);
  void spawn(io::Shard& shard, io::Task<void> task);
  LogSink log_sink(const io::sim::Node& node);
  Config admin_config(std::size_t topic) const;
  NewTopic new_topic(std::size_t index) const;
  std::vector<TopicPartition> partitions_of(std::size_t topic) const;
  std::vector<TopicPartition> all_partitions() const;
  void start_operator();
  void announce(std::size_t topic);
  void start_clients(std::size_t topic);
  void add_writer(const ProducerPlan& plan);
  void add_reader(const ConsumerPlan& plan);
  bool end_live_readers(std::string_view when, const Readings& log);
  void power_was_cut();

  RunOptions options_;
  Scenario scenario_;
  Monitor monitor_;
  io::sim::Simulation simulation_;
  Cluster cluster_;
  io::sim::Node& writing_;
  io::sim::Node& reading_;
  Random random_;
  Ledger ledger_;
  std::unique_ptr<Operator> operator_;  // of a cluster
  std::vector<std::unique_ptr<Writer>> writers_;
  std::vector<std::unique_ptr<Reader>> live_readers_;
  std::vector<std::unique_ptr<Reader>> log_readers_;
  std::unique_ptr<bool[]> created_;
  std::vector<std::string> violations_;
  std::size_t lost_by_right_ = 0;
  std::size_t reader_restarts_ = 0;
  bool at_rest_ = false;
};

World::World(const RunOptions& options)
    : options_(options),
      scenario_(Scenario::draw(options.seed, options.brokers)),
      monitor_(scenario_.is_cluster() && !options.unclean ? kMinInSync : 1),
      simulation_(options.seed, simulation_options(options)),
      cluster_(simulation_, scenario_, broker_settings(options, scenario_),
               [this](std::size_t machine, std::string_view line) { monitor_.heard(machine, line); }),
      writing_(simulation_.add_node(kWritersName)),
      reading_(simulation_.add_node(kReadersName)),
      random_(options.seed ^ 0x776F726C64ULL),
      created_(new bool[scenario_.topics.size()]()) {
  if (!options_.lose_disks) scenario_.wiped.reset();
  if (options_.trace) options_.trace(scenario_.text());
  // Deliveries of a batch that was split end together: when the last part has been delivered.
  const bool splits = std::any_of(scenario_.topics.begin(), scenario_.topics.end(),
                                  [](const TopicPlan& topic) { return topic.configs.contains("max.message.bytes"); });
  ledger_.set_lag((splits ? scenario_.delivery_timeout_ms : scenario_.request_timeout_ms) * 1ms);
  cluster_.set_on_power_cut([this] { power_was_cut(); });
  for (std::size_t index = 0; index < cluster_.size(); ++index) monitor_.watch(cluster_.machine(index));
}

void World::run() {
  at_rest_ = prepare() && storm() && heal("after the faults") && lose_disk() && last_words() &&
             judge("after the faults") && stop_brokers() && compare_replicas() && restart_brokers() &&
             judge("after a clean restart") && stop_brokers();
}

Outcome World::outcome() const {
  Outcome outcome;
  outcome.violations = violations_;
  outcome.trace_hash = simulation_.trace_hash();
  outcome.sent = ledger_.sent_count();
  outcome.acknowledged = ledger_.acknowledged_count();
  outcome.lost_by_right = lost_by_right_;
  outcome.broker_starts = cluster_.starts();
  outcome.broker_gave_up = cluster_.gave_up();
  outcome.clean_restarts = cluster_.orderly_restarts();
  outcome.reader_restarts = reader_restarts_;
  outcome.coverage = monitor_.coverage();
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
  if (!options_.trace) return [](LogLevel, std::string_view, std::string_view) {};
  return [this, name = node.name()](LogLevel, std::string_view component, std::string_view message) {
    simulation_.trace().line(simulation_.now(), fmt::format("{} {} ({})", name, message, component));
  };
}

// ---- settings ----

Config World::admin_config(std::size_t topic) const {
  Config config;
  config.set("client.id", fmt::format("admin-{}", topic));
  config.set("bootstrap.servers", bootstrap_servers(scenario_.brokers));
  return config;
}

NewTopic World::new_topic(std::size_t index) const {
  const TopicPlan& plan = scenario_.topics[index];
  NewTopic topic;
  topic.name = plan.name;
  topic.partitions = plan.partitions;
  topic.replication_factor = static_cast<std::int16_t>(std::min<std::size_t>(scenario_.brokers, 3));
  topic.configs = plan.configs;
  if (options_.forget_flush) topic.configs.erase("flush.messages");
  if (options_.unclean) {
    topic.configs["unclean.leader.election.enable"] = "true";
    topic.configs["min.insync.replicas"] = "1";
  }
  return topic;
}

std::vector<TopicPartition> World::partitions_of(std::size_t topic) const {
  std::vector<TopicPartition> partitions;
  partitions.reserve(static_cast<std::size_t>(scenario_.topics[topic].partitions));
  for (std::int32_t index = 0; index < scenario_.topics[topic].partitions; ++index) {
    partitions.push_back({scenario_.topics[topic].name, index});
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

void World::add_writer(const ProducerPlan& plan) {
  WriterOptions options;
  options.plan = plan;
  options.log_sink = log_sink(writing_);
  options.partitions = partitions_of(plan.topic);
  options.last_records = kLastRecords;
  if (options_.early && plan.config.get("enable.idempotence") == "false") options.plan.config.set("acks", "1");
  options.largest_value = scenario_.largest_value;
  options.largest_burst = static_cast<std::uint64_t>(random_.between(1, 20));
  // The records are spread over the time of the faults.
  const std::uint64_t bursts =
      std::max<std::uint64_t>(1, std::uint64_t{2} * plan.records / (options.largest_burst + 1));
  const Duration pause = (scenario_.plan.end() + 5s) / static_cast<std::int64_t>(bursts);
  options.pause = {0ns, 2 * pause};
  options.seed = random_.next();
  writers_.push_back(std::make_unique<Writer>(writing_.shard(), std::move(options), ledger_));
  spawn(writing_.shard(), writers_.back()->send_records());
}

void World::add_reader(const ConsumerPlan& plan) {
  ReaderOptions options;
  options.plan = plan;
  options.log_sink = log_sink(reading_);
  options.partitions = partitions_of(plan.topic);
  options.from_start = scenario_.durability == Durability::unflushed;
  options.seed = random_.next();
  live_readers_.push_back(std::make_unique<Reader>(reading_.shard(), std::move(options)));
  spawn(reading_.shard(), live_readers_.back()->follow());
}

// Not after a clean stop: what a broker has closed is on the disk, whatever its topics flush.
void World::power_was_cut() {
  if (scenario_.durability == Durability::unflushed) ledger_.power_cut(simulation_.now());
}

// ---- the acts ----

bool World::prepare() {
  Result<void> formatted = cluster_.format();
  if (!formatted) {
    violated("format: " + formatted.error().message());
    return false;
  }
  cluster_.start();
  if (!wait_serving("the first start")) return false;
  spawn(writing_.shard(),
        create_topic(writing_.shard(), admin_config(0), log_sink(writing_), new_topic(0), created_[0]));
  if (!wait("the first topic's creation", kStartLimit, [&] { return created_[0]; })) return false;
  if (scenario_.is_cluster()) start_operator();
  return true;
}

void World::start_clients(std::size_t topic) {
  announce(topic);
  for (const ProducerPlan& plan : scenario_.producers) {
    if (plan.topic == topic) add_writer(plan);
  }
  for (const ConsumerPlan& plan : scenario_.consumers) {
    if (plan.topic == topic) add_reader(plan);
  }
}

bool World::storm() {
  install(scenario_.plan);
  for (const Duration when : scenario_.clean_restarts) {
    simulation_.after(when, [this] {
      cluster_.restart_one_in_order(random_);
      monitor_.happened("brokers restarted in order");
    });
  }
  const Instant over = simulation_.now() + scenario_.plan.end() + 1ms;
  start_clients(0);
  for (std::size_t topic = 1; topic < scenario_.topics.size(); ++topic) {
    simulation_.run_for(Duration(random_.between(0, scenario_.plan.end().count() / 2)));
    spawn(writing_.shard(),
          create_topic(writing_.shard(), admin_config(topic), log_sink(writing_), new_topic(topic), created_[topic]));
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

void World::install(const io::sim::FaultPlan& plan) {
  io::sim::FaultHooks hooks;
  hooks.crashed = [this](io::sim::Node& node) {
    if (node.lost_power()) power_was_cut();
    cluster_.died(node);
  };
  hooks.restarted = [this](io::sim::Node& node) { cluster_.revived(node); };
  plan.install(simulation_, std::move(hooks));
  monitor_.planned(plan);
}

// Nothing is broken any more: before long everything works again.
bool World::heal(std::string_view when) {
  if (!wait_serving("the recovery")) return false;
  if (!operator_) {
    simulation_.run_for(kCalm);
    return true;
  }
  operator_->settle();
  if (wait(fmt::format("{}: a whole cluster", when), kWholeLimit, [&] { return operator_->whole(); })) return true;
  violated("what was missing: " + operator_->missing());
  return false;
}

// One machine of a whole cluster loses its disk, and more breaks while it gets everything from the others.
bool World::lose_disk() {
  if (!scenario_.wiped) return true;
  operator_->keep_voters();
  operator_->unsettle();
  monitor_.losing_disk(cluster_.machine(*scenario_.wiped));
  cluster_.replace_disk(*scenario_.wiped, Duration(random_.between(0, (10 * Duration(1s)).count())));
  monitor_.happened("disks lost");
  install(scenario_.later_plan);
  for (const auto& writer : writers_) spawn(writing_.shard(), writer->send_more(kMoreRecords));
  simulation_.run_for(scenario_.later_plan.end() + 10s);
  const auto all_sent = [&] {
    return std::all_of(writers_.begin(), writers_.end(), [](const auto& writer) { return writer->sent(); });
  };
  return wait("the sending of more records", kWorkLimit, all_sent) && heal("after a lost disk");
}

void World::start_operator() {
  OperatorOptions options;
  options.brokers = scenario_.brokers;
  options.bootstrap_servers = bootstrap_servers(scenario_.brokers);
  options.log_sink = log_sink(reading_);
  options.seed = random_.next();
  options.dynamic_voters = scenario_.dynamic_voters;
  options.longest_pause = scenario_.operator_pause;
  operator_ = std::make_unique<Operator>(reading_.shard(), std::move(options));
  spawn(reading_.shard(), operator_->work());
}

// The operator knows the topic from now on.
void World::announce(std::size_t topic) {
  if (!operator_) return;
  const NewTopic made = new_topic(topic);
  operator_->add_topic(made.name, made.partitions, static_cast<std::size_t>(made.replication_factor));
}

bool World::last_words() {
  if (operator_) operator_->stop();
  if (operator_ && !wait("the operator's end", kWorkLimit, [&] { return operator_->finished(); })) return false;
  for (const auto& writer : writers_) spawn(writing_.shard(), writer->finish());
  const auto finished = [&] {
    return std::all_of(writers_.begin(), writers_.end(), [](const auto& writer) { return writer->finished(); });
  };
  if (!wait("the producers' end", kWorkLimit, finished)) return false;
  for (const auto& writer : writers_) violated("after the faults", writer->complaints());
  violated("during the faults", monitor_.complaints());
  if (operator_) {
    violated("during the faults", operator_->complaints());
    monitor_.add(operator_->coverage());
  }
  if (ledger_.open_count() != 0) violated(fmt::format("{} records have no outcome", ledger_.open_count()));
  // What was sent without waiting for an answer may still be on its way; nothing comes from connections that are
  // silent.
  simulation_.run_until([&] { return simulation_.network().connections(writing_) == 0; }, kLongestWay);
  return true;
}

bool World::judge(std::string_view when) {
  ReaderOptions options;
  options.log_sink = log_sink(reading_);
  options.partitions = all_partitions();
  options.plan.config.set("client.id", "judge");
  options.plan.config.set("bootstrap.servers", bootstrap_servers(scenario_.brokers));
  options.plan.config.set("request.timeout.ms", "10000");
  log_readers_.push_back(std::make_unique<Reader>(reading_.shard(), std::move(options)));
  Reader& reader = *log_readers_.back();
  spawn(reading_.shard(), reader.read_all());
  if (!wait(fmt::format("{}: the reading of the whole log", when), kWorkLimit, [&] { return reader.finished(); }))
    return false;
  violated(when, reader.complaints());
  Readings log = reader.readings();
  std::map<TopicPartition, Ends> ends = reader.ends();
  if (!tell(options_.lie, ledger_, log, ends, random_)) violated("the log is too short to lie about");
  violated(when, ledger_.check(log, ends));
  lost_by_right_ = ledger_.lost_by_right(log);
  if (log_readers_.size() > 1) {
    // Nobody wrote since the last judgement.
    const Readings& before = log_readers_.front()->readings();
    violated(when, Ledger::compare(before, log));
    violated(when, Ledger::compare(log, before));
  }
  return end_live_readers(when, options_.lie == Lie::none ? log : reader.readings());
}

// They must come to the end of the log; then what they saw is judged.
bool World::end_live_readers(std::string_view when, const Readings& log) {
  for (const auto& live : live_readers_) live->settle();
  const auto behind = [&](const auto& live) {
    return live->complaints().empty() && !Ledger::covers(live->readings(), of_reader(*live, log));
  };
  const Instant limit = simulation_.now() + kWorkLimit;
  while (std::any_of(live_readers_.begin(), live_readers_.end(), behind)) {
    if (simulation_.now() > limit) {
      violated(fmt::format("{}: consumers did not come to the end of the log", when));
      break;
    }
    simulation_.run_for(kGlance);
  }
  for (const auto& live : live_readers_) live->stop();
  const auto stopped = [&] {
    return std::all_of(live_readers_.begin(), live_readers_.end(), [](const auto& live) { return live->finished(); });
  };
  if (!wait("the consumers' end", kWorkLimit, stopped)) return false;
  for (const auto& live : live_readers_) {
    reader_restarts_ += live->restarts();
    violated("during the faults", live->complaints());
    violated(when, ledger_.check_sightings(live->readings()));
    if (scenario_.durability != Durability::unflushed) violated(when, Ledger::compare(live->readings(), log));
  }
  live_readers_.clear();
  return true;
}

bool World::wait_serving(std::string_view what) {
  if (wait(fmt::format("{} of all brokers", what), kStartLimit, [&] { return cluster_.all_serving(); })) return true;
  if (!cluster_.last_error().empty()) violated("last errors: " + cluster_.last_error());
  return false;
}

bool World::stop_brokers() {
  const std::size_t gave_up = cluster_.gave_up();
  cluster_.stop();
  if (!wait("the brokers' stop", kStopLimit, [&] { return cluster_.all_ended(); })) return false;
  if (cluster_.gave_up() != gave_up) violated("a broker failed while it was stopped: " + cluster_.last_error());
  return true;
}

// Long after the last record, and after a stop in order, all of them have everything.
bool World::compare_replicas() {
  violated("after the faults", cluster_.compare_replicas(all_partitions()));
  return true;
}

bool World::restart_brokers() {
  // What brokers have closed in order no loss of power takes back.
  cluster_.restart_machines(scenario_.power_fails());
  return wait_serving("the start after a clean stop");
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
