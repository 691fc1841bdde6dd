#include "client/core/links.h"

#include <algorithm>

namespace klamm::client {

namespace {

// A name that no resolver knows: Asio keeps the resolver's codes in categories of their own, a simulated network has no
// node of that name.
bool is_unresolved(const Error& error) {
  const std::string_view category = error.code().category().name();
  return category == "asio.netdb" || category == "asio.addrinfo" || error == Errc::unavailable;
}

// The error without the address, which the line has already.
std::string reason_without(const io::Endpoint& endpoint, const Error& error) {
  const std::string address = endpoint.text();
  std::string text = error.message();
  for (const std::string& prefix : {"connect to " + address + ": ", address + ": "}) {
    if (text.starts_with(prefix)) return text.substr(prefix.size());
  }
  for (const std::string& part : {" with " + address, " to " + address}) {  // "TLS handshake with"
    if (const std::size_t at = text.find(part); at != std::string::npos) return text.erase(at, part.size());
  }
  return text;
}

}  // namespace

// Bootstrap servers stand as brokers -2, -3 and so on, until (and besides) the real ones are known.
Links::Links(io::Shard& shard, const ClusterOptions& options, const Logger& log)
    : shard_(shard), options_(options), log_(log) {
  BrokerNumber number = -2;
  for (const io::Endpoint& endpoint : options_.bootstrap) {
    const BrokerNumber id = number--;
    links_.emplace(id, make(id, endpoint));
  }
}

LinkRef Links::make(BrokerNumber number, const io::Endpoint& endpoint) {
  rpc::ChannelOptions options;
  options.connection.client_id = options_.client_id;
  options.connection.setup_timeout = options_.setup_timeout;
  options.connection.request_timeout = options_.request_timeout;
  options.connection.max_idle = options_.max_idle;
  options.connection.buffers = options_.buffers;
  options.setup_timeout_max = options_.setup_timeout_max;
  options.reconnect_backoff = options_.reconnect_backoff;
  options.reconnect_backoff_max = options_.reconnect_backoff_max;
  options.attempted = [this, number](const Error* error) {
    if (const LinkRef link = find(number)) attempted(*link, error);
  };
  return std::make_shared<Link>(shard_, number, endpoint, std::move(options));
}

LinkRef Links::find(BrokerNumber broker) const {
  const auto found = links_.find(broker);
  return found == links_.end() ? nullptr : found->second;
}

LinkRef Links::add(BrokerNumber broker, const io::Endpoint& endpoint) {
  if (LinkRef known = find(broker)) return known;
  LinkRef link = make(broker, endpoint);
  // The connection that bootstrapped us serves its broker from now on.
  for (auto& [id, other] : links_) {
    if (other->is_bootstrap() && other->channel.peer() == endpoint && other->channel.is_open()) {
      link->channel.adopt(other->channel);
      break;
    }
  }
  links_.emplace(broker, link);
  return link;
}

void Links::relocate(BrokerNumber broker, const io::Endpoint& endpoint) {
  const LinkRef link = find(broker);
  if (!link || link->channel.peer() == endpoint) return;
  link->channel.retarget(endpoint);
  link->unreachable.over();
}

void Links::drop(BrokerNumber broker) {
  if (const LinkRef link = find(broker)) link->channel.disconnect();
}

io::Task<Result<ConnectionRef>> Links::connect(LinkRef link, Instant deadline) {
  if (options_.tls && !tls_) {
    Result<void> loaded = co_await load_tls();
    if (!loaded) attempted(*link, &loaded.error());
    KLAMM_CO_TRY(loaded);
  }
  link->channel.set_tls(tls_);
  Result<ConnectionRef> connection = co_await link->channel.connect(deadline);
  co_return connection;
}

void Links::attempted(Link& link, const Error* error) {
  const io::Endpoint& endpoint = link.channel.peer();
  if (error == nullptr) {
    link.unreachable.over();
    log_.debug("connected to {} (broker {})", endpoint.text(), link.id);
    return;
  }
  log_.debug("connection to {} (broker {}) failed: {}", endpoint.text(), link.id, error->message());
  if (!link.unreachable.due("unreachable", shard_.now())) return;
  if (link.is_bootstrap() && is_unresolved(*error)) {
    log_.warning("Couldn't resolve server {} from {} as DNS resolution failed for {}", endpoint.text(),
                 options_.controllers ? "bootstrap.controllers" : "bootstrap.servers", endpoint.host);
    return;
  }
  const std::string node = link.is_bootstrap() ? "bootstrap server" : "node " + std::to_string(link.id);
  log_.warning("Connection to {} ({}) could not be established: {}", node, endpoint.text(),
               reason_without(endpoint, *error));
}

// Keys and certificates are read when the first connection is made.
io::Task<Result<void>> Links::load_tls() {
  Result<std::shared_ptr<const io::tls::Context>> loaded =
      co_await io::tls::Context::load(shard_, *options_.tls, io::tls::Role::client);
  KLAMM_CO_TRY(loaded);
  tls_ = std::move(*loaded);
  co_return Result<void>();
}

ConnectionRef Links::least_loaded() const {
  ConnectionRef best;
  for (const auto& [id, link] : links_) {
    ConnectionRef open = link->channel.open_connection();
    if (open && (!best || open->in_flight() < best->in_flight())) best = std::move(open);
  }
  return best;
}

std::vector<BrokerNumber> Links::bootstrap() const {
  std::vector<BrokerNumber> all;
  for (const auto& [id, link] : links_) {
    if (link->is_bootstrap()) all.push_back(id);
  }
  return all;
}

bool Links::bootstrap_unresolvable() const {
  bool any = false;
  for (const auto& [id, link] : links_) {
    if (!link->is_bootstrap()) continue;
    const std::optional<Error>& error = link->channel.last_error();
    if (!error || !is_unresolved(*error)) return false;
    any = true;
  }
  return any;
}

std::vector<BrokerStatistics> Links::statistics() const {
  std::vector<BrokerStatistics> all;
  for (const auto& [id, link] : links_) {
    const rpc::ChannelCounts counts = link->channel.counts();
    if (counts.connects == 0 && id < 0) continue;
    const ConnectionRef open = link->channel.open_connection();
    BrokerStatistics one;
    one.broker_id = id;
    one.address = link->channel.peer().text();
    one.connected = open != nullptr;
    one.connects = counts.connects;
    one.disconnects = counts.connects - (open ? 1 : 0);
    one.timeouts = counts.timeouts;
    one.in_flight = open ? static_cast<std::uint32_t>(open->in_flight()) : 0;
    one.requests = counts.traffic.requests;
    one.responses = counts.traffic.responses;
    one.sent_bytes = counts.traffic.sent_bytes;
    one.received_bytes = counts.traffic.received_bytes;
    one.average_round_trip = counts.traffic.average_round_trip;
    all.push_back(std::move(one));
  }
  return all;
}

void Links::stop() {
  if (closed_) return;
  closed_ = true;
  for (auto& [id, link] : links_) link->channel.stop();
}

io::Task<void> Links::close() {
  stop();
  for (auto& [id, link] : links_) co_await link->channel.close();
}

}  // namespace klamm::client
