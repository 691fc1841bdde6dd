#include <algorithm>
#include <ctime>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

constexpr std::int64_t kDefaultTimeoutMs = 10'000;
// How long one look-up of the topic may take before Ctrl-C and --timeout are looked at, and the pause before the next.
constexpr std::int64_t kMostLookupMs = 1000;
constexpr Duration kLookupPause = 100ms;
constexpr double kMegabyte = 1024.0 * 1024.0;

Options declare() {
  Options options("consumer-perf-test",
                  "Measures consuming; reads all partitions of a topic, not as a member of a group.");
  options.text("--bootstrap-server", "host:port,...", "The brokers to connect to first.").require("bootstrap-server");
  options.text("--topic", "topic", "The topic to read.");
  options.text("--include", "pattern", "Consumer groups are not served yet.");
  options.text("--group", "id", "Has no effect: consumer groups are not served yet.");
  options.int64("--num-records", "count", "The number of records to read.");
  options.int64("--messages", "count", "Deprecated: use --num-records.");
  options.flag("--from-latest", "Begin behind the latest record, not at the earliest.");
  options.int32("--fetch-size", "bytes", "max.partition.fetch.bytes (default: 1048576)");
  options.int32("--socket-buffer-size", "bytes", "receive.buffer.bytes (default: 2097152)");
  options.int64("--timeout", "ms", "End when no record came for so long (default: 10000).");
  options.int64("--reporting-interval", "ms", "How often progress is printed (default: 5000).");
  options.flag("--show-detailed-stats", "Print progress.");
  options.flag("--hide-header", "Leave the heading out.");
  options.text("--date-format", "format",
               "How times are printed, as java.text.SimpleDateFormat (default: yyyy-MM-dd HH:mm:ss:SSS).");
  options.flag("--print-metrics", "Print the consumer's statistics at the end, as JSON.");
  options.text("--command-config", "file", "A properties file with consumer settings.");
  options.many("--command-property", "key=value", "A consumer setting.");
  options.text("--consumer.config", "file", "Deprecated: use --command-config.");
  return options;
}

Result<Config> consumer_config(const Options& options) {
  Config config;
  for (const char* name : {"consumer.config", "command-config"}) {
    if (const auto path = options.text_of(name)) {
      Result<void> loaded = load_properties(config, *path);
      KLAMM_TRY(loaded);
    }
  }
  for (const std::string& text : options.all_of("command-property")) {
    Result<void> added = add_property(config, text);
    KLAMM_TRY(added);
  }
  config.set("bootstrap.servers", *options.text_of("bootstrap-server"));
  if (!config.contains("client.id")) config.set("client.id", "perf-consumer-client");
  config.set("receive.buffer.bytes", std::to_string(options.number_or("socket-buffer-size", 2 * 1024 * 1024)));
  config.set("max.partition.fetch.bytes", std::to_string(options.number_or("fetch-size", 1024 * 1024)));
  config.set("auto.offset.reset", options.has("from-latest") ? "latest" : "earliest");
  config.set("check.crcs", "false");
  config.set("enable.auto.commit", "false");
  if (!config.contains("default.api.timeout.ms")) {
    const std::int64_t timeout_ms = options.number_or("timeout", kDefaultTimeoutMs);
    config.set("default.api.timeout.ms", std::to_string(std::clamp<std::int64_t>(timeout_ms, 1, kMostLookupMs)));
  }
  config.erase("group.id");
  return config;
}

// The letters y M d H m s S of a SimpleDateFormat; everything else stands for itself.
std::string format_time(TimestampMs at_ms, std::string_view pattern) {
  const std::time_t seconds = static_cast<std::time_t>(at_ms / 1000);
  std::tm fields{};
  localtime_r(&seconds, &fields);
  std::string out;
  for (std::size_t at = 0; at < pattern.size();) {
    const char letter = pattern[at];
    if (letter == '\'') {
      for (++at; at < pattern.size() && pattern[at] != '\''; ++at) out += pattern[at];
      ++at;
      continue;
    }
    std::size_t width = 0;
    while (at + width < pattern.size() && pattern[at + width] == letter) ++width;
    at += width;
    int value = 0;
    switch (letter) {
      case 'y': value = width == 2 ? fields.tm_year % 100 : fields.tm_year + 1900; break;
      case 'M': value = fields.tm_mon + 1; break;
      case 'd': value = fields.tm_mday; break;
      case 'H': value = fields.tm_hour; break;
      case 'm': value = fields.tm_min; break;
      case 's': value = fields.tm_sec; break;
      case 'S': value = static_cast<int>(at_ms % 1000); break;
      default: out.append(width, letter); continue;
    }
    out += fmt::format("{:0{}}", value, width);
  }
  return out;
}

// How much was read since when; the columns of one line.
struct Totals {
  std::int64_t records = 0;
  std::int64_t bytes = 0;

  // "data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec" of these totals, rates over `since` in `time`.
  std::string columns(const Totals& since, Duration time) const {
    const double seconds = std::max(0.001, std::chrono::duration<double>(time).count());
    const auto megabytes = [](std::int64_t count) { return static_cast<double>(count) / kMegabyte; };
    return fmt::format("{:.4f}, {:.4f}, {}, {:.4f}", megabytes(bytes), megabytes(bytes - since.bytes) / seconds,
                       records, static_cast<double>(records - since.records) / seconds);
  }
  std::string rates(const Totals& since, Duration time) const {
    const double seconds = std::max(0.001, std::chrono::duration<double>(time).count());
    return fmt::format("{:.4f}, {:.4f}", static_cast<double>(bytes - since.bytes) / kMegabyte / seconds,
                       static_cast<double>(records - since.records) / seconds);
  }
};

std::int64_t in_ms(Duration time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time).count(); }

class Measurement {
 public:
  Measurement(const Options& options, Session& session, blocking::Consumer& consumer, Interrupt& interrupt)
      : options_(options),
        session_(session),
        consumer_(consumer),
        interrupt_(interrupt),
        wanted_(options.number_or("num-records", options.number_or("messages", 0))),
        timeout_(milliseconds(options.number_or("timeout", kDefaultTimeoutMs))),
        interval_(milliseconds(options.number_or("reporting-interval", 5000))),
        detailed_(options.has("show-detailed-stats")),
        format_(options.text_or("date-format", "yyyy-MM-dd HH:mm:ss:SSS")) {}
  int run();

 private:
  void print_heading() const;
  void print_progress(Instant now);
  void print_timeout() const;
  // Assigns all partitions of the topic; waits until it is there. Nothing is assigned after a signal or --timeout.
  Result<void> find_partitions();
  int read();

  const Options& options_;
  Session& session_;
  blocking::Consumer& consumer_;
  Interrupt& interrupt_;
  std::int64_t wanted_;
  Duration timeout_;
  Duration interval_;
  bool detailed_;
  std::string format_;
  Totals totals_;
  Totals window_;
  Instant window_start_;
  Duration joining_{0};  // until the partitions were known; Kafka's tool has the time of the group's rebalance here
  bool joining_told_ = false;
};

void Measurement::print_heading() const {
  if (options_.has("hide-header")) return;
  constexpr std::string_view kColumns =
      "data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, "
      "fetch.nMsg.sec";
  print("{}, {}\n", detailed_ ? "time, threadId" : "start.time, end.time", kColumns);
  flush_output();
}

void Measurement::print_progress(Instant now) {
  const Duration time = now - window_start_;
  const Duration joining = joining_told_ ? Duration(0) : joining_;
  joining_told_ = true;
  const Duration fetching = std::max(Duration(1ms), time - joining);
  print("{}, 0, {}, {}, {}, {}\n", format_time(session_.wall_ms(), format_), totals_.columns(window_, time),
        in_ms(joining), in_ms(fetching), totals_.rates(window_, fetching));
  flush_output();
  window_ = totals_;
  window_start_ = now;
}

void Measurement::print_timeout() const {
  print(
      "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. You can use the "
      "--timeout option to increase the timeout.\n",
      in_ms(timeout_));
}

Result<void> Measurement::find_partitions() {
  const std::string topic = *options_.text_of("topic");
  const Instant deadline = session_.now() + timeout_;
  for (;;) {
    Result<std::vector<PartitionInfo>> found = consumer_.partitions_for(topic);
    if (interrupt_.raised()) return {};
    if (found && !found->empty()) {
      std::vector<TopicPartition> partitions;
      for (const PartitionInfo& info : *found) partitions.push_back({topic, info.partition});
      return consumer_.assign(std::move(partitions));
    }
    if (!found && !found.error().retriable() && !(found.error() == Errc::timed_out)) return fail(found.error());
    if (session_.now() >= deadline) {
      flush_output();
      fmt::print(stderr, "Topic {} cannot be read: {}\n", topic,
                 found ? "it has no partitions" : message_of(found.error()));
      return {};
    }
    if (interrupt_.wait_for(kLookupPause)) return {};
  }
}

int Measurement::read() {
  if (consumer_.assignment().empty()) {
    if (!interrupt_.raised()) print_timeout();
    return 0;
  }
  Instant last_record = session_.now();
  while (totals_.records < wanted_ && !interrupt_.raised()) {
    Result<Records> records = consumer_.poll(100ms);
    if (!records) {
      if (records.error() == Errc::cancelled) break;
      return fail_error(records.error());
    }
    const Instant now = session_.now();
    if (!records->empty()) last_record = now;
    for (const RecordView& record : *records) {
      ++totals_.records;
      totals_.bytes += static_cast<std::int64_t>(record.key.size() + record.value.size());
    }
    if (detailed_ && now - window_start_ >= interval_) print_progress(now);
    if (now - last_record >= timeout_ && totals_.records < wanted_) {
      print_timeout();
      break;
    }
  }
  return 0;
}

int Measurement::run() {
  print_heading();
  const TimestampMs start_ms = session_.wall_ms();
  const Instant start = session_.now();
  window_start_ = start;
  Result<void> assigned = find_partitions();
  if (!assigned) return fail_error(assigned.error());
  joining_ = session_.now() - start;
  if (const int status = read()) return status;
  const Duration time = session_.now() - start;
  if (!detailed_) {
    const Duration fetching = std::max(Duration(1ms), time - joining_);
    print("{}, {}, {}, {}, {}, {}\n", format_time(start_ms, format_), format_time(session_.wall_ms(), format_),
          totals_.columns({}, time), in_ms(joining_), in_ms(fetching), totals_.rates({}, fetching));
  }
  if (options_.has("print-metrics")) print("\n{}\n", consumer_.statistics().to_json());
  return 0;
}

}  // namespace

int run_consumer_perf_test(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.has("messages")) print("Warning: --messages is deprecated. Use --num-records instead.\n");
  if (options.has("topic") == options.has("include"))
    return options.usage_error("Exactly one of the following arguments is required: [topic], [include]");
  if (options.has("num-records") == options.has("messages"))
    return options.usage_error("Exactly one of the following arguments is required: [num-records], [messages]");
  if (options.has("include"))
    return fail_text("--include: reading as a member of a consumer group is not served yet; --topic reads one topic.");
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
  const int status = Measurement(options, session, *consumer, interrupt).run();
  (void)consumer->close();
  interrupt.settle();
  return interrupt.raised() ? interrupt.status() : status;
}

}  // namespace klamm::tools
