#include "protocol/rpc/connection.h"

#include <algorithm>

#include "io/tls/stream.h"
#include "protocol/error.h"
#include "protocol/messages/api_versions_request.h"
#include "protocol/messages/api_versions_response.h"

namespace klamm::rpc {

using protocol::ApiKey;
using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;

namespace {

constexpr std::size_t kSizeField = 4;

// int16 key, int16 version, int32 correlation id, string client id, tagged section.
Slice encode_front(const RequestForm& form, std::int32_t correlation_id, std::string_view client_id,
                   std::uint64_t body_bytes) {
  const std::size_t header_bytes = 8 + 2 + client_id.size() + (form.flexible ? 1 : 0);
  Buffer::Ref buffer = Buffer::allocate(kSizeField + header_bytes);
  std::byte* at = buffer->data();
  store_big_endian(at, static_cast<std::int32_t>(header_bytes + body_bytes));
  store_big_endian(at + 4, static_cast<std::int16_t>(form.key));
  store_big_endian(at + 6, form.version);
  store_big_endian(at + 8, correlation_id);
  store_big_endian(at + 12, static_cast<std::int16_t>(client_id.size()));
  if (!client_id.empty()) std::memcpy(at + 14, client_id.data(), client_id.size());
  if (form.flexible) at[14 + client_id.size()] = std::byte{0};
  return {std::move(buffer), kSizeField + header_bytes};
}

// A fault of this connection that another one may not have.
Error retriable(Error error) { return {error.code(), error.context(), true}; }

// A TCP connection on its way. Whoever asked for it may leave; what comes of it then is closed unseen.
struct Dial {
  explicit Dial(io::Shard& shard) : over(shard) {}
  io::Signal over;
  std::optional<Result<std::unique_ptr<io::Stream>>> outcome;
};

io::Task<void> dial(std::shared_ptr<Dial> call, io::Shard& shard, io::Endpoint peer, Duration timeout,
                    io::SocketBuffers buffers) {
  Result<std::unique_ptr<io::Stream>> stream = co_await shard.connect(std::move(peer), timeout, buffers);
  call->outcome.emplace(std::move(stream));
  call->over.notify_all();
}

}  // namespace

Connection::Connection(io::Shard& shard, std::unique_ptr<io::Stream> stream, io::Endpoint endpoint,
                       ConnectionOptions options)
    : shard_(shard),
      stream_(std::move(stream)),
      endpoint_(std::move(endpoint)),
      options_(std::move(options)),
      frames_(options_.max_response_bytes),
      outgoing_added_(shard),
      written_(shard),
      closed_signal_(shard),
      timer_(shard, [this] { look_at_clock(); }),
      used_at_(shard.now()) {}

Connection::~Connection() { KLAMM_CHECK(first_pending_ == nullptr, "connection destroyed while requests wait"); }

io::Task<Result<std::shared_ptr<Connection>>> Connection::open(io::Shard& shard, io::Endpoint peer,
                                                               ConnectionOptions options,
                                                               std::shared_ptr<Attempt> attempt) {
  Result<std::unique_ptr<io::Stream>> stream = co_await connect(shard, peer, options, attempt.get());
  KLAMM_CO_TRY(stream);
  std::shared_ptr<Connection> connection(
      new Connection(shard, std::move(*stream), std::move(peer), std::move(options)));
  Result<std::shared_ptr<Connection>> begun = co_await begin(std::move(connection), attempt.get());
  co_return begun;
}

// TCP, and TLS on it.
io::Task<Result<std::unique_ptr<io::Stream>>> Connection::connect(io::Shard& shard, io::Endpoint peer,
                                                                  const ConnectionOptions& options, Attempt* attempt) {
  const auto given_up = [attempt] { return attempt != nullptr && attempt->given_up(); };
  const auto call = std::make_shared<Dial>(shard);
  if (attempt == nullptr) {
    co_await dial(call, shard, peer, options.setup_timeout, options.buffers);
  } else if (!given_up()) {
    attempt->cut_ = [call] { call->over.notify_all(); };
    io::spawn_detached(dial(call, shard, peer, options.setup_timeout, options.buffers));
    while (!call->outcome && !given_up()) co_await call->over.wait();
    attempt->cut_ = nullptr;
  }
  if (given_up()) co_return fail(Errc::cancelled, "connect to " + peer.text());
  Result<std::unique_ptr<io::Stream>> stream = std::move(*call->outcome);
  KLAMM_CO_TRY(stream);
  if (options.tls) {
    auto secured = io::tls::TlsStream::client(shard, std::move(*stream), options.tls, peer);
    if (attempt != nullptr) attempt->cut_ = [to = secured.get()] { to->close(); };
    Result<void> shaken = co_await secured->handshake(shard.now() + options.setup_timeout);
    if (attempt != nullptr) attempt->cut_ = nullptr;
    if (given_up()) co_return fail(Errc::cancelled, "connect to " + peer.text());
    KLAMM_CO_TRY(shaken);
    *stream = std::move(secured);
  }
  co_return stream;
}

io::Task<Result<std::shared_ptr<Connection>>> Connection::over(io::Shard& shard, std::unique_ptr<io::Stream> stream,
                                                               ConnectionOptions options) {
  io::Endpoint peer = stream->peer();
  std::shared_ptr<Connection> connection(new Connection(shard, std::move(stream), std::move(peer), std::move(options)));
  Result<std::shared_ptr<Connection>> begun = co_await begin(std::move(connection));
  co_return begun;
}

io::Task<Result<std::shared_ptr<Connection>>> Connection::begin(std::shared_ptr<Connection> connection,
                                                                Attempt* attempt) {
  io::spawn_detached(run(connection, connection->read_loop()));
  io::spawn_detached(run(connection, connection->write_loop()));
  if (attempt != nullptr) {
    attempt->cut_ = [connection] { connection->close(Error(Errc::cancelled, connection->endpoint().text())); };
  }
  Result<void> agreed = co_await connection->negotiate();
  if (attempt != nullptr) attempt->cut_ = nullptr;
  if (!agreed) {
    connection->close(agreed.error());
    co_await connection->wait_ended();
    co_return fail(std::move(agreed).error());
  }
  co_return connection;
}

io::Task<Result<void>> Connection::negotiate() {
  constexpr std::int16_t kNewest = 4;
  ApiVersionsRequest request;
  request.client_software_name = options_.software_name;
  request.client_software_version = options_.software_version;
  std::int16_t version = kNewest;
  for (;;) {
    Result<Slice> body = co_await exchange(form_of<ApiVersionsRequest>(version), wire::encode_pieces(request, version),
                                           options_.setup_timeout);
    KLAMM_CO_TRY(body);
    // A peer that does not know our version answers in version 0, with the range that it knows.
    const bool refused = body->size() >= 2 && load_big_endian<std::int16_t>(body->data()) ==
                                                  protocol::to_wire(protocol::ErrorCode::unsupported_version);
    if (refused && version > 0) {
      Result<void> known = take_api_versions(std::move(*body), 0);
      Result<std::int16_t> better = version_of(ApiKey::api_versions, {0, static_cast<std::int16_t>(version - 1)});
      version = known && better ? *better : std::int16_t{0};
      continue;
    }
    Result<void> taken = take_api_versions(std::move(*body), version);
    co_return taken;
  }
}

Result<void> Connection::take_api_versions(Slice body, std::int16_t version) {
  Result<ApiVersionsResponse> response = wire::decode_message<ApiVersionsResponse>(std::move(body), version);
  if (!response) return fail(std::move(response).error().in("ApiVersions of " + endpoint_.text()));
  apis_.clear();
  for (const auto& api : response->api_keys) apis_.push_back({api.api_key, api.min_version, api.max_version});
  std::sort(apis_.begin(), apis_.end(),
            [](const ApiRange& left, const ApiRange& right) { return left.key < right.key; });
  supported_features_.clear();
  for (const auto& feature : response->supported_features) {
    supported_features_.push_back({feature.name, feature.min_version, feature.max_version});
  }
  finalized_features_.clear();
  for (const auto& feature : response->finalized_features) {
    finalized_features_.push_back({feature.name, feature.min_version_level, feature.max_version_level});
  }
  finalized_features_epoch_ = response->finalized_features_epoch;
  const protocol::ErrorCode code = protocol::error_code_from(response->error_code);
  if (code != protocol::ErrorCode::none && code != protocol::ErrorCode::unsupported_version) {
    return fail(protocol::kafka_error(code, "ApiVersions of " + endpoint_.text()));
  }
  return {};
}

Result<std::int16_t> Connection::version_of(ApiKey key, VersionBounds bounds) const {
  const auto wanted = static_cast<std::int16_t>(key);
  const auto found = std::lower_bound(apis_.begin(), apis_.end(), wanted,
                                      [](const ApiRange& range, std::int16_t number) { return range.key < number; });
  const auto what = [&] { return "API " + std::to_string(wanted) + " at " + endpoint_.text(); };
  if (found == apis_.end() || found->key != wanted) {
    return fail(protocol::kafka_error(protocol::ErrorCode::unsupported_version, what() + " is not served"));
  }
  const std::int16_t version = std::min(found->highest, bounds.highest);
  if (version < std::max(found->lowest, bounds.lowest)) {
    return fail(protocol::kafka_error(protocol::ErrorCode::unsupported_version,
                                      what() + " is served in versions " + std::to_string(found->lowest) + " to " +
                                          std::to_string(found->highest) + ", needed " + std::to_string(bounds.lowest) +
                                          " to " + std::to_string(bounds.highest)));
  }
  return version;
}

void Connection::enqueue(RequestForm form, std::int32_t correlation_id, io::Pieces body) {
  const std::uint64_t body_bytes = io::size_of(body);
  Slice front = encode_front(form, correlation_id, options_.client_id, body_bytes);
  queued_bytes_ += front.size() + body_bytes;
  outgoing_.emplace_back(std::move(front));
  for (io::Piece& piece : body) outgoing_.push_back(std::move(piece));
  ++counts_.requests;
  outgoing_added_.notify_all();
}

io::Task<Result<Slice>> Connection::exchange(RequestForm form, io::Pieces body, Duration timeout) {
  if (fault_) co_return fail(*fault_);
  const std::shared_ptr<Connection> self = shared_from_this();
  const Instant now = shard_.now();
  used_at_ = now;
  Pending pending{*this, next_correlation_id_++, form.key, form.flexible_response, now, now + timeout};
  if (next_correlation_id_ < 0) next_correlation_id_ = 0;
  (last_pending_ ? last_pending_->next : first_pending_) = &pending;
  last_pending_ = &pending;
  ++pending_count_;
  watch(pending.deadline);
  enqueue(form, pending.correlation_id, std::move(body));
  co_await pending;
  co_return std::move(*pending.outcome);
}

io::Task<Result<void>> Connection::send(RequestForm form, io::Pieces body) {
  if (fault_) co_return fail(*fault_);
  const std::shared_ptr<Connection> self = shared_from_this();
  used_at_ = shard_.now();
  enqueue(form, next_correlation_id_++, std::move(body));
  if (next_correlation_id_ < 0) next_correlation_id_ = 0;
  const std::uint64_t until = queued_bytes_;
  while (!fault_ && written_bytes_ < until) co_await written_.wait();
  if (written_bytes_ < until) co_return fail(*fault_);
  co_return Result<void>();
}

Result<void> Connection::deliver(Slice frame) {
  wire::Reader reader(frame);
  const std::int32_t correlation_id = reader.read_int32();
  Pending* pending = first_pending_;
  if (!reader.ok() || pending == nullptr || pending->correlation_id != correlation_id) {
    return fail(Errc::malformed,
                "an answer with correlation id " + std::to_string(correlation_id) + " that was not expected");
  }
  if (pending->flexible_response) {
    wire::UnknownTags tags;
    reader.read_unknown_tags(tags);
    if (!reader.ok()) return fail(Errc::malformed, "response header");
  }
  first_pending_ = pending->next;
  if (first_pending_ == nullptr) last_pending_ = nullptr;
  --pending_count_;
  ++counts_.responses;
  counts_.received_bytes += frame.size() + kSizeField;
  used_at_ = shard_.now();
  const Duration round_trip = used_at_ - pending->sent_at;
  counts_.average_round_trip += (round_trip - counts_.average_round_trip) / 16;
  pending->outcome.emplace(frame.from(reader.position()));
  if (pending->handle) pending->handle.resume();  // the frame of the exchange may be gone now
  return {};
}

io::Task<void> Connection::run(std::shared_ptr<Connection> self, io::Task<void> loop) {
  const std::shared_ptr<Connection> alive = std::move(self);
  ++alive->loops_;
  co_await std::move(loop);
  --alive->loops_;
  alive->closed_signal_.notify_all();
}

io::Task<void> Connection::read_loop() {
  while (!fault_) {
    Result<Slice> frame = co_await frames_.read(*stream_);
    if (fault_) break;
    if (!frame) {
      close(retriable(std::move(frame).error().in(endpoint_.text())));
      break;
    }
    Result<void> delivered = deliver(std::move(*frame));
    if (!delivered) close(retriable(std::move(delivered).error().in(endpoint_.text())));
  }
}

io::Task<void> Connection::write_loop() {
  while (!fault_) {
    if (outgoing_.empty()) {
      co_await outgoing_added_.wait();
      continue;
    }
    const std::uint64_t until = queued_bytes_;
    io::Pieces batch = std::exchange(outgoing_, {});
    Result<void> put = co_await io::write_all(*stream_, std::move(batch));
    if (fault_) break;
    if (!put) {
      close(retriable(std::move(put).error().in(endpoint_.text())));
      break;
    }
    counts_.sent_bytes += until - written_bytes_;
    written_bytes_ = until;
    written_.notify_all();
  }
}

void Connection::watch(Instant when) {
  if (!timer_.armed() || when < timer_.when()) timer_.arm_at(when);
}

void Connection::look_at_clock() {
  const Instant now = shard_.now();
  Instant next = Instant::never();
  for (Pending* pending = first_pending_; pending != nullptr; pending = pending->next) {
    if (pending->deadline <= now) {
      const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(now - pending->sent_at).count();
      close(Error(Errc::timed_out,
                  endpoint_.text() + ": request of API " + std::to_string(static_cast<int>(pending->key)) +
                      " not answered in " + std::to_string(waited) + " ms",
                  true));
      return;
    }
    next = std::min(next, pending->deadline);
  }
  if (options_.max_idle != Duration::max()) {
    const Instant idle_end = used_at_ + options_.max_idle;
    if (first_pending_ == nullptr && idle_end <= now) {
      close(Error(Errc::cancelled, endpoint_.text() + ": closed because it was idle", true));
      return;
    }
    next = std::min(next, std::max(idle_end, now + 1ms));
  }
  if (next != Instant::never()) watch(next);
}

void Connection::close(Error reason) {
  if (fault_) return;
  fault_ = std::move(reason);
  timer_.cancel();
  stream_->close();
  outgoing_.clear();
  outgoing_added_.notify_all();
  written_.notify_all();
  closed_signal_.notify_all();
  const std::shared_ptr<Connection> self = weak_from_this().lock();
  while (first_pending_ != nullptr) {
    Pending* pending = std::exchange(first_pending_, first_pending_->next);
    if (first_pending_ == nullptr) last_pending_ = nullptr;
    --pending_count_;
    pending->outcome.emplace(fail(*fault_));
    if (pending->handle) shard_.resume_soon(pending->handle);
  }
}

io::Task<void> Connection::wait_ended() {
  const std::shared_ptr<Connection> self = shared_from_this();
  while (!fault_ || loops_ > 0) co_await closed_signal_.wait();
}

}  // namespace klamm::rpc
