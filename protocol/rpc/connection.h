// The asking side of a connection to a Kafka node: requests go out pipelined, answers come back in order. Used by the
// SDK, and by brokers and controllers among themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/piece.h"
#include "io/shard.h"
#include "io/stream.h"
#include "io/sync.h"
#include "io/task.h"
#include "io/tls/context.h"
#include "protocol/messages/api_key.h"
#include "protocol/rpc/frame_reader.h"
#include "protocol/wire/message.h"

namespace klamm::rpc {

struct ConnectionOptions {
  std::string client_id;
  std::string software_name = "klamm";  // told to the peer (KIP-511): letters, digits, '-' and '.'
  std::string software_version = "0.1.0";
  Duration setup_timeout = 10s;         // for resolving and connecting, for TLS, for negotiating, each
  Duration request_timeout = 30s;       // for requests that name no other
  Duration max_idle = Duration::max();  // closed after so long without a request
  std::uint32_t max_response_bytes = 0x7fffffff;
  io::SocketBuffers buffers;                    // what open() asks of the kernel
  std::shared_ptr<const io::tls::Context> tls;  // what open() speaks; null: nothing but Kafka's protocol
};

// Lets whoever opens a connection give up before it is there. For one open(), on its shard.
class Attempt {
 public:
  // open() ends soon with Errc::cancelled. What the kernel has begun may go on to its end by itself, within
  // setup_timeout; its connection is closed at once.
  void give_up() {
    given_up_ = true;
    if (cut_) std::exchange(cut_, nullptr)();
  }
  bool given_up() const noexcept { return given_up_; }

 private:
  friend class Connection;
  bool given_up_ = false;
  std::function<void()> cut_;  // ends the step that open() waits for
};

// An inclusive range of versions of one API. The default takes whatever both sides know.
struct VersionBounds {
  std::int16_t lowest = 0;
  std::int16_t highest = 0x7fff;
};

// How a request stands on the wire.
struct RequestForm {
  protocol::ApiKey key;
  std::int16_t version;
  bool flexible;           // request header with tagged fields
  bool flexible_response;  // response header with tagged fields
};

// Counts of one connection; never reset.
struct ConnectionCounts {
  std::uint64_t requests = 0;
  std::uint64_t responses = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
  Duration average_round_trip{0};  // moving average over about 16 responses

  // Those of an earlier connection and of the one after it.
  ConnectionCounts& operator+=(const ConnectionCounts& later) {
    requests += later.requests;
    responses += later.responses;
    sent_bytes += later.sent_bytes;
    received_bytes += later.received_bytes;
    average_round_trip = later.average_round_trip;
    return *this;
  }
};

// Shared by those who use it; all on the shard that opened it. Once it has failed (reset by the peer, a request not
// answered in time, an answer that does not decode) it is closed: every pending and later call ends with that error,
// which is retriable if another connection may do better.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // Connects and agrees on versions (ApiVersions v4, or v0 with older peers).
  static io::Task<Result<std::shared_ptr<Connection>>> open(io::Shard& shard, io::Endpoint peer,
                                                            ConnectionOptions options,
                                                            std::shared_ptr<Attempt> attempt = nullptr);
  // The same over a stream that is connected already.
  static io::Task<Result<std::shared_ptr<Connection>>> over(io::Shard& shard, std::unique_ptr<io::Stream> stream,
                                                            ConnectionOptions options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // What the peer offers, by API key.
  struct ApiRange {
    std::int16_t key;
    std::int16_t lowest;
    std::int16_t highest;
  };
  const std::vector<ApiRange>& apis() const noexcept { return apis_; }
  struct Feature {
    std::string name;
    std::int16_t lowest;
    std::int16_t highest;
  };
  const std::vector<Feature>& supported_features() const noexcept { return supported_features_; }
  const std::vector<Feature>& finalized_features() const noexcept { return finalized_features_; }
  std::int64_t finalized_features_epoch() const noexcept { return finalized_features_epoch_; }

  // The highest version within `bounds` that both sides know; UNSUPPORTED_VERSION if there is none.
  Result<std::int16_t> version_of(protocol::ApiKey key, VersionBounds bounds) const;
  template <typename Request>
  Result<std::int16_t> version_of(VersionBounds bounds = {}) const {
    return version_of(Request::kApiKey, {std::max(bounds.lowest, Request::kMinVersion),
                                         std::min(bounds.highest, Request::kMaxStableVersion)});
  }

  // One request and its answer. The version is the highest that both know, within `bounds`.
  template <typename Request>
  io::Task<Result<typename Request::Response>> call(Request request, VersionBounds bounds = {},
                                                    std::optional<Duration> timeout = std::nullopt) {
    Result<std::int16_t> version = version_of<Request>(bounds);
    KLAMM_CO_TRY(version);
    Result<typename Request::Response> response = co_await call_version(std::move(request), *version, timeout);
    co_return response;
  }
  // The same in a version that version_of() gave.
  template <typename Request>
  io::Task<Result<typename Request::Response>> call_version(Request request, std::int16_t version,
                                                            std::optional<Duration> timeout = std::nullopt) {
    Result<void> sound = check_request(request, version);
    KLAMM_CO_TRY(sound);
    Result<Slice> body = co_await exchange(form_of<Request>(version), wire::encode_pieces(request, version),
                                           timeout.value_or(options_.request_timeout));
    KLAMM_CO_TRY(body);
    Result<typename Request::Response> response =
        wire::decode_message<typename Request::Response>(std::move(*body), version);
    if (!response) close(Error(response.error()).in(endpoint_.text()));
    co_return response;
  }

  // Untyped: sends the frame (header added here) and gives the answer's body.
  io::Task<Result<Slice>> exchange(RequestForm form, io::Pieces body, Duration timeout);
  // For requests that have no answer (Produce with acks=0): returns once the bytes are handed to the kernel.
  io::Task<Result<void>> send(RequestForm form, io::Pieces body);

  template <typename Request>
  static constexpr RequestForm form_of(std::int16_t version) noexcept {
    return {Request::kApiKey, version, version >= Request::kFlexibleFrom,
            version >= Request::Response::kFlexibleFrom && Request::kApiKey != protocol::ApiKey::api_versions};
  }
  template <typename Request>
  static Result<void> check_request(const Request& request, std::int16_t version) {
    if constexpr (requires { request.check(version); }) return request.check(version);
    return {};
  }

  bool closed() const noexcept { return fault_.has_value(); }
  // Why it is closed.
  const Error& fault() const noexcept { return *fault_; }
  // Fails everything pending with `reason` and closes. Nothing happens if it is closed already.
  void close(Error reason = Error(Errc::cancelled, "connection closed"));
  // Completes when it is closed and nothing of it runs any more: its shard may go.
  io::Task<void> wait_ended();

  std::size_t in_flight() const noexcept { return pending_count_; }
  const io::Endpoint& endpoint() const noexcept { return endpoint_; }
  const ConnectionCounts& counts() const noexcept { return counts_; }
  io::Shard& shard() noexcept { return shard_; }

 private:
  // A request that waits for its answer; lives in the frame of the exchange. They form a queue.
  struct Pending {
    Connection& connection;
    std::int32_t correlation_id;
    protocol::ApiKey key;
    bool flexible_response;
    Instant sent_at;
    Instant deadline;
    Pending* next = nullptr;
    std::coroutine_handle<> handle{};
    std::optional<Result<Slice>> outcome{};

    bool await_ready() const noexcept { return outcome.has_value(); }
    void await_suspend(std::coroutine_handle<> awaiter) noexcept { handle = awaiter; }
    void await_resume() const noexcept {}
  };

  Connection(io::Shard& shard, std::unique_ptr<io::Stream> stream, io::Endpoint endpoint, ConnectionOptions options);
  static io::Task<Result<std::unique_ptr<io::Stream>>> connect(io::Shard& shard, io::Endpoint peer,
                                                               const ConnectionOptions& options, Attempt* attempt);
  static io::Task<Result<std::shared_ptr<Connection>>> begin(std::shared_ptr<Connection> connection,
                                                             Attempt* attempt = nullptr);
  io::Task<Result<void>> negotiate();
  Result<void> take_api_versions(Slice body, std::int16_t version);
  void enqueue(RequestForm form, std::int32_t correlation_id, io::Pieces body);
  Result<void> deliver(Slice frame);
  io::Task<void> read_loop();
  io::Task<void> write_loop();
  static io::Task<void> run(std::shared_ptr<Connection> self, io::Task<void> loop);
  void watch(Instant when);
  void look_at_clock();

  io::Shard& shard_;
  std::unique_ptr<io::Stream> stream_;
  io::Endpoint endpoint_;
  ConnectionOptions options_;
  FrameReader frames_;
  io::Pieces outgoing_;              // queued, not yet given to the stream
  std::uint64_t queued_bytes_ = 0;   // ever
  std::uint64_t written_bytes_ = 0;  // ever
  io::Signal outgoing_added_;
  io::Signal written_;
  io::Signal closed_signal_;  // also when a loop ends
  int loops_ = 0;             // reading and writing, while they run
  Pending* first_pending_ = nullptr;
  Pending* last_pending_ = nullptr;
  std::size_t pending_count_ = 0;
  std::int32_t next_correlation_id_ = 0;
  io::Timer timer_;
  Instant used_at_;
  std::optional<Error> fault_;
  std::vector<ApiRange> apis_;
  std::vector<Feature> supported_features_;
  std::vector<Feature> finalized_features_;
  std::int64_t finalized_features_epoch_ = -1;
  ConnectionCounts counts_;
};

}  // namespace klamm::rpc
