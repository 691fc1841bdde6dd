#include <algorithm>

#include "base/random.h"
#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/latency.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

constexpr Duration kPatience = 60s;
constexpr std::int64_t kReportEvery = 1000;
constexpr std::uint64_t kSeed = 1;

Options declare() {
  Options options("e2e-latency",
                  "Measures the time from sending a record to receiving it, one record after the other.");
  options.text("--bootstrap-server", "host:port,...", "The brokers to connect to first.").require("bootstrap-server");
  options.text("--topic", "topic", "The topic; made with one partition if it is not there.").require("topic");
  options.int32("--num-records", "count", "The number of records.").require("num-records");
  options.text("--producer-acks", "acks", "1 or all.").require("producer-acks");
  options.int32("--record-size", "bytes", "The size of each record's value.").require("record-size");
  options.int32("--record-key-size", "bytes", "The size of each record's key (default: 0, no key).");
  options.int32("--num-headers", "count", "Headers of each record (default: 0).");
  options.int32("--record-header-key-size", "bytes", "The size of each header's key (default: 0).");
  options.int32("--record-header-size", "bytes", "The size of each header's value (default: 0).");
  options.text("--command-config", "file", "A properties file with settings of producer, consumer and admin client.");
  return options;
}

// The deprecated form without names: bootstrap-server topic num-records producer-acks record-size [command-config].
std::optional<int> name_positional(Arguments& arguments) {
  if (arguments.empty() || arguments.front().starts_with("-")) return std::nullopt;
  constexpr std::string_view kNames[] = {"--bootstrap-server", "--topic",       "--num-records",
                                         "--producer-acks",    "--record-size", "--command-config"};
  if (arguments.size() != 5 && arguments.size() != 6) {
    return fail_with(
        "Invalid number of arguments. Expected 5 or 6 positional arguments, but got {}. Usage: bootstrap-server topic "
        "num-records producer-acks "
        "record-size [optional] command-config",
        arguments.size());
  }
  print(
      "WARNING: Positional argument usage is deprecated and will be removed in Apache Kafka 5.0. Please use named "
      "arguments instead: "
      "--bootstrap-server, --topic, --num-records, --producer-acks, --record-size, --command-config\n");
  Arguments named;
  for (std::size_t index = 0; index < arguments.size(); ++index) {
    named.emplace_back(kNames[index]);
    named.push_back(std::move(arguments[index]));
  }
  arguments = std::move(named);
  return std::nullopt;
}

std::string random_text(Random& random, std::int64_t size) {
  std::string text(static_cast<std::size_t>(size), ' ');
  for (char& letter : text) letter = static_cast<char>('A' + random.below(26));
  return text;
}

Result<Config> base_config(const Options& options) {
  Config config;
  if (const auto path = options.text_of("command-config")) {
    Result<void> loaded = load_properties(config, *path);
    KLAMM_TRY(loaded);
  }
  config.set("bootstrap.servers", *options.text_of("bootstrap-server"));
  return config;
}

Result<void> make_topic(const Config& config, const std::string& topic, Session& session) {
  Result<blocking::Admin> admin = blocking::Admin::create(config, {}, session.runtime());
  KLAMM_TRY(admin);
  Result<ListTopics::Outcome> topics = admin->list_topics({.internal = true});
  KLAMM_TRY(topics);
  const auto is_it = [&](const TopicListing& one) { return one.name == topic; };
  if (std::any_of(topics->begin(), topics->end(), is_it)) return {};
  print("Topic \"{}\" does not exist. Will create topic with 1 partition(s) and replication factor = 1\n", topic);
  NewTopic made;
  made.name = topic;
  made.partitions = 1;
  made.replication_factor = 1;
  Result<CreateTopics::Outcome> created = admin->create_topics({.topics = {std::move(made)}});
  KLAMM_TRY(created);
  for (const auto& [name, result] : *created) KLAMM_TRY(result);
  return {};
}

class Measurement {
 public:
  Measurement(const Options& options, Session& session, blocking::Producer& producer, blocking::Consumer& consumer)
      : options_(options),
        session_(session),
        producer_(producer),
        consumer_(consumer),
        topic_(*options.text_of("topic")) {}
  Result<void> run();

 private:
  Result<void> go_to_end();
  Result<Duration> round_trip();

  const Options& options_;
  Session& session_;
  blocking::Producer& producer_;
  blocking::Consumer& consumer_;
  std::string topic_;
  Random random_{kSeed};
};

Result<void> Measurement::go_to_end() {
  Result<std::vector<PartitionInfo>> found = consumer_.partitions_for(topic_);
  KLAMM_TRY(found);
  std::vector<TopicPartition> partitions;
  for (const PartitionInfo& info : *found) partitions.push_back({topic_, info.partition});
  Result<void> step = consumer_.assign(partitions);
  KLAMM_TRY(step);
  step = consumer_.seek_to_end();
  KLAMM_TRY(step);
  for (const TopicPartition& partition : partitions) {
    Result<std::int64_t> position = consumer_.position(partition);
    KLAMM_TRY(position);
  }
  return {};
}

// Sends one record, waits for it, and checks that it is the same.
Result<Duration> Measurement::round_trip() {
  const std::string key = random_text(random_, options_.number_or("record-key-size", 0));
  const std::string value = random_text(random_, options_.number_or("record-size", 0));
  std::vector<std::string> texts;
  const std::int64_t headers = options_.number_or("num-headers", 0);
  for (std::int64_t index = 0; index < headers; ++index) {
    texts.push_back(random_text(random_, options_.number_or("record-header-key-size", 0)));
    texts.push_back(random_text(random_, options_.number_or("record-header-size", 0)));
  }
  std::vector<Header> list;
  for (std::size_t index = 0; index + 1 < texts.size(); index += 2) list.push_back({texts[index], texts[index + 1]});
  Record record;
  record.topic = topic_;
  if (!key.empty()) record.key = key;
  record.value = value;
  record.headers = list;
  const Instant begin = session_.now();
  Result<RecordMetadata> sent = producer_.send_and_wait(record);
  KLAMM_TRY(sent);
  Result<Records> records = consumer_.poll(kPatience);
  KLAMM_TRY(records);
  const Duration time = session_.now() - begin;
  if (records->empty())
    return fail(Errc::timed_out, fmt::format("poll() timed out before finding a result (timeout:[{}ms])",
                                             kPatience.count() / 1'000'000));
  if (records->size() != 1)
    return fail(Errc::corrupt,
                fmt::format("Only one result was expected during this test. We found [{}]", records->size()));
  const RecordView& got = (*records)[0];
  if (got.value.text() != value)
    return fail(Errc::corrupt, "The message value read did not match the message value sent");
  if (got.key != record.key) return fail(Errc::corrupt, "The message key read did not match the message key sent");
  if (static_cast<std::int64_t>(got.headers.size()) != headers)
    return fail(Errc::corrupt, "The headers read did not match the headers sent");
  return time;
}

Result<void> Measurement::run() {
  Result<void> ready = go_to_end();
  KLAMM_TRY(ready);
  const std::int64_t count = options_.number_or("num-records", 0);
  Latencies latencies;
  double total_ms = 0;
  for (std::int64_t number = 0; number < count; ++number) {
    Result<Duration> time = round_trip();
    KLAMM_TRY(time);
    const double ms = std::chrono::duration<double, std::milli>(*time).count();
    if (number % kReportEvery == 0) print("{}\t{}\n", number, ms);
    flush_output();
    total_ms += ms;
    latencies.add(static_cast<std::int64_t>(ms));
  }
  print("Avg latency: {:.4f} ms\n", count > 0 ? total_ms / static_cast<double>(count) : 0.0);
  print("Percentiles: 50th = {}, 99th = {}, 99.9th = {}\n", latencies.percentile_ms(0.5), latencies.percentile_ms(0.99),
        latencies.percentile_ms(0.999));
  return {};
}

}  // namespace

int run_e2e_latency(const Arguments& given) {
  Arguments arguments = given;
  if (const auto status = name_positional(arguments)) return *status;
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  const std::string acks = *options.text_of("producer-acks");
  if (acks != "1" && acks != "all") {
    return fail_text(
        "Invalid value for --producer-acks. Latency testing requires synchronous acknowledgement. Please use '1' or "
        "'all'.");
  }
  for (const char* name : {"num-records", "record-size", "record-key-size", "num-headers", "record-header-key-size",
                           "record-header-size"}) {
    if (options.number_or(name, 0) < 0) return fail_with("Value for --{} must be a non-negative number.", name);
  }
  Result<Config> config = base_config(options);
  if (!config) return fail_text(reason_of(config.error()));
  if (Result<void> found = check_bootstrap(*config); !found) return fail_text(reason_of(found.error()));
  Session session;
  Result<void> topic = make_topic(*config, *options.text_of("topic"), session);
  if (!topic) return fail_text(reason_of(topic.error()));

  Config producing = *config;
  producing.set("linger.ms", "0").set("max.block.ms", "9223372036854775807").set("acks", acks);
  ProducerHooks producer_hooks;
  producer_hooks.log_sink = client_log();
  producer_hooks.log_level = LogLevel::warning;
  Result<blocking::Producer> producer =
      blocking::Producer::create(producing, std::move(producer_hooks), session.runtime());
  if (!producer) return fail_text(reason_of(producer.error()));
  Config consuming = *config;
  consuming.set("enable.auto.commit", "false").set("auto.offset.reset", "latest").set("fetch.max.wait.ms", "0");
  consuming.erase("group.id");
  ConsumerHooks consumer_hooks;
  consumer_hooks.log_sink = client_log();
  consumer_hooks.log_level = LogLevel::warning;
  Result<blocking::Consumer> consumer =
      blocking::Consumer::create(consuming, std::move(consumer_hooks), session.runtime());
  if (!consumer) return fail_text(reason_of(consumer.error()));

  Result<void> done = Measurement(options, session, *producer, *consumer).run();
  (void)consumer->close();
  (void)producer->close(5s);
  return done ? 0 : fail_text(reason_of(done.error()));
}

}  // namespace klamm::tools
