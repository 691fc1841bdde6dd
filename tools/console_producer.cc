#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>

#include "io/machine.h"
#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/console_reader.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

constexpr std::size_t kChunkBytes = 1 << 20;
// How many different reasons of failed batches are told.
constexpr std::size_t kTold = 5;

Options declare() {
  Options options("console-producer", "Sends the lines of standard input to a topic, each as a record.");
  options.text("--bootstrap-server", "host:port,...", "The brokers to connect to first.").require("bootstrap-server");
  options.text("--topic", "topic", "The topic to send to.").require("topic");
  options.text("--command-config", "file",
               "A properties file with producer settings; --command-property goes before it.");
  options.many("--command-property", "key=value", "A producer setting.");
  options.many("--reader-property", "key=value",
               "How lines are read: parse.key, key.separator, parse.headers, headers.delimiter, headers.separator, "
               "headers.key.separator, ignore.error, null.marker.");
  options.text("--reader-config", "file",
               "A properties file with reader properties; --reader-property goes before it.");
  options.text("--line-reader", "class", "Only Kafka's LineMessageReader is there.");
  options.flag("--sync", "Wait for each record's outcome before the next is sent.");
  options.maybe("--compression-codec", "codec", "gzip", "none, gzip, snappy, lz4 or zstd; gzip if no value is given.");
  options.int32("--batch-size", "bytes", "batch.size (default: 16384)");
  options.int32("--max-partition-memory-bytes", "bytes", "Deprecated: use --batch-size.");
  options.int64("--max-memory-bytes", "bytes", "buffer.memory (default: 33554432)");
  options.int64("--max-block-ms", "ms", "max.block.ms (default: 60000)");
  options.int32("--message-send-max-retries", "count", "retries (default: 3)");
  options.int64("--retry-backoff-ms", "ms", "retry.backoff.ms (default: 100)");
  options.int64("--timeout", "ms", "linger.ms (default: 1000)");
  options.text("--request-required-acks", "acks", "acks: -1, all, 1 or 0 (default: -1)");
  options.int32("--request-timeout-ms", "ms", "request.timeout.ms (default: 1500)");
  options.int64("--metadata-expiry-ms", "ms", "metadata.max.age.ms (default: 300000)");
  options.int32("--socket-buffer-size", "bytes", "send.buffer.bytes (default: the system chooses)");
  options.text("--producer.config", "file", "Deprecated: use --command-config.");
  options.many("--producer-property", "key=value", "Deprecated: use --command-property.");
  options.many("--property", "key=value", "Deprecated: use --reader-property.");
  return options;
}

// The newer of two names of an option; says so if the older one is used. Both at once are an error.
struct Renamed {
  std::string_view older;
  std::string_view newer;
};
constexpr Renamed kRenamed[] = {
    {"property", "reader-property"},
    {"producer-property", "command-property"},
    {"producer.config", "command-config"},
};

Result<void> add_properties(Config& config, const Options& options, std::string_view newer, std::string_view older) {
  for (const std::string_view name : {newer, older}) {
    for (const std::string& text : options.all_of(name)) {
      Result<void> added = add_property(config, text);
      KLAMM_TRY(added);
    }
  }
  return {};
}

// As Kafka's tool fills in the producer's settings: files, then properties, then options with their own defaults.
Result<Config> producer_config(const Options& options) {
  Config config;
  for (const char* name : {"producer.config", "command-config"}) {
    if (const auto path = options.text_of(name)) {
      Result<void> loaded = load_properties(config, *path);
      KLAMM_TRY(loaded);
    }
  }
  Result<void> added = add_properties(config, options, "command-property", "producer-property");
  KLAMM_TRY(added);
  config.set("bootstrap.servers", *options.text_of("bootstrap-server"));
  config.set("compression.type", options.text_or("compression-codec", "none"));
  if (!config.contains("client.id")) config.set("client.id", "console-producer");
  const auto merge = [&](std::string_view key, std::string_view option, std::string_view otherwise) {
    if (options.has(option)) {
      config.set(key, *options.text_of(option));
    } else if (!config.contains(key)) {
      config.set(key, otherwise);
    }
  };
  merge("linger.ms", "timeout", "1000");
  merge("acks", "request-required-acks", "-1");
  merge("request.timeout.ms", "request-timeout-ms", "1500");
  merge("retries", "message-send-max-retries", "3");
  merge("retry.backoff.ms", "retry-backoff-ms", "100");
  merge("send.buffer.bytes", "socket-buffer-size", "-1");
  merge("buffer.memory", "max-memory-bytes", "33554432");
  merge("batch.size", "batch-size", "16384");
  merge("batch.size", "max-partition-memory-bytes", "16384");
  merge("metadata.max.age.ms", "metadata-expiry-ms", "300000");
  merge("max.block.ms", "max-block-ms", "60000");
  return config;
}

Result<Config> reader_properties(const Options& options) {
  Config properties;
  if (const auto path = options.text_of("reader-config")) {
    Result<void> loaded = load_properties(properties, *path);
    KLAMM_TRY(loaded);
  }
  Result<void> added = add_properties(properties, options, "reader-property", "property");
  KLAMM_TRY(added);
  return properties;
}

// What became of the records. Filled on the client's thread, read after the producer was flushed or closed.
struct Outcome {
  std::uint64_t delivered_records = 0;
  std::uint64_t failed_records = 0;
  std::vector<std::string> told;

  // Each reason is told once; the records of later batches are in the sum at the end.
  void add(const BatchReport& report, bool tell) {
    if (report.error == nullptr) {
      delivered_records += report.record_count;
      return;
    }
    failed_records += report.record_count;
    std::string why = message_of(*report.error);
    if (!tell || told.size() >= kTold || std::find(told.begin(), told.end(), why) != told.end()) return;
    const std::string partition = report.partition < 0 ? "" : "-" + std::to_string(report.partition);
    fmt::print(stderr, "{} record(s) for {}{} not delivered: {}\n", report.record_count, report.topic, partition, why);
    told.push_back(std::move(why));
  }
};

// Records that were read from standard input. The loop tells the number when the tool's own thread waits for a broker.
using Count = std::atomic<std::uint64_t>;  // rule: one number, read by a signal's farewell, no shard's state

int tell_interrupted(std::uint64_t read, std::uint64_t undelivered, int status) {
  fmt::print(stderr, "Interrupted: {} record(s) were read from standard input, {} of them not delivered.\n", read,
             undelivered);
  return status;
}

class ConsoleProducer {
 public:
  ConsoleProducer(blocking::Producer producer, LineParser parser, std::string topic, bool sync, Interrupt& interrupt,
                  Count& sent)
      : producer_(std::move(producer)),
        parser_(std::move(parser)),
        topic_(std::move(topic)),
        sync_(sync),
        interrupt_(interrupt),
        sent_(sent) {}

  // Sends standard input to its end, or until a signal. False after an error that was printed.
  bool run();
  blocking::Producer& producer() noexcept { return producer_; }
  // Records that the producer did not take or that failed while they were waited for.
  std::uint64_t refused() const noexcept { return refused_; }

 private:
  // Bytes read: 0 at the end, or on a signal.
  std::size_t read(std::string& chunk);
  bool send(std::string_view line);

  blocking::Producer producer_;
  LineParser parser_;
  std::string topic_;
  bool sync_;
  Interrupt& interrupt_;
  Count& sent_;
  std::uint64_t refused_ = 0;
};

std::size_t ConsoleProducer::read(std::string& chunk) {
  chunk.resize(kChunkBytes);
  for (;;) {
    pollfd waiting[] = {{STDIN_FILENO, POLLIN, 0}, {interrupt_.descriptor(), POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0) continue;
    if (waiting[1].revents != 0) return 0;
    const ssize_t got = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) fail_error(system_error(errno, "standard input"));
    return got < 0 ? 0 : static_cast<std::size_t>(got);
  }
}

bool ConsoleProducer::send(std::string_view line) {
  Result<LineParser::Parsed> parsed = parser_.parse(line);
  if (!parsed) {
    fail_text(parsed.error().context());
    return false;
  }
  Record record;
  record.topic = topic_;
  record.key = parsed->key;
  record.value = parsed->value;
  record.headers = parsed->headers;
  if (sync_) {
    ++sent_;
    Result<RecordMetadata> done = producer_.send_and_wait(record);
    if (done) return true;
    ++refused_;
    fail_error(done.error());
    return false;
  }
  ++sent_;
  Result<void> taken = producer_.send(record);
  if (taken) return true;
  ++refused_;
  fail_error(taken.error());
  return taken.error() == make_error_code(ErrorCode::message_too_large);  // the next one may fit
}

bool ConsoleProducer::run() {
  const bool prompt = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
  LineCutter lines;
  std::string chunk;
  std::string_view line;
  for (;;) {
    if (prompt) {
      print(">");
      flush_output();
    }
    const std::size_t size = read(chunk);
    if (size == 0 && interrupt_.raised()) return true;
    if (size == 0) lines.finish();
    lines.append(std::string_view(chunk).substr(0, size));
    while (lines.next(line)) {
      if (!send(line)) return false;
      if (sync_ && interrupt_.raised()) return true;
    }
    if (size == 0) return true;
  }
}

std::optional<int> check(const Options& options) {
  for (const Renamed& renamed : kRenamed) {
    if (!options.has(renamed.older)) continue;
    if (options.has(renamed.newer)) {
      return options.usage_error(
          fmt::format("Options {} and {} cannot be specified together", renamed.newer, renamed.older));
    }
    print("Warning: --{} is deprecated and will be removed in a future version. Use --{} instead.\n", renamed.older,
          renamed.newer);
  }
  if (const auto reader = options.text_of("line-reader"); reader && !reader->ends_with("LineMessageReader")) {
    return fail_with("--line-reader {}: klamm has only org.apache.kafka.tools.LineMessageReader", *reader);
  }
  return std::nullopt;
}

}  // namespace

int run_console_producer(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (const auto status = check(options)) return *status;
  Result<Config> properties = reader_properties(options);
  if (!properties) return fail_error(properties.error());
  Result<LineParser> parser = LineParser::create(*properties);
  if (!parser) return fail_text(parser.error().context());
  Result<Config> config = producer_config(options);
  if (!config) return fail_error(config.error());
  flush_output();

  if (Result<void> found = check_bootstrap(*config); !found) return fail_text(reason_of(found.error()));

  Session session;
  Outcome outcome;
  Count sent = 0;
  Interrupt interrupt(session.machine(),
                      {.first = {},
                       .progress = [&outcome] { return outcome.delivered_records; },
                       .farewell = [&outcome, &sent] { tell_interrupted(sent, sent - outcome.delivered_records, 0); }});
  ProducerHooks hooks;
  hooks.log_sink = client_log();
  hooks.log_level = LogLevel::warning;
  hooks.on_batch = [&outcome, tell = !options.has("sync")](const BatchReport& report) { outcome.add(report, tell); };
  Result<blocking::Producer> producer = blocking::Producer::create(*config, std::move(hooks), session.runtime());
  if (!producer) return fail_text(reason_of(producer.error()));
  const bool sync = options.has("sync");
  ConsoleProducer console(std::move(*producer), std::move(*parser), *options.text_of("topic"), sync, interrupt, sent);
  const bool good = console.run();
  Result<void> closed = console.producer().close(std::chrono::seconds(std::numeric_limits<std::int32_t>::max()));
  interrupt.settle();
  const std::uint64_t failed = console.refused() + (sync ? 0 : outcome.failed_records);
  if (!closed && failed == 0) fail_error(closed.error());
  if (interrupt.raised()) return tell_interrupted(sent, failed, interrupt.status());
  if (failed > 0) return fail_with("{} of {} record(s) were not delivered", failed, sent.load());
  return good && closed ? 0 : 1;
}

}  // namespace klamm::tools
