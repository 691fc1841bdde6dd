#include <ctime>
#include <map>
#include <set>

#include "client/core/cluster.h"
#include "client/core/config_settings.h"
#include "client/core/settings.h"
#include "klamm/blocking.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/record/batch.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"
#include "tools/topic_filter.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("replica-verification",
                  "Reads all replicas of partitions side by side, and tells where they differ and how far the slowest "
                  "is behind, until it is stopped.");
  options.text("--broker-list", "host:port,...", "The brokers to connect to first.").require("broker-list");
  options.text("--topics-include", "regex", "The topics (default: .*).");
  options.int64("--time", "ms | -1 | -2",
                "Where to begin: at a time, at the end (-1, the default), at the start (-2).");
  options.int32("--fetch-size", "bytes", "The most to read of a partition at once (default: 1048576).");
  options.int32("--max-wait-ms", "ms", "How long to wait where there is nothing to read (default: 1000).");
  options.int64("--report-interval-ms", "ms", "How often to tell the lag (default: 30000).");
  return options;
}

std::string time_text(TimestampMs now_ms) {
  const std::time_t seconds = now_ms / 1000;
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return fmt::format("{},{:03}", std::string_view(text, size), now_ms % 1000);
}

// One partition: what each replica has from `offset` on that is not compared yet.
struct Compared {
  std::int64_t offset = 0;
  std::vector<std::int32_t> replicas;
  std::map<std::int32_t, Slice> read;
  std::int64_t high_watermark = -1;  // the highest that a replica told
};

// Reads and compares. A coroutine of it runs at a time, on the clients' loop.
class Verifier {
 public:
  Verifier(io::Shard& shard, const client::AdminSettings& settings, std::map<TopicPartition, Compared> partitions,
           std::int32_t fetch_bytes)
      : cluster_(shard, client::cluster_options(settings.common), Logger(client_log(), LogLevel::warning)),
        partitions_(std::move(partitions)),
        fetch_bytes_(fetch_bytes) {}

  // Reads once from every broker and compares what all replicas have; true if something was compared.
  io::Task<bool> round();
  io::Task<void> close() {
    cluster_.stop();
    co_await cluster_.close();
  }
  const std::map<TopicPartition, Compared>& partitions() const noexcept { return partitions_; }

 private:
  io::Task<void> read(std::int32_t broker);
  void take(std::int32_t broker, const protocol::FetchResponse& response);
  bool compare(const TopicPartition& name, Compared& partition);

  client::Cluster cluster_;
  std::map<TopicPartition, Compared> partitions_;
  std::int32_t fetch_bytes_;
};

io::Task<bool> Verifier::round() {
  std::set<std::int32_t> brokers;
  for (auto& [name, partition] : partitions_) {
    partition.read.clear();
    brokers.insert(partition.replicas.begin(), partition.replicas.end());
  }
  Result<void> known = co_await cluster_.await_brokers(cluster_.shard().now() + cluster_.options().request_timeout);
  if (!known) {
    fail_error(known.error());
    co_return false;
  }
  for (const std::int32_t broker : brokers) co_await read(broker);
  bool some = false;
  for (auto& [name, partition] : partitions_) some = compare(name, partition) || some;
  co_return some;
}

io::Task<void> Verifier::read(std::int32_t broker) {
  protocol::FetchRequest request;
  request.min_bytes = 0;
  request.max_bytes = std::numeric_limits<std::int32_t>::max();
  for (const auto& [name, partition] : partitions_) {
    if (std::find(partition.replicas.begin(), partition.replicas.end(), broker) == partition.replicas.end()) continue;
    if (request.topics.empty() || request.topics.back().topic != name.topic)
      request.topics.emplace_back().topic = name.topic;
    auto& asked = request.topics.back().partitions.emplace_back();
    asked.partition = name.partition;
    asked.fetch_offset = partition.offset;
    asked.partition_max_bytes = fetch_bytes_;
  }
  Result<client::ConnectionRef> connection = co_await cluster_.connect(broker);
  std::optional<Error> error;
  if (connection) {
    // Followers serve readers since version 11; topics have names until version 12.
    const rpc::VersionBounds bounds{11, 12};
    Result<protocol::FetchResponse> response =
        co_await (*connection)->call(std::move(request), bounds, cluster_.options().request_timeout);
    if (response) {
      take(broker, *response);
      co_return;
    }
    error = response.error();
  } else {
    error = connection.error();
  }
  fail_with("broker {}: {}", broker, message_of(*error));
}

void Verifier::take(std::int32_t broker, const protocol::FetchResponse& response) {
  for (const auto& topic : response.responses) {
    for (const auto& one : topic.partitions) {
      const auto found = partitions_.find({topic.topic, one.partition_index});
      if (found == partitions_.end()) continue;
      const ErrorCode code = protocol::error_code_from(one.error_code);
      if (code != ErrorCode::none) {
        fail_with("{} of broker {}: {}", found->first.text(), broker, protocol::name(code));
        continue;
      }
      found->second.read.insert_or_assign(broker, one.records.slice());
      found->second.high_watermark = std::max(found->second.high_watermark, one.high_watermark);
    }
  }
}

bool Verifier::compare(const TopicPartition& name, Compared& partition) {
  if (partition.read.size() != partition.replicas.size()) {
    fail_with("fetched {} replicas for {}, but expected {} replicas", partition.read.size(), name.text(),
              partition.replicas.size());
    return false;
  }
  std::map<std::int32_t, record::BatchCursor> cursors;
  for (const auto& [broker, records] : partition.read) cursors.emplace(broker, record::BatchCursor(records));
  const TimestampMs now_ms = cluster_.shard().wall_ms();
  bool some = false;
  for (;;) {
    std::int32_t first_broker = -1;
    std::optional<record::BatchView> first;
    for (auto& [broker, cursor] : cursors) {
      if (!cursor.next() || cursor.magic() != record::kMagic) return some;
      Result<record::BatchView> batch = record::BatchView::parse(cursor.entry());
      // The checksum may be the same, and what it is of not.
      if (batch && !batch->crc_fits()) batch = fail(Errc::corrupt, "the checksum does not fit the batch");
      if (!batch) {
        print("{}: Error in processing replica {} in partition {} at offset {}: {}\n", time_text(now_ms), broker,
              name.text(), partition.offset, message_of(batch.error()));
        return some;
      }
      if (!first) {
        first = *batch;
        first_broker = broker;
      } else if (first->last_offset() != batch->last_offset()) {
        print("{}: partition {}: replica {}'s offset {} doesn't match replica {}'s offset {}\n", time_text(now_ms),
              name.text(), first_broker, first->last_offset(), broker, batch->last_offset());
      } else if (first->crc() != batch->crc()) {
        print(
            "{}: partition {} has unmatched checksum at offset {}; replica {}'s checksum {}; replica {}'s checksum "
            "{}\n",
            time_text(now_ms), name.text(), first->last_offset(), first_broker, first->crc(), broker, batch->crc());
      }
    }
    if (!first) return some;
    partition.offset = first->last_offset() + 1;
    some = true;
  }
}

void report(const Verifier& verifier, TimestampMs now_ms) {
  std::int64_t most = -1;
  std::int64_t offset = -1;
  std::string slowest = "null";
  for (const auto& [name, partition] : verifier.partitions()) {
    const std::int64_t lag = std::max<std::int64_t>(0, partition.high_watermark - partition.offset);
    if (lag <= most) continue;
    most = lag;
    offset = partition.offset;
    slowest = name.text();
  }
  print("{}: max lag is {} for partition {} at offset {} among {} partitions\n", time_text(now_ms), most, slowest,
        offset, verifier.partitions().size());
  flush_output();
}

// The partitions to read, each from where it begins.
Result<std::map<TopicPartition, Compared>> chosen(const Options& options, blocking::Admin& admin) {
  Result<TopicFilter> filter = TopicFilter::create(options.text_or("topics-include", ".*"));
  KLAMM_TRY(filter);
  Result<ListTopics::Outcome> listed = admin.list_topics({.internal = true});
  KLAMM_TRY(listed);
  DescribeTopics request;
  for (const TopicListing& topic : *listed) {
    if (filter->matches(topic.name)) request.names.push_back(topic.name);
  }
  std::map<TopicPartition, Compared> partitions;
  if (request.names.empty()) return partitions;
  Result<DescribeTopics::Outcome> described = admin.describe_topics(std::move(request));
  KLAMM_TRY(described);
  ListOffsets offsets;
  for (const auto& [name, topic] : *described) {
    KLAMM_TRY(topic);
    for (const PartitionDescription& one : topic->partitions) {
      partitions[{name, one.partition}].replicas = one.replicas;
      offsets.specs[{name, one.partition}] = options.number_or("time", kLatestOffset);
    }
  }
  Result<ListOffsets::Outcome> found = admin.list_offsets(std::move(offsets));
  KLAMM_TRY(found);
  for (const auto& [partition, offset] : *found) {
    KLAMM_TRY(offset);
    partitions[partition].offset = std::max<std::int64_t>(0, offset->offset);
  }
  return partitions;
}

}  // namespace

int run_replica_verification(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  const Config config{{"bootstrap.servers", *options.text_of("broker-list")}};
  if (Result<void> found = check_bootstrap(config); !found) return fail_text(reason_of(found.error()));
  Result<client::AdminSettings> settings = client::parse_admin(config);
  if (!settings) return fail_text(reason_of(settings.error()));
  Session session;
  Result<blocking::Admin> admin = blocking::Admin::create(config, {}, session.runtime());
  if (!admin) return fail_text(reason_of(admin.error()));
  Result<std::map<TopicPartition, Compared>> partitions = chosen(options, *admin);
  if (!partitions) return fail_text(reason_of(partitions.error()));
  if (partitions->empty()) return fail_text("No topics found: --topics-include leaves out all that there are");

  Interrupt interrupt(session.machine());
  std::optional<Verifier> verifier;
  session.machine().run(0,
                        [](std::optional<Verifier>& into, io::Machine& machine, const client::AdminSettings& with,
                           std::map<TopicPartition, Compared> of,
                           std::int32_t bytes) -> io::Task<void> {
                          into.emplace(machine.at(0), with, std::move(of), bytes);
                          co_return;
                        }(verifier, session.machine(), *settings, std::move(*partitions),
                                               static_cast<std::int32_t>(options.number_or("fetch-size", 1 << 20))));
  print("{}: verification process is started\n", time_text(session.wall_ms()));
  flush_output();
  const auto interval = std::chrono::milliseconds(options.number_or("report-interval-ms", 30000));
  const auto pause = std::chrono::milliseconds(std::max<std::int64_t>(1, options.number_or("max-wait-ms", 1000)));
  Instant told = session.now();
  while (!interrupt.raised()) {
    const bool some = session.machine().run(0, verifier->round());
    flush_output();
    if (session.now() - told >= interval) {
      report(*verifier, session.wall_ms());
      told = session.now();
    }
    if (!some && interrupt.wait_for(std::min<Duration>(pause, interval))) break;
  }
  session.machine().run(0, verifier->close());
  session.machine().run(0, [](std::optional<Verifier>& gone) -> io::Task<void> {
    gone.reset();
    co_return;
  }(verifier));
  return interrupt.status();
}

}  // namespace klamm::tools
