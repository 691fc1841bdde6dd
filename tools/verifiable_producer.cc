#include <nlohmann/json.hpp>

#include <limits>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

using Json = nlohmann::ordered_json;

Options declare() {
  Options options("verifiable-producer", "Sends increasing numbers and prints, as JSON, each that is acknowledged.",
                  Options::Style::argparse);
  options.text("--bootstrap-server", "host:port,...", "The brokers to connect to first.").require("bootstrap-server");
  options.text("--topic", "topic", "The topic to send to.").require("topic");
  options.int64("--max-messages", "count", "The number of records to send; -1 (the default): until it is stopped.");
  options.int32("--throughput", "records/s", "The most records to send a second; -1 (the default): as many as go.");
  options.text("--acks", "0 | 1 | -1", "The producer's acks (default: -1).");
  options.text("--command-config", "file", "A properties file with producer settings.");
  options.text("--producer.config", "file", "Deprecated: use --command-config.");
  options.int64("--message-create-time", "ms",
                "The first record's timestamp, in ms since 1970; the others follow as the time does (default: now).");
  options.int32("--value-prefix", "number", "Values are <number>.<count> instead of <count>.");
  options.int32("--repeating-keys", "count", "Records have the keys 0 to count - 1 in turns, instead of none.");
  return options;
}

Result<Config> producer_config(const Options& options) {
  Config config;
  config.set("acks", options.text_or("acks", "-1"));
  config.set("retries", "0");
  for (const char* name : {"producer.config", "command-config"}) {
    if (const auto path = options.text_of(name)) {
      Result<void> loaded = load_properties(config, *path);
      KLAMM_TRY(loaded);
    }
  }
  config.set("bootstrap.servers", *options.text_of("bootstrap-server"));
  return config;
}

Json event(TimestampMs now_ms, std::string_view name) { return {{"timestamp", now_ms}, {"name", name}}; }

// A line at once: whoever reads it counts on what it says even if this process is killed.
void say(const Json& json) {
  print("{}\n", json.dump());
  flush_output();
}

// What became of the records. Told on the client's loop; read when the producer is closed.
class Outcomes {
 public:
  explicit Outcomes(io::Shard& clock) : clock_(clock) {}
  void tell(const Json& key, const std::string& value, const std::string& topic,
            const Result<RecordMetadata>& outcome) {
    if (outcome) {
      ++acknowledged_;
      Json json = event(clock_.wall_ms(), "producer_send_success");
      json["key"] = key;
      json["value"] = value;
      json["offset"] = outcome->offset;
      json["topic"] = outcome->topic;
      json["partition"] = outcome->partition;
      return say(json);
    }
    Json json = event(clock_.wall_ms(), "producer_send_error");
    json["topic"] = topic;
    json["key"] = key;
    json["value"] = value;
    json["exception"] = "class org.apache.kafka.common.errors." + exception_of(outcome.error());
    json["message"] = reason_of(outcome.error());
    say(json);
  }
  std::uint64_t acknowledged() const noexcept { return acknowledged_; }

 private:
  io::Shard& clock_;
  std::uint64_t acknowledged_ = 0;
};

class VerifiableProducer {
 public:
  VerifiableProducer(const Options& options, Session& session, blocking::Producer producer, Outcomes& outcomes)
      : options_(options),
        session_(session),
        producer_(std::move(producer)),
        outcomes_(outcomes),
        topic_(*options.text_of("topic")),
        start_(session.now()) {}
  // Sends until all is sent, or a signal came.
  void run(Interrupt& interrupt);
  // Waits for what is under way.
  void close() { (void)producer_.close(std::chrono::seconds(std::numeric_limits<std::int32_t>::max())); }
  void print_summary();

 private:
  void send(std::int64_t number);

  const Options& options_;
  Session& session_;
  blocking::Producer producer_;
  Outcomes& outcomes_;
  std::string topic_;
  Instant start_;
  std::int64_t sent_ = 0;
};

void VerifiableProducer::run(Interrupt& interrupt) {
  const std::int64_t most = options_.number_or("max-messages", -1);
  const auto per_second = static_cast<double>(options_.number_or("throughput", -1));
  for (std::int64_t number = 0; most < 0 || number < most; ++number) {
    if (interrupt.raised()) return;
    if (per_second > 0) {
      const auto due = std::chrono::duration<double>(static_cast<double>(number) / per_second);
      const Duration pause = std::chrono::duration_cast<Duration>(due) - (session_.now() - start_);
      if (pause >= 1ms && interrupt.wait_for(pause)) return;
    }
    send(number);
  }
}

void VerifiableProducer::send(std::int64_t number) {
  std::string value = std::to_string(number);
  if (const auto prefix = options_.number_of("value-prefix")) value = fmt::format("{}.{}", *prefix, value);
  Json key = nullptr;
  std::string key_text;
  if (const auto keys = options_.number_of("repeating-keys")) {
    key_text = std::to_string(number % std::max<std::int64_t>(1, *keys));
    key = key_text;
  }
  Record record;
  record.topic = topic_;
  if (!key.is_null()) record.key = key_text;
  record.value = value;
  if (const auto time = options_.number_of("message-create-time")) {
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(session_.now() - start_).count();
    record.timestamp = *time + passed;
  }
  ++sent_;
  Result<void> taken = producer_.send(
      record, [this, key, value](const Result<RecordMetadata>& done) { outcomes_.tell(key, value, topic_, done); });
  if (taken) return;
  // Not taken: said on the loop, where the others are.
  session_.machine().run(0,
                         [](Outcomes& outcomes, const Json& key, const std::string& value, const std::string& topic,
                            const Error& error) -> io::Task<void> {
                           outcomes.tell(key, value, topic, Result<RecordMetadata>(fail(Error(error))));
                           co_return;
                         }(outcomes_, key, value, topic_, taken.error()));
}

void VerifiableProducer::print_summary() {
  const double seconds = std::max(0.001, std::chrono::duration<double>(session_.now() - start_).count());
  say(event(session_.wall_ms(), "shutdown_complete"));
  Json json = event(session_.wall_ms(), "tool_data");
  json["sent"] = sent_;
  json["acked"] = outcomes_.acknowledged();
  json["target_throughput"] = options_.number_or("throughput", -1);
  json["avg_throughput"] = static_cast<double>(outcomes_.acknowledged()) / seconds;
  say(json);
}

}  // namespace

int run_verifiable_producer(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  const std::string acks = options.text_or("acks", "-1");
  if (acks != "0" && acks != "1" && acks != "-1")
    return options.usage_error(fmt::format("argument --acks: invalid choice: {} (choose from {{0,1,-1}})", acks));
  Result<Config> config = producer_config(options);
  if (!config) return fail_text(reason_of(config.error()));
  if (Result<void> found = check_bootstrap(*config); !found) return fail_text(reason_of(found.error()));

  Session session;
  Outcomes outcomes(session.machine().at(0));
  Interrupt interrupt(session.machine());
  ProducerHooks hooks;
  hooks.log_sink = client_log();
  hooks.log_level = LogLevel::warning;
  Result<blocking::Producer> producer = blocking::Producer::create(*config, std::move(hooks), session.runtime());
  if (!producer) return fail_text(reason_of(producer.error()));
  say(event(session.wall_ms(), "startup_complete"));
  VerifiableProducer sender(options, session, std::move(*producer), outcomes);
  sender.run(interrupt);
  sender.close();
  interrupt.settle();
  sender.print_summary();
  return interrupt.raised() ? interrupt.status() : 0;
}

}  // namespace klamm::tools
