// A small cluster for the SDK's tests: brokers on simulated nodes that speak Kafka's protocol, keep batches in memory,
// and do as they are told: answer, lose an answer, fall silent, refuse. Idempotent producers are checked as Kafka does
// it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "io/sim/simulation.h"
#include "io/sync.h"
#include "io/tls/stream.h"
#include "protocol/error.h"
#include "protocol/messages/api_key.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"
#include "protocol/record/batch.h"
#include "protocol/wire/message.h"

namespace klamm::test {

using protocol::ApiKey;
using protocol::ErrorCode;

// What to do with a request.
enum class Verdict {
  answer,
  lose_answer,  // do it, then cut the connection instead of answering
  cut,          // do nothing and cut the connection
  ignore,       // do nothing and never answer
};

struct FakePartition {
  std::int32_t leader = 1;
  std::int32_t leader_epoch = 0;
  Instant leads_from;  // until then its leader does not know that it leads, and takes another for it:
  std::int32_t leader_before = -1;
  std::vector<Slice> batches;  // with their offsets
  std::int64_t start_offset = 0;
  std::int64_t next_offset = 0;
  struct Producer {
    std::int16_t epoch = -1;
    struct Batch {
      std::int32_t first_sequence;
      std::int32_t last_sequence;
      std::int64_t offset;
    };
    std::deque<Batch> last;  // at most five
  };
  std::map<std::int64_t, Producer> producers;
  std::deque<ErrorCode> produce_errors;                           // answered, one a batch, instead of appending
  std::vector<std::pair<std::int32_t, std::int64_t>> epoch_ends;  // OffsetForLeaderEpoch: epoch, end offset
  std::vector<std::pair<std::int64_t, std::int64_t>> aborted;     // producer id, first offset
};

struct FakeTopic {
  Uuid id;
  std::vector<FakePartition> partitions;
};

class FakeCluster {
 public:
  FakeCluster(io::sim::Simulation& simulation, int brokers);
  ~FakeCluster();

  FakeTopic& add_topic(const std::string& name, std::size_t partitions);
  FakePartition& partition(const std::string& topic, std::size_t index) {
    return topics_.at(topic).partitions.at(index);
  }
  void move_leader(const std::string& topic, std::size_t index, std::int32_t to);
  // Appends a batch as it is; its offsets are set.
  void append(const std::string& topic, std::size_t index, Slice batch);

  // Shown what is asked.
  std::function<void(const protocol::MetadataRequest&)> on_metadata;
  std::function<void(const protocol::FetchRequest&)> on_fetch;
  // Asked for each request but ApiVersions. Default: answer.
  std::function<Verdict(std::int32_t broker, ApiKey key)> script;
  bool mute = false;        // takes connections and never says a word, not even of versions
  bool offers_all = false;  // claims to serve every API; the script must keep the others from being answered
  std::size_t max_batch_bytes = 1 << 20;
  Duration answer_delay{0};            // before each answer
  std::int16_t most_api_versions = 4;  // of ApiVersions: older brokers know less
  bool auto_create = true;
  std::set<std::int32_t> hidden;                // brokers that Metadata does not tell of
  bool hints = false;                           // who does not lead says who does (KIP-951)
  std::shared_ptr<const io::tls::Context> tls;  // what new connections speak; null: nothing but Kafka's protocol
  // Fetch: keeps to the request's max_bytes by cutting batches where they reach it, whole or not; the first one too.
  bool cuts_batches = false;
  bool cuts_first_batch = false;
  std::map<ApiKey, std::uint64_t> requests;  // how many came
  std::uint64_t connections = 0;
  std::size_t most_pipelined_produces = 0;  // Produce requests that lay unanswered on one connection

  std::string bootstrap() const;
  io::sim::Node& node(std::int32_t broker);
  // Values of all records of a partition, in order; control batches left out.
  std::vector<std::string> values(const std::string& topic, std::size_t index);
  // Closes all connections and ends the servers.
  void stop();

 private:
  struct Broker;
  struct Session;
  io::Task<void> serve(Broker& broker);
  io::Task<void> talk(Broker& broker, std::shared_ptr<io::Stream> stream);
  std::optional<io::Pieces> handle(Broker& broker, ApiKey key, std::int16_t version, Slice body, Duration& wait);
  io::Pieces api_versions(std::int16_t version);
  io::Pieces metadata(std::int16_t version, Slice body);
  io::Pieces init_producer_id(std::int16_t version);
  std::optional<io::Pieces> produce(Broker& broker, std::int16_t version, Slice body);
  io::Pieces fetch(Broker& broker, std::int16_t version, Slice body, Duration& wait);
  io::Pieces list_offsets(Broker& broker, std::int16_t version, Slice body);
  io::Pieces offset_for_leader_epoch(std::int16_t version, Slice body);
  ErrorCode append_batch(FakePartition& partition, const Slice& records, std::int64_t& base_offset);
  std::string name_of(const Uuid& id) const;

  io::sim::Simulation& simulation_;
  std::map<std::int32_t, std::unique_ptr<Broker>> brokers_;
  std::map<std::string, FakeTopic> topics_;
  std::int64_t next_producer_id_ = 1000;
  std::uint64_t next_topic_ = 1;
  bool stopped_ = false;
};

}  // namespace klamm::test
