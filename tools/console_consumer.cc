#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/record_formatter.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kDefaultFormatter = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";
// Partitions that are added while the tool reads are looked for when nothing came for so long.
constexpr Duration kLookAgain = 30s;
// How long one look-up of the topic may take before Ctrl-C is looked at, and the pause before the next.
constexpr std::int64_t kLeastLookupMs = 1000;
constexpr std::int64_t kMostLookupMs = 5000;
constexpr Duration kLookupPause = 200ms;
constexpr std::size_t kWriteBytes = 64 << 10;

Options declare() {
  Options options("console-consumer", "Prints the records of a topic.");
  options.text("--bootstrap-server", "host:port,...", "The brokers to connect to first.").require("bootstrap-server");
  options.text("--topic", "topic", "The topic to read: all of its partitions, unless --partition is given.");
  options.int32("--partition", "number", "The only partition to read.");
  options.text("--offset", "offset", "Where to begin: a number, 'earliest' or 'latest' (default). With --partition.");
  options.flag("--from-beginning", "Begin at the earliest record, not behind the latest.");
  options.int32("--max-messages", "count", "End after so many records.");
  options.int64("--timeout-ms", "ms", "End when no record came for so long.");
  options.many("--formatter-property", "key=value",
               "What is printed: print.timestamp, print.partition, print.offset, print.epoch, print.headers, "
               "print.key, print.value "
               "(true or false); key.separator, line.separator, headers.separator, null.literal; key.deserializer, "
               "value.deserializer, header.deserializer.");
  options.text("--formatter", "class",
               "DefaultMessageFormatter, LoggingMessageFormatter or NoOpMessageFormatter, with Kafka's package.");
  options.text("--formatter-config", "file",
               "A properties file with formatter properties; --formatter-property goes before it.");
  options.text("--key-deserializer", "class", "The deserializer of keys.");
  options.text("--value-deserializer", "class", "The deserializer of values.");
  options.text("--isolation-level", "level",
               "read_uncommitted (default), or read_committed: only what was not rolled back.");
  options.text("--command-config", "file",
               "A properties file with consumer settings; --command-property goes before it.");
  options.many("--command-property", "key=value", "A consumer setting.");
  options.flag("--skip-message-on-error", "Go on after a record that cannot be printed.");
  options.flag("--enable-systest-events", "Print lifecycle events too.");
  options.text("--group", "id", "Consumer groups are not served yet.");
  options.text("--include", "pattern", "Consumer groups are not served yet.");
  options.text("--consumer.config", "file", "Deprecated: use --command-config.");
  options.many("--consumer-property", "key=value", "Deprecated: use --command-property.");
  options.many("--property", "key=value", "Deprecated: use --formatter-property.");
  return options;
}

struct Renamed {
  std::string_view older;
  std::string_view newer;
};
constexpr Renamed kRenamed[] = {
    {"property", "formatter-property"},
    {"consumer-property", "command-property"},
    {"consumer.config", "command-config"},
};

// The beginning of a partition that --offset names; nothing: by auto.offset.reset.
Result<std::optional<std::int64_t>> start_offset(const Options& options) {
  std::optional<std::int64_t> number;
  const std::string text = options.text_or("offset", "latest");
  if (text == "earliest" || text == "latest") return number;
  std::int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    return fail(Errc::invalid_argument, fmt::format("The provided offset value '{}' is incorrect. Valid values are "
                                                    "'earliest', 'latest', or a non-negative long.",
                                                    text));
  }
  number = value;
  return number;
}

std::optional<int> check(const Options& options) {
  for (const Renamed& renamed : kRenamed) {
    if (!options.has(renamed.older)) continue;
    if (options.has(renamed.newer)) {
      return options.usage_error(
          fmt::format("Options {} and {} cannot be specified together.", renamed.newer, renamed.older));
    }
    print("Option --{} is deprecated and will be removed in a future version. Use --{} instead.\n", renamed.older,
          renamed.newer);
  }
  if (options.has("topic") == options.has("include")) {
    return options.usage_error("Exactly one of the following arguments is required: [topic], [include]");
  }
  if (options.has("partition")) {
    if (!options.has("topic")) return options.usage_error("The topic is required when partition is specified.");
    if (options.has("group")) return options.usage_error("Options group and partition cannot be specified together.");
  } else if (options.has("offset")) {
    return options.usage_error("The partition is required when offset is specified.");
  }
  if (options.has("from-beginning") && options.has("offset")) {
    return options.usage_error("Options from-beginning and offset cannot be specified together.");
  }
  Result<std::optional<std::int64_t>> offset = start_offset(options);
  if (!offset) return options.usage_error(offset.error().context());
  for (const char* name : {"group", "include"}) {
    if (options.has(name)) {
      return fail_with(
          "--{}: reading as a member of a consumer group is not served yet. Without it, --topic reads all partitions "
          "of a topic.",
          name);
    }
  }
  return std::nullopt;
}

Result<void> add_properties(Config& config, const Options& options, std::string_view newer, std::string_view older) {
  for (const std::string_view name : {newer, older}) {
    for (const std::string& text : options.all_of(name)) {
      Result<void> added = add_property(config, text);
      KLAMM_TRY(added);
    }
  }
  return {};
}

Result<Config> consumer_config(const Options& options) {
  Config config;
  for (const char* name : {"consumer.config", "command-config"}) {
    if (const auto path = options.text_of(name)) {
      Result<void> loaded = load_properties(config, *path);
      KLAMM_TRY(loaded);
    }
  }
  Result<void> added = add_properties(config, options, "command-property", "consumer-property");
  KLAMM_TRY(added);
  const bool from_start = options.has("from-beginning") || options.text_or("offset", "latest") == "earliest";
  const std::optional<std::string> reset = config.get("auto.offset.reset");
  if (options.has("from-beginning") && reset && *reset != "earliest") {
    return fail(
        Errc::invalid_argument,
        fmt::format(
            "Can't simultaneously specify --from-beginning and 'auto.offset.reset={}', please remove one option",
            *reset));
  }
  if (from_start || !reset) config.set("auto.offset.reset", from_start ? "earliest" : "latest");
  config.set("bootstrap.servers", *options.text_of("bootstrap-server"));
  config.set("isolation.level",
             options.text_or("isolation-level", config.get("isolation.level").value_or("read_uncommitted")));
  if (!config.contains("client.id")) config.set("client.id", "console-consumer");
  const std::int64_t lookup_ms =
      std::clamp(options.number_or("timeout-ms", kMostLookupMs), kLeastLookupMs, kMostLookupMs);
  if (!config.contains("default.api.timeout.ms")) config.set("default.api.timeout.ms", std::to_string(lookup_ms));
  if (!config.contains("enable.auto.commit")) config.set("enable.auto.commit", "false");
  config.erase("group.id");
  return config;
}

Result<RecordFormatter> make_formatter(const Options& options) {
  Config properties;
  if (const auto path = options.text_of("formatter-config")) {
    Result<void> loaded = load_properties(properties, *path);
    KLAMM_TRY(loaded);
  }
  Result<void> added = add_properties(properties, options, "formatter-property", "property");
  KLAMM_TRY(added);
  if (const auto name = options.text_of("key-deserializer")) properties.set("key.deserializer", *name);
  if (const auto name = options.text_of("value-deserializer")) properties.set("value.deserializer", *name);
  return RecordFormatter::create(options.text_or("formatter", kDefaultFormatter), properties);
}

class ConsoleConsumer {
 public:
  ConsoleConsumer(const Options& options, blocking::Consumer& consumer, RecordFormatter formatter, Session& session,
                  Interrupt& interrupt)
      : consumer_(consumer),
        formatter_(std::move(formatter)),
        session_(session),
        interrupt_(interrupt),
        topic_(*options.text_of("topic")),
        partition_(options.number_of("partition")),
        most_(options.number_or("max-messages", -1)),
        skip_(options.has("skip-message-on-error")) {
    const std::int64_t timeout_ms = options.number_or("timeout-ms", -1);
    timeout_ = timeout_ms < 0 ? Duration::max() : milliseconds(timeout_ms);
  }

  // Reads to the end; returns the exit status.
  int run(std::optional<std::int64_t> offset);
  std::int64_t count() const noexcept { return count_; }

 private:
  // Assigns all partitions of the topic; waits until it is there. The exit status, if the reading is over.
  std::optional<int> find_partitions();
  void look_again();
  // The exit status, if the reading is over.
  std::optional<int> print_records(const Records& records);
  // What ends the reading. Kafka's tool ends with success here.
  static int terminate(std::string_view why) {
    flush_output();
    fmt::print(stderr, "Error processing message, terminating consumer process: {}\n", why);
    return 0;
  }
  // The same; but a setting that cannot be used is found before Kafka's consumer is there, and then the status is 1.
  static int terminate(const Error& error) {
    terminate(message_of(error));
    return error == Errc::invalid_argument ? 1 : 0;
  }
  static int unwritable() {
    forgive_output();
    fmt::print(stderr, "Unable to write to standard out, closing consumer.\n");
    return 0;
  }
  int out_of_time() const {
    return terminate(fmt::format("no record came within {} ms",
                                 std::chrono::duration_cast<std::chrono::milliseconds>(timeout_).count()));
  }
  bool done() const noexcept { return most_ >= 0 && count_ >= most_; }

  blocking::Consumer& consumer_;
  RecordFormatter formatter_;
  Session& session_;
  Interrupt& interrupt_;
  std::string topic_;
  std::optional<std::int64_t> partition_;
  std::int64_t most_;
  bool skip_;
  Duration timeout_{0};
  std::int64_t count_ = 0;
};

std::optional<int> ConsoleConsumer::find_partitions() {
  const Instant start = session_.now();
  bool told = false;
  for (;;) {
    Result<std::vector<PartitionInfo>> found = consumer_.partitions_for(topic_);
    if (interrupt_.raised()) return 0;
    if (found && !found->empty()) {
      std::vector<TopicPartition> partitions;
      for (const PartitionInfo& info : *found) partitions.push_back({topic_, info.partition});
      Result<void> assigned = consumer_.assign(std::move(partitions));
      if (!assigned) return terminate(assigned.error());
      return std::nullopt;
    }
    if (!found && !found.error().retriable() && !(found.error() == Errc::timed_out)) {
      return terminate(found.error());
    }
    if (!told)
      fmt::print(stderr, "Topic {} cannot be read yet, trying again: {}\n", topic_,
                 found ? "it has no partitions" : message_of(found.error()));
    told = true;
    if (session_.now() - start >= timeout_) {
      return out_of_time();
    }
    if (interrupt_.wait_for(kLookupPause)) return 0;
  }
}

void ConsoleConsumer::look_again() {
  Result<std::vector<PartitionInfo>> found = consumer_.partitions_for(topic_);
  if (!found || found->size() <= consumer_.assignment().size()) return;
  std::vector<TopicPartition> partitions;
  for (const PartitionInfo& info : *found) partitions.push_back({topic_, info.partition});
  (void)consumer_.assign(std::move(partitions));  // those that were assigned before keep their position
}

std::optional<int> ConsoleConsumer::print_records(const Records& records) {
  std::string& out = output_buffer();
  for (const RecordView& record : records) {
    if (done()) return 0;
    ++count_;
    const std::size_t before = out.size();
    Result<void> formatted = formatter_.format(record, out);
    if (!formatted) {
      out.resize(before);
      if (!skip_)
        return fail_with("{}-{} offset {}: {}", record.topic, record.partition, record.offset,
                         formatted.error().context());
      flush_output();
      fmt::print(stderr, "{}-{} offset {} is skipped: {}\n", record.topic, record.partition, record.offset,
                 formatted.error().context());
    }
    if (out.size() >= kWriteBytes && !flush_output()) {
      return unwritable();
    }
  }
  return std::nullopt;
}

int ConsoleConsumer::run(std::optional<std::int64_t> offset) {
  if (partition_) {
    const TopicPartition only{topic_, static_cast<std::int32_t>(*partition_)};
    Result<void> assigned = consumer_.assign({only});
    if (assigned && offset) assigned = consumer_.seek(only, *offset);
    if (!assigned) return terminate(assigned.error());
  } else if (const auto status = find_partitions()) {
    return *status;
  }
  Duration idle{0};
  while (!done() && !interrupt_.raised()) {
    // What is formatted is written before the tool waits.
    const bool unwritten = !output_buffer().empty();
    const Duration wait = unwritten ? Duration(0) : std::min(timeout_ - idle, kLookAgain);
    Result<Records> records = consumer_.poll(wait);
    if (!records) {
      if (interrupt_.raised() || records.error() == Errc::cancelled) break;
      return terminate(records.error());
    }
    if (!records->empty()) {
      idle = Duration(0);
      if (const auto status = print_records(*records)) return *status;
      continue;
    }
    if (unwritten) {
      if (!flush_output()) {
        return unwritable();
      }
      continue;
    }
    idle += wait;
    if (idle >= timeout_) return out_of_time();
    if (!partition_) look_again();
  }
  return 0;
}

}  // namespace

int run_console_consumer(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (const auto status = check(options)) return *status;
  Result<RecordFormatter> formatter = make_formatter(options);
  if (!formatter) return fail_text(formatter.error().context());
  Result<Config> config = consumer_config(options);
  if (!config) return fail_text(reason_of(config.error()));

  if (Result<void> found = check_bootstrap(*config); !found) return fail_text(reason_of(found.error()));

  Session session;
  ConsumerHooks hooks;
  hooks.log_sink = client_log();
  hooks.log_level = LogLevel::warning;
  Result<blocking::Consumer> consumer = blocking::Consumer::create(*config, std::move(hooks), session.runtime());
  if (!consumer) return fail_text(reason_of(consumer.error()));
  Interrupt interrupt(
      session.machine(),
      {.first = [&consumer] { consumer->wake_up(); }, .progress = [] { return std::uint64_t{0}; }, .farewell = {}});
  ConsoleConsumer console(options, *consumer, std::move(*formatter), session, interrupt);
  const int status = console.run(*start_offset(options));
  flush_output();
  (void)consumer->close();
  interrupt.settle();
  if (options.has("enable-systest-events")) print("shutdown_complete\n");
  flush_output();
  fmt::print(stderr, "Processed a total of {} messages\n", console.count());
  return interrupt.raised() ? interrupt.status() : status;
}

}  // namespace klamm::tools
