#include "scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

namespace klamm::simtest {

namespace {

using io::sim::FaultKind;

std::string one_of(Random& random, std::initializer_list<const char*> values) {
  return *(values.begin() + random.below(values.size()));
}

std::string number(Random& random, std::int64_t low, std::int64_t high) {
  return std::to_string(random.between(low, high));
}

std::vector<FaultKind> kinds_of(const Scenario& scenario) {
  std::vector<FaultKind> kinds{FaultKind::partition, FaultKind::one_way, FaultKind::isolate,   FaultKind::delay,
                               FaultKind::cut,       FaultKind::cut_all, FaultKind::drop,      FaultKind::kill,
                               FaultKind::kill,      FaultKind::pause,   FaultKind::slow_disk, FaultKind::clock_skew};
  if (scenario.power_fails()) kinds.insert(kinds.end(), 3, FaultKind::crash);
  if (scenario.disk_fills) kinds.insert(kinds.end(), 3, FaultKind::disk_full);
  if (scenario.disk_errors) kinds.insert(kinds.end(), {FaultKind::write_errors, FaultKind::read_errors});
  if (scenario.sync_errors) {
    // After a failed sync the page cache may show what the disk does not have: nobody may start from it.
    std::erase(kinds, FaultKind::kill);
    kinds.insert(kinds.end(), 3, FaultKind::sync_errors);
  }
  return kinds;
}

constexpr std::size_t kFewestFaults = 10;  // in a cluster

io::sim::FaultPlan draw_plan(const Scenario& scenario, Duration duration, std::size_t fewest, Random& random) {
  io::sim::FaultPlanOptions options;
  options.duration = duration;
  options.mean_interval = random.between(1, 6) * 1s;
  options.longest = 15s;
  options.victims = broker_names(scenario.brokers);
  options.most_dead = std::max<std::size_t>(1, (scenario.brokers - 1) / 2);
  options.bystanders = {kWritersName, kReadersName};
  options.kinds = kinds_of(scenario);
  options.paths = {"",     ".log",      "topic-0-0", "__cluster_metadata",     ".index", ".timeindex",
                   "meta", ".snapshot", "check",     "leader-epoch-checkpoint"};
  for (;;) {
    io::sim::FaultPlan plan = io::sim::FaultPlan::draw(random.next(), options);
    if (plan.faults().size() >= fewest) return plan;
    options.mean_interval = std::max<Duration>(options.mean_interval / 2, 500ms);
  }
}

// A cluster goes through more and longer faults, and may lose a disk.
void draw_faults(Scenario& scenario, Random& random) {
  if (!scenario.is_cluster()) {
    scenario.plan = draw_plan(scenario, random.between(10, 60) * 1s, 0, random);
    return;
  }
  scenario.plan = draw_plan(scenario, random.between(60, 100) * 1s, kFewestFaults, random);
  scenario.dynamic_voters = random.chance(0.5);
  if (random.chance(0.8)) scenario.operator_pause = random.between(1, 8) * 1s;
  if (random.chance(0.3)) {
    scenario.wiped = static_cast<std::size_t>(random.below(scenario.brokers));
    scenario.later_plan = draw_plan(scenario, random.between(10, 30) * 1s, 3, random);
  }
}

// What the nodes of a cluster wait for, and how they find each other out.
void draw_cluster(Settings& settings, Random& random) {
  settings["broker.session.timeout.ms"] = number(random, 3'000, 9'000);
  settings["broker.heartbeat.interval.ms"] = number(random, 300, 2'000);
  settings["replica.lag.time.max.ms"] = number(random, 1'500, 30'000);
  settings["replica.fetch.wait.max.ms"] = number(random, 50, 1'000);
  settings["replica.fetch.max.bytes"] = one_of(random, {"1", "5000", "1048576"});
  settings["controller.quorum.election.timeout.ms"] = number(random, 300, 1'500);
  settings["controller.quorum.fetch.timeout.ms"] = number(random, 800, 3'000);
  settings["leader.imbalance.check.interval.seconds"] = one_of(random, {"5", "300"});
  settings["replica.socket.timeout.ms"] = number(random, 2'000, 9'000);
  settings["metadata.log.max.record.bytes.between.snapshots"] = one_of(random, {"1000", "10000", "20971520"});
}

Settings draw_broker(const Scenario& scenario, Random& random) {
  Settings settings;
  if (scenario.durability == Durability::flushed && random.chance(0.5)) settings["log.flush.interval.messages"] = "1";
  settings["max.incremental.fetch.session.cache.slots"] = one_of(random, {"0", "3", "1000"});
  settings["fetch.max.bytes"] = one_of(random, {"1024", "100000", "57671680"});
  settings["log.flush.offset.checkpoint.interval.ms"] = one_of(random, {"500", "5000", "60000"});
  settings["replica.high.watermark.checkpoint.interval.ms"] = one_of(random, {"500", "5000"});
  settings["log.initial.task.delay.ms"] = one_of(random, {"1000", "30000"});
  settings["log.retention.check.interval.ms"] = one_of(random, {"3000", "300000"});
  if (scenario.is_cluster()) draw_cluster(settings, random);
  return settings;
}

Settings draw_topic(const Scenario& scenario, Random& random) {
  Settings configs{{"index.interval.bytes", one_of(random, {"1", "512", "4096"})},
                   {"retention.ms", "-1"},
                   // The broker's clock may be hours off.
                   {"message.timestamp.before.max.ms", "9223372036854775807"},
                   {"message.timestamp.after.max.ms", "9223372036854775807"}};
  if (scenario.durability == Durability::flushed) {
    if (!scenario.broker.contains("log.flush.interval.messages")) configs["flush.messages"] = "1";
  } else if (random.chance(0.2)) {
    configs["flush.messages"] = number(random, 2, 50);
  }
  if (random.chance(0.2)) configs["message.timestamp.type"] = "LogAppendTime";
  if (random.chance(0.2)) {
    configs["compression.type"] = one_of(random, {"uncompressed", "gzip", "snappy", "lz4", "zstd"});
  }
  if (random.chance(0.1)) configs["preallocate"] = "true";
  if (scenario.is_cluster()) configs["min.insync.replicas"] = "2";
  if (random.chance(0.2)) configs["segment.ms"] = number(random, 500, 30'000);
  // One record fits, a batch of several may be too large and must be split.
  if (random.chance(0.2)) configs["max.message.bytes"] = std::to_string(scenario.largest_value * 11 / 10 + 500);
  return configs;
}

// Batches must fit into a segment as the topic stores them: a producer's limit is for what it sends, and the topic may
// store it in a worse codec.
std::int64_t draw_segment_bytes(const Scenario& scenario, std::size_t topic, Random& random) {
  const auto codec = scenario.topics[topic].configs.find("compression.type");
  const std::int64_t growth = codec == scenario.topics[topic].configs.end() ? 1 : 4;
  std::int64_t largest = static_cast<std::int64_t>(scenario.largest_value) * 11 / 10 + 500;
  for (const ProducerPlan& producer : scenario.producers) {
    if (producer.topic == topic) largest = std::max(largest, growth * std::stol(*producer.config.get("batch.size")));
  }
  return random.between(largest, std::max<std::int64_t>(80 << 10, 2 * largest));
}

void make_idempotent(ProducerPlan& plan, Random& random) {
  plan.config.set("acks", "all");
  plan.config.set("enable.idempotence", "true");
  plan.config.set("max.in.flight.requests.per.connection", number(random, 1, 5));
}

void make_plain(ProducerPlan& plan, bool cluster, Random& random) {
  const std::string acks = one_of(random, {"all", "1", "1", "0"});
  const std::int64_t in_flight = random.chance(0.5) ? 1 : random.between(2, 8);
  const bool retries = random.chance(0.7);
  plan.config.set("acks", acks);
  plan.config.set("enable.idempotence", "false");
  plan.config.set("max.in.flight.requests.per.connection", std::to_string(in_flight));
  if (!retries) plan.config.set("retries", "0");
  // What a leader alone has acknowledged may go with it.
  const bool stored = cluster ? acks == "all" : acks != "0";
  plan.promise = {.stored = stored, .once = !retries, .ordered = false, .acknowledged_rises = stored && in_flight == 1};
  plan.last_must_succeed = retries;
}

ProducerPlan draw_producer(const Scenario& scenario, std::uint32_t number_in_topic, std::size_t topic, Random& random) {
  ProducerPlan plan;
  plan.number = static_cast<std::uint32_t>(topic) * 100 + number_in_topic;
  plan.topic = topic;
  plan.records = static_cast<std::uint32_t>(random.between(20, 600));
  if (random.chance(0.15)) plan.restart_chance = 0.03;
  plan.config.set("client.id", fmt::format("producer-{}", plan.number));
  plan.config.set("bootstrap.servers", bootstrap_servers(scenario.brokers));
  plan.config.set("request.timeout.ms", std::to_string(scenario.request_timeout_ms));
  plan.config.set("delivery.timeout.ms", std::to_string(scenario.delivery_timeout_ms));
  plan.config.set("compression.type", one_of(random, {"none", "gzip", "snappy", "lz4", "zstd"}));
  plan.config.set("linger.ms", random.chance(0.3) ? "0" : number(random, 1, 100));
  plan.config.set("batch.size", std::to_string(random.between(1, 32) * 512));
  plan.config.set("buffer.memory", random.chance(0.3) ? "131072" : "33554432");
  if (random.chance(0.55)) {
    make_idempotent(plan, random);
  } else {
    make_plain(plan, scenario.is_cluster(), random);
  }
  return plan;
}

ConsumerPlan draw_consumer(const Scenario& scenario, std::size_t topic, Random& random) {
  ConsumerPlan plan;
  plan.topic = topic;
  plan.config.set("client.id", fmt::format("live-{}", topic));
  plan.config.set("bootstrap.servers", bootstrap_servers(scenario.brokers));
  plan.config.set("request.timeout.ms", "10000");
  plan.config.set("fetch.max.bytes", one_of(random, {"1", "2000", "65536", "52428800"}));
  plan.config.set("max.partition.fetch.bytes", one_of(random, {"1", "700", "5000", "65536", "1048576"}));
  plan.config.set("fetch.min.bytes", one_of(random, {"1", "1", "1000", "30000"}));
  plan.config.set("fetch.max.wait.ms", one_of(random, {"10", "100", "500", "2000"}));
  // A broker waits in vain for more than it may send.
  if (std::stol(*plan.config.get("max.partition.fetch.bytes")) < std::stol(*plan.config.get("fetch.min.bytes"))) {
    plan.config.set("fetch.max.wait.ms", "10");
  }
  plan.config.set("max.poll.records", one_of(random, {"1", "7", "500"}));
  plan.config.set("isolation.level", one_of(random, {"read_uncommitted", "read_committed"}));
  if (random.chance(0.3)) plan.restart_chance = 0.03;
  // Where records are lost meanwhile, moves would hide what was not read again.
  if (scenario.durability != Durability::unflushed && random.chance(0.3)) plan.wander_chance = 0.05;
  return plan;
}

std::string text_of(const Settings& settings) {
  std::string text;
  for (const auto& [key, value] : settings) text += fmt::format(" {}={}", key, value);
  return text;
}

std::string text_of(const Config& config) {
  return text_of(Settings(config.settings().begin(), config.settings().end()));
}

}  // namespace

std::vector<std::string> broker_names(std::size_t brokers) {
  if (brokers == 1) return {"broker"};
  std::vector<std::string> names;
  names.reserve(brokers);
  for (std::size_t number = 1; number <= brokers; ++number) names.push_back(fmt::format("broker-{}", number));
  return names;
}

std::string bootstrap_servers(std::size_t brokers) {
  std::string servers;
  for (const std::string& name : broker_names(brokers)) {
    servers += fmt::format("{}{}:{}", servers.empty() ? "" : ",", name, kBrokerPort);
  }
  return servers;
}

Scenario Scenario::draw(std::uint64_t seed, std::size_t brokers) {
  Random random(seed ^ 0x7363656E6172696FULL);
  Scenario scenario;
  scenario.seed = seed;
  scenario.brokers = brokers;
  scenario.shards = static_cast<unsigned>(random.between(1, 3));
  const double durability = random.unit();
  if (durability < 0.65) scenario.durability = durability < 0.4 ? Durability::flushed : Durability::unflushed;
  // Replicas make up for tails that were not flushed only as long as machines fail one after the other, with time to
  // catch up between: not what is drawn here.
  if (scenario.is_cluster() && scenario.durability == Durability::unflushed) scenario.durability = Durability::flushed;
  scenario.disk_fills = random.chance(0.25);
  scenario.disk_errors = random.chance(0.2);
  scenario.sync_errors = scenario.power_fails() && random.chance(0.2);
  const bool large = random.chance(0.2);
  scenario.largest_value = large ? 20'000 : 400;
  scenario.request_timeout_ms = random.between(large ? 4 : 1, 8) * 1000;
  scenario.delivery_timeout_ms = scenario.request_timeout_ms + random.between(1, 60) * 1000;
  scenario.broker = draw_broker(scenario, random);
  const auto topics = static_cast<std::size_t>(random.between(1, 2));
  for (std::size_t topic = 0; topic < topics; ++topic) {
    const auto partitions = static_cast<std::int32_t>(random.between(1, 4));
    scenario.topics.push_back({fmt::format("topic-{}", topic), partitions, draw_topic(scenario, random)});
    const auto producers = static_cast<std::uint32_t>(random.between(1, 3));
    for (std::uint32_t producer = 0; producer < producers; ++producer) {
      scenario.producers.push_back(draw_producer(scenario, producer, topic, random));
    }
    scenario.topics.back().configs["internal.segment.bytes"] =
        std::to_string(draw_segment_bytes(scenario, topic, random));
    scenario.consumers.push_back(draw_consumer(scenario, topic, random));
  }
  draw_faults(scenario, random);
  for (std::int64_t restarts = random.chance(0.3) ? random.between(1, 3) : 0; restarts > 0; --restarts) {
    scenario.clean_restarts.push_back(Duration(random.between(0, scenario.plan.end().count())));
  }
  return scenario;
}

std::string Scenario::text() const {
  constexpr const char* kDurability[] = {"only processes die", "power fails, acknowledged is flushed",
                                         "power fails, nothing is flushed"};
  std::string text = fmt::format("seed {}: {} brokers of {} shards, {}{}{}{}, values up to {} bytes\nbroker:{}\n", seed,
                                 brokers, shards, kDurability[static_cast<std::size_t>(durability)],
                                 disk_fills ? ", disk fills" : "", disk_errors ? ", reads and writes fail" : "",
                                 sync_errors ? ", syncs fail" : "", largest_value, text_of(broker));
  for (const TopicPlan& topic : topics) {
    text += fmt::format("{} of {} partitions:{}\n", topic.name, topic.partitions, text_of(topic.configs));
  }
  for (const ProducerPlan& producer : producers) {
    text +=
        fmt::format("producer {} of {} records ({}){}:{}\n", producer.number, producer.records, producer.promise.text(),
                    producer.restart_chance > 0 ? ", restarts" : "", text_of(producer.config));
  }
  for (const ConsumerPlan& consumer : consumers) {
    text += fmt::format("consumer of {}{}{}:{}\n", topics[consumer.topic].name,
                        consumer.restart_chance > 0 ? ", restarts" : "", consumer.wander_chance > 0 ? ", wanders" : "",
                        text_of(consumer.config));
  }
  for (const Duration restart : clean_restarts) {
    text += fmt::format("{:.3f}s clean restart of a broker\n", std::chrono::duration<double>(restart).count());
  }
  text += plan.text();
  if (is_cluster()) {
    text += fmt::format("{} voters; the operator acts {}\n", dynamic_voters ? "dynamic" : "static",
                        operator_pause.count() == 0 ? "never" : fmt::format("up to {} s apart", operator_pause / 1s));
  }
  if (wiped) text += fmt::format("then {} loses its disk:\n{}", broker_names(brokers)[*wiped], later_plan.text());
  return text;
}

}  // namespace klamm::simtest
