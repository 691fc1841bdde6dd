// RaftNode: this node's part in the metadata quorum, as a voter or as one that only follows. It drives RaftCore:
// carries out its actions on the disk and over the network, tells it what happened, and hands committed batches to the
// listeners. It lives on one shard; every function is called there. Files: raft_node.cc (life, listeners),
// raft_drive.cc (carrying out actions), raft_serve.cc (requests of others).
//
// A failure of the metadata log's disk ends the node: waiting calls fail, on_fatal is called once, and nothing is
// appended any more. The process should stop then, as Kafka's does. A full disk is none: what is to be written waits
// for room, and what waits for that may run into its deadline.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/raft/metadata_log.h"
#include "broker/raft/raft_core.h"
#include "broker/raft/raft_peers.h"
#include "broker/raft/snapshot.h"
#include "io/shard.h"
#include "io/stream.h"
#include "io/sync.h"

namespace klamm::protocol {
struct AddRaftVoterRequest;
struct AddRaftVoterResponse;
struct BeginQuorumEpochRequest;
struct BeginQuorumEpochResponse;
struct EndQuorumEpochRequest;
struct EndQuorumEpochResponse;
struct FetchRequest;
struct FetchResponse;
struct FetchSnapshotRequest;
struct FetchSnapshotResponse;
struct RemoveRaftVoterRequest;
struct RemoveRaftVoterResponse;
struct UpdateRaftVoterRequest;
struct UpdateRaftVoterResponse;
struct VoteRequest;
struct VoteResponse;
}  // namespace klamm::protocol

namespace klamm::raft {

// Follows the committed log. Calls come one at a time, in order: batches by offset, leader changes between them.
class RaftListener {
 public:
  virtual ~RaftListener() = default;
  // Committed batches, control ones among them. An error is fatal for the node.
  virtual io::Task<Result<void>> committed(std::vector<Batch> batches) = 0;
  // Forget all and begin with this snapshot; batches go on at its end offset.
  virtual io::Task<Result<void>> load_snapshot(SnapshotReader snapshot) = 0;
  // The leader or the epoch changed. If this node leads, the call comes after committed() had everything up to and with
  // the first record of the epoch.
  virtual void leader_changed(LeaderAndEpoch leader) = 0;
};

// In the metadata log's directory, empty: this voter of a static quorum began with nothing and was not caught up since.
constexpr std::string_view kFreshMarker = "catching-up";

struct RaftOptions {
  std::int32_t node_id = 0;
  Uuid directory_id;                // of the metadata log dir (meta.properties)
  VoterSet static_voters;           // controller.quorum.voters; counts only where the log names no voters
  std::vector<Endpoint> endpoints;  // own controller listeners, as the voter set is to show them
  std::string listener;             // first of controller.listener.names: where controllers are asked
  std::vector<Endpoint> bootstrap;  // controller.quorum.bootstrap.servers
  std::string cluster_id;           // told and checked; set by the caller
  bool may_vote = true;             // has the controller role
  bool auto_join = false;           // controller.quorum.auto.join.enable
  MetadataLogOptions log;
  Duration election_timeout = 1s;      // controller.quorum.election.timeout.ms
  Duration election_backoff_max = 1s;  // controller.quorum.election.backoff.max.ms
  Duration fetch_timeout = 2s;         // controller.quorum.fetch.timeout.ms
  Duration request_timeout = 2s;       // controller.quorum.request.timeout.ms
  Duration retry_backoff = 20ms;       // controller.quorum.retry.backoff.ms
  std::int64_t fetch_max_bytes = 1 << 20;
  std::int64_t fetch_snapshot_max_bytes = 1 << 20;
  std::shared_ptr<const io::tls::Context> tls;  // of the controller listener; null: plain. Set by the caller
  std::function<void(const Error& error)> on_fatal;
};

// What the node's configuration says of all this. `directory_id` is that of metadata.log.dir. Own endpoints are the
// advertised controller listeners; where they have no host, the caller puts in the machine's name.
RaftOptions raft_options(const config::BrokerConfig& file, const Uuid& directory_id);

// For DescribeQuorum.
struct QuorumInfo {
  struct Replica {
    ReplicaKey key;
    std::int64_t log_end_offset = -1;
    TimestampMs last_fetch_ms = -1;
    TimestampMs last_caught_up_ms = -1;
  };
  LeaderAndEpoch leader;
  std::int64_t high_watermark = -1;
  std::vector<Replica> voters;
  std::vector<Replica> observers;
  VoterSet voter_set;
  std::int16_t kraft_version = 0;
};

class RaftNode {
 public:
  RaftNode(io::Shard& shard, RaftOptions options, Logger logger = {});
  ~RaftNode();
  RaftNode(const RaftNode&) = delete;
  RaftNode& operator=(const RaftNode&) = delete;

  // Before start(). The listener must live until stop() has returned.
  void add_listener(RaftListener& listener);
  // Loads what is on the disk and takes up its role. The log is replayed to the listeners after it returned.
  io::Task<Result<void>> start();
  // Ends the background work and closes the log. Waiting calls fail with Errc::shutting_down.
  io::Task<void> stop();

  io::Shard& shard() const noexcept { return shard_; }
  std::int32_t node_id() const noexcept { return options_.node_id; }
  LeaderAndEpoch leader() const noexcept { return core_.leader(); }
  // The leader's controller listener, from the voter set or from what others answered; empty while none is known.
  std::optional<io::Endpoint> leader_endpoint() const;
  // Whether this node is in the voter set as it is in the log, committed or not.
  bool is_voter() const { return core_.is_voter(); }
  bool leads(std::int32_t epoch) const noexcept { return core_.is_leader() && core_.epoch() == epoch && !failure_; }
  // -1 until known.
  std::int64_t high_watermark() const noexcept { return core_.high_watermark(); }
  std::int16_t kraft_version() const noexcept { return core_.kraft_version(); }
  std::int64_t log_end_offset() const noexcept { return log_ ? log_->end_offset() : 0; }
  // The offset that the next appended record will get.
  std::int64_t next_offset() const noexcept { return core_.next_offset(); }
  QuorumInfo describe() const;

  // Takes record values into the log as one batch (or a part of one), without waiting: offsets are assigned now, the
  // disk follows. Returns the last record's offset. Errors: NOT_LEADER_OR_FOLLOWER unless this node leads in `epoch`;
  // RECORD_LIST_TOO_LARGE if they do not fit one batch.
  Result<std::int64_t> enqueue(std::int32_t epoch, std::span<const Slice> values);
  // Waits until `offset` (from enqueue() in `epoch`) is committed. Errors: NOT_LEADER_OR_FOLLOWER if leadership went
  // first (the record may survive or not), Errc::timed_out at the deadline, Errc::shutting_down, or the disk's fault.
  io::Task<Result<void>> wait_committed(std::int32_t epoch, std::int64_t offset, Instant deadline = Instant::never());
  // Both in one: appends and waits; returns the last record's offset.
  io::Task<Result<std::int64_t>> append(std::int32_t epoch, std::vector<Slice> values,
                                        Instant deadline = Instant::never());
  // Waits until the high watermark is known and above `offset`; false at the deadline or at the end.
  io::Task<bool> wait_high_watermark(std::int64_t offset, Instant deadline);
  // ---- What other nodes ask (broker/handler/raft_apis.cc). Each waits as long as Kafka's would, and answers with
  // BROKER_NOT_AVAILABLE while the node stops.
  io::Task<protocol::VoteResponse> vote(protocol::VoteRequest request);
  io::Task<protocol::BeginQuorumEpochResponse> begin_quorum_epoch(protocol::BeginQuorumEpochRequest request);
  io::Task<protocol::EndQuorumEpochResponse> end_quorum_epoch(protocol::EndQuorumEpochRequest request);
  io::Task<protocol::FetchResponse> fetch(protocol::FetchRequest request);
  io::Task<protocol::FetchSnapshotResponse> fetch_snapshot(protocol::FetchSnapshotRequest request);
  io::Task<protocol::AddRaftVoterResponse> add_voter(protocol::AddRaftVoterRequest request);
  io::Task<protocol::RemoveRaftVoterResponse> remove_voter(protocol::RemoveRaftVoterRequest request);
  io::Task<protocol::UpdateRaftVoterResponse> update_voter(protocol::UpdateRaftVoterRequest request);

  // Gives up the leadership of `epoch`, because the state machine above failed in it.
  void resign(std::int32_t epoch);

  // Stores a snapshot of all below `id.end_offset`, which must be committed; `values` are its records. Then drops what
  // the retention settings allow.
  io::Task<Result<void>> create_snapshot(SnapshotId id, TimestampMs last_contained_ms, std::vector<Slice> values);
  std::optional<SnapshotId> latest_snapshot() const { return log_->latest_snapshot(); }

  // Set when the node has failed.
  const std::optional<Error>& failure() const noexcept { return failure_; }

 private:
  // A listener and how far it has come.
  struct Follower {
    RaftListener* listener = nullptr;
    std::int64_t next_offset = 0;
    LeaderAndEpoch told{-1, -1};
  };
  Now now() const { return {shard_.now(), shard_.wall_ms()}; }
  io::Task<Result<LocalState>> load();
  io::Task<Result<void>> load_freshness(LocalState& local);
  io::Task<Result<void>> load_voters(LocalState& local);
  io::Task<Result<void>> scan_control_records(LocalState& local, std::int64_t from);
  bool has_peers() const;
  // raft_drive.cc
  io::Task<void> drive();
  io::Task<Result<void>> perform(std::vector<Action> actions);
  io::Task<Result<void>> perform_write(Action& action);
  void perform_rest(Action& action);
  // True if the disk is full, say, and the metadata log is as it was.
  bool may_pass(const Error& error) const;
  io::Task<Result<void>> perform_append(const AppendBatch& append);
  io::Task<Result<void>> perform_fetched(const AppendFetched& append);
  io::Task<Result<void>> perform_flush();
  io::Task<Result<void>> perform_install(SnapshotId id);
  io::Task<Result<void>> forget_freshness();
  template <typename Send>
  io::Task<void> send(Send sent);
  io::Task<void> send_end(SendEndEpoch sent);
  io::Task<void> send_add(SendAddVoter sent);
  io::Task<void> send_remove(SendRemoveVoter sent);
  // raft_serve.cc
  io::Task<bool> settled();
  io::Task<FetchAnswer> serve_fetch(FetchAsk ask);
  io::Task<Result<Slice>> read_for(FetchAsk ask);
  io::Task<Result<void>> add_voter_checked(protocol::AddRaftVoterRequest request);
  io::Task<Result<void>> remove_voter_checked(protocol::RemoveRaftVoterRequest request);
  io::Task<Result<void>> wait_changed(Result<std::int64_t> offset, Duration patience);
  io::Task<void> follow(Follower& follower);
  io::Task<Result<bool>> advance(Follower& follower);
  void tell_leader(Follower& follower);
  void fail_node(Error error);
  Error ended() const;

  io::Shard& shard_;
  RaftOptions options_;
  Logger logger_;
  RaftCore core_;
  std::unique_ptr<MetadataLog> log_;
  std::vector<std::unique_ptr<Follower>> followers_;
  RaftPeers peers_;
  io::Signal work_;       // for drive(): the core has something to do
  io::Signal progress_;   // high watermark, leader, failure or stop changed
  io::Signal replicate_;  // the same, or the log grew: for those that wait to fetch
  io::Signal persisted_;  // the quorum-state was written, failure or stop
  std::uint64_t persists_done_ = 0;
  int farewells_ = 0;  // EndQuorumEpoch requests on their way
  io::Gate tasks_;
  std::optional<Error> failure_;
  bool stopping_ = false;
  bool snapshotting_ = false;
};

}  // namespace klamm::raft
