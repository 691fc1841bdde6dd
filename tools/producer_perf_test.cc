#include <atomic>
#include <limits>

#include "base/random.h"
#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/latency.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

constexpr std::uint64_t kPayloadSeed = 0x6B6C616D6D;
constexpr double kMegabyte = 1024.0 * 1024.0;

Options declare() {
  Options options("producer-perf-test", "Measures producing.", Options::Style::argparse);
  options.text("--bootstrap-server", "host:port,...", "The brokers to connect to first.");
  options.text("--topic", "topic", "The topic to send to.").require("topic");
  options.int64("--num-records", "count", "The number of records to send.").require("num-records");
  options.int32("--record-size", "bytes", "The size of each record, filled with random letters.");
  options.text("--payload-file", "file", "The records are drawn from this file.");
  options.flag("--payload-monotonic", "Each record is its number.");
  options.text("--payload-delimiter", "text", "What parts the records of --payload-file (default: \\n).");
  options.text("--throughput", "records/s", "The most records to send a second; -1: as many as go.")
      .require("throughput");
  options.many("--command-property", "key=value", "Producer settings.", true);
  options.text("--command-config", "file", "A properties file with producer settings.");
  options.flag("--print-metrics", "Print the producer's statistics at the end, as JSON.");
  options.int64("--warmup-records", "count", "Leave the first records out of a second summary.");
  options.int64("--reporting-interval", "ms", "How often progress is printed (default: 5000).");
  options.text("--transactional-id", "id", "Transactions are not served yet.");
  options.int64("--transaction-duration-ms", "ms", "Transactions are not served yet.");
  options.many("--producer-props", "key=value", "Deprecated: use --command-property.", true);
  options.text("--producer.config", "file", "Deprecated: use --command-config.");
  return options;
}

std::optional<int> check(const Options& options) {
  const int payloads = options.has("record-size") + options.has("payload-file") + options.has("payload-monotonic");
  if (payloads != 1)
    return options.usage_error("one of the arguments --record-size --payload-file --payload-monotonic is required");
  bool some = false;
  for (const char* name :
       {"bootstrap-server", "command-property", "producer-props", "producer.config", "command-config"})
    some = some || options.has(name);
  if (!some) {
    return options.usage_error(
        "At least one of --bootstrap-server, --command-property, --producer-props, --producer.config or "
        "--command-config must be specified.");
  }
  for (const char* name : {"transactional-id", "transaction-duration-ms"}) {
    if (options.has(name)) return fail_with("--{}: transactions are not served yet", name);
  }
  if (options.has("record-size") && options.number_or("record-size", 0) < 0)
    return fail_text("--record-size should be greater than or equal to zero.");
  if (options.number_or("num-records", 0) <= 0) return fail_text("--num-records should be greater than zero.");
  const std::int64_t warmup = options.number_or("warmup-records", 0);
  if (warmup < 0 || warmup >= options.number_or("num-records", 0))
    return fail_text("--warmup-records must be less than --num-records.");
  return std::nullopt;
}

Result<Config> producer_config(const Options& options) {
  Config config;
  for (const char* name : {"producer.config", "command-config"}) {
    if (const auto path = options.text_of(name)) {
      Result<void> loaded = load_properties(config, *path);
      KLAMM_TRY(loaded);
    }
  }
  for (const char* name : {"producer-props", "command-property"}) {
    for (const std::string& text : options.all_of(name)) {
      Result<void> added = add_property(config, text, false);
      KLAMM_TRY(added);
    }
  }
  if (const auto servers = options.text_of("bootstrap-server")) config.set("bootstrap.servers", *servers);
  if (!config.contains("client.id")) config.set("client.id", "perf-producer-client");
  return config;
}

// Where the records' values come from.
class Payloads {
 public:
  static Result<Payloads> create(const Options& options);
  // Valid until the next call.
  std::string_view next(std::int64_t number);

 private:
  bool monotonic_ = false;
  std::vector<std::string> lines_;
  std::string text_;
  Random random_{kPayloadSeed};
};

Result<Payloads> Payloads::create(const Options& options) {
  Payloads payloads;
  payloads.monotonic_ = options.has("payload-monotonic");
  payloads.text_.resize(static_cast<std::size_t>(options.number_or("record-size", 0)));
  if (const auto path = options.text_of("payload-file")) {
    Result<std::string> content = file_content(*path);
    KLAMM_TRY(content);
    std::string delimiter = options.text_or("payload-delimiter", "\n");
    if (delimiter == "\\n") delimiter = "\n";
    if (delimiter == "\\t") delimiter = "\t";
    std::string_view rest = *content;
    while (!rest.empty()) {
      const std::size_t end = delimiter.empty() ? std::string_view::npos : rest.find(delimiter);
      payloads.lines_.emplace_back(rest.substr(0, end));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + delimiter.size());
    }
    if (payloads.lines_.empty())
      return fail(Errc::invalid_argument, "File does not exist or empty file provided: " + *path);
  }
  return payloads;
}

std::string_view Payloads::next(std::int64_t number) {
  if (monotonic_) {
    text_ = std::to_string(number);
    return text_;
  }
  if (!lines_.empty()) return lines_[static_cast<std::size_t>(random_.below(lines_.size()))];
  constexpr std::uint64_t kLetters = 26;
  for (std::size_t at = 0; at < text_.size();) {
    std::uint64_t bits = random_.next();
    for (int byte = 0; byte < 8 && at < text_.size(); ++byte, bits >>= 8)
      text_[at++] = static_cast<char>('A' + ((bits & 0xFF) * kLetters >> 8));
  }
  return text_;
}

// What was measured, each record from its send() to its acknowledgement. Fed on the client's loop; read after the
// producer is closed.
class Statistics {
 public:
  Statistics(io::Shard& clock, std::int64_t interval_ms, std::uint64_t warmup, double bytes_per_record)
      : clock_(clock),
        interval_(milliseconds(interval_ms)),
        warmup_(warmup),
        bytes_per_record_(bytes_per_record),
        start_(clock.now()),
        window_start_(start_),
        steady_start_(start_) {}

  // A batch has its outcome; its records' turn, if they were delivered, is next.
  void begin_batch(const BatchReport& report);
  void add_record(Instant sent);
  // Before anything is printed or read.
  void settle();
  void print_total() const { print_summary("records sent", all_, start_); }
  void print_steady() const { print_summary("steady state records sent", steady_, steady_start_); }
  std::uint64_t delivered() const noexcept { return all_.count() + run_length_; }
  std::uint64_t failed() const noexcept { return failed_; }
  void set_bytes_per_record(double bytes) { bytes_per_record_ = bytes; }

 private:
  void add(std::int64_t ms, std::uint64_t count);
  void print_summary(std::string_view what, const Latencies& latencies, Instant since) const;
  double rate(std::uint64_t count, Duration time) const {
    const double seconds = std::max(0.001, std::chrono::duration<double>(time).count());
    return static_cast<double>(count) / seconds;
  }

  io::Shard& clock_;
  Duration interval_;
  std::uint64_t warmup_;
  double bytes_per_record_;
  Instant start_;
  Instant window_start_;
  Instant steady_start_;
  Instant now_;  // when the batch had its outcome
  // Records in a row that took as many milliseconds.
  std::int64_t run_ms_ = 0;
  std::uint64_t run_length_ = 0;
  Latencies all_;
  Latencies steady_;
  Latencies window_;
  std::uint64_t failed_ = 0;
};

void Statistics::begin_batch(const BatchReport& report) {
  now_ = clock_.now();
  if (report.error == nullptr) return;
  if (failed_ == 0)
    fmt::print(stderr, "{} record(s) not delivered: {}\n", report.record_count, message_of(*report.error));
  failed_ += report.record_count;
}

void Statistics::add_record(Instant sent) {
  const std::int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(now_ - sent).count();
  if (ms != run_ms_ || now_ - window_start_ >= interval_) settle();
  run_ms_ = ms;
  ++run_length_;
}

void Statistics::settle() {
  if (run_length_ > 0) add(run_ms_, std::exchange(run_length_, 0));
}

void Statistics::add(std::int64_t ms, std::uint64_t count) {
  const std::uint64_t before = all_.count();
  all_.add(ms, count);
  window_.add(ms, count);
  if (warmup_ > 0 && all_.count() > warmup_) {
    if (before <= warmup_) steady_start_ = now_;
    steady_.add(ms, std::min<std::uint64_t>(count, all_.count() - warmup_));
  }
  if (now_ - window_start_ < interval_) return;
  const double records = rate(window_.count(), now_ - window_start_);
  print("{} records sent, {:.1f} records/sec ({:.2f} MB/sec), {:.1f} ms avg latency, {:.1f} ms max latency.\n",
        window_.count(), records, records * bytes_per_record_ / kMegabyte, window_.average_ms(),
        static_cast<double>(window_.most_ms()));
  flush_output();
  window_.clear();
  window_start_ = now_;
}

void Statistics::print_summary(std::string_view what, const Latencies& latencies, Instant since) const {
  const double records = rate(latencies.count(), clock_.now() - since);
  print(
      "{} {}, {:.6f} records/sec ({:.2f} MB/sec), {:.2f} ms avg latency, {:.2f} ms max latency, {} ms 50th, {} ms "
      "95th, {} ms 99th, {} ms 99.9th.\n",
      latencies.count(), what, records, records * bytes_per_record_ / kMegabyte, latencies.average_ms(),
      static_cast<double>(latencies.most_ms()), latencies.percentile_ms(0.5), latencies.percentile_ms(0.95),
      latencies.percentile_ms(0.99), latencies.percentile_ms(0.999));
}

// After a signal. Records that were handed to the producer and not acknowledged.
void tell_undelivered(const Statistics& statistics, std::int64_t sent) {
  const std::int64_t left = sent - static_cast<std::int64_t>(statistics.delivered());
  if (left > 0) fail_with("Interrupted: {} of {} record(s) were not delivered", left, sent);
}

// Keeps a rate: pause() says how long to wait before the next record.
class Throttle {
 public:
  Throttle(double per_second, Instant start) : per_second_(per_second), start_(start) {}
  Duration pause(std::int64_t sent, Instant now) const {
    if (per_second_ <= 0) return Duration(0);
    const auto due =
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>(static_cast<double>(sent) / per_second_));
    return due - (now - start_);
  }
  bool off() const noexcept { return per_second_ <= 0; }

 private:
  double per_second_;
  Instant start_;
};

}  // namespace

int run_producer_perf_test(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (const auto status = check(options)) return *status;
  Result<Config> config = producer_config(options);
  if (!config) return fail_text(reason_of(config.error()));
  Result<Payloads> payloads = Payloads::create(options);
  if (!payloads) return fail_text(reason_of(payloads.error()));
  const double throughput = std::strtod(options.text_or("throughput", "-1").c_str(), nullptr);
  const std::int64_t count = options.number_or("num-records", 0);
  const std::int64_t warmup = options.number_or("warmup-records", 0);
  if (warmup > 0)
    print("Warmup first {} records. Steady state results will print after the complete test summary.\n", warmup);
  flush_output();

  if (Result<void> found = check_bootstrap(*config); !found) return fail_text(reason_of(found.error()));

  Session session;
  Statistics statistics(session.machine().at(0), options.number_or("reporting-interval", 5000),
                        static_cast<std::uint64_t>(warmup), static_cast<double>(options.number_or("record-size", 0)));
  std::atomic<std::int64_t> sent = 0;  // rule: one number, read by a signal's farewell, no shard's state
  Interrupt interrupt(session.machine(), {.first = {},
                                          .progress = [&statistics] { return statistics.delivered(); },
                                          .farewell =
                                              [&statistics, &sent] {
                                                statistics.settle();
                                                statistics.print_total();
                                                tell_undelivered(statistics, sent);
                                              }});
  ProducerHooks hooks;
  hooks.log_sink = client_log();
  hooks.log_level = LogLevel::warning;
  hooks.on_batch = [&statistics](const BatchReport& report) { statistics.begin_batch(report); };
  Result<blocking::Producer> producer = blocking::Producer::create(*config, std::move(hooks), session.runtime());
  if (!producer) return fail_text(reason_of(producer.error()));

  const std::string topic = *options.text_of("topic");
  const Throttle throttle(throughput, session.now());
  std::int64_t bytes = 0;
  for (; sent < count; ++sent) {
    if (!throttle.off()) {
      const Duration pause = throttle.pause(sent, session.now());
      if (pause >= 1ms && interrupt.wait_for(pause)) break;
    }
    constexpr std::int64_t kLookEvery = 1024;
    if (sent % kLookEvery == 0 && interrupt.raised()) break;
    const std::string_view value = payloads->next(sent);
    bytes += static_cast<std::int64_t>(value.size());
    Record record;
    record.topic = topic;
    record.value = value;
    Result<void> taken =
        producer->send(record, [&statistics, at = session.now()](const Result<RecordMetadata>& outcome) {
          if (outcome) statistics.add_record(at);
        });
    if (!taken) return fail_error(taken.error());
  }
  Result<void> flushed = producer->flush();
  const std::string json = producer->statistics().to_json();
  (void)producer->close(std::chrono::seconds(60));
  interrupt.settle();
  statistics.settle();
  if (!options.has("record-size") && sent > 0)
    statistics.set_bytes_per_record(static_cast<double>(bytes) / static_cast<double>(sent));
  statistics.print_total();
  if (warmup > 0) statistics.print_steady();
  if (options.has("print-metrics")) print("\n{}\n", json);
  if (interrupt.raised()) {
    tell_undelivered(statistics, sent);
    return interrupt.status();
  }
  if (statistics.failed() > 0)
    return fail_with("{} of {} record(s) were not delivered", statistics.failed(), sent.load());
  if (!flushed) return fail_error(flushed.error());
  return 0;
}

}  // namespace klamm::tools
