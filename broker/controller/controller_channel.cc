#include "broker/controller/controller_channel.h"

#include <algorithm>

#include "base/check.h"

namespace klamm::controller {
namespace {

// How often it is looked whether another node leads, while an answer is waited for: a node that hangs does not close
// its connections.
constexpr Duration kWatch = 100ms;

}  // namespace

ControllerChannel::ControllerChannel(io::Shard& shard, ControllerChannelOptions options, FindLeader find_leader,
                                     Controller* local, Logger logger)
    : shard_(shard),
      options_(std::move(options)),
      find_leader_(std::move(find_leader)),
      local_(local),
      logger_(std::move(logger)),
      backoff_(options_.retry_backoff, options_.retry_backoff_max),
      watch_(shard, [this] { follow_leader(); }),
      ended_(shard) {}

ControllerChannel::~ControllerChannel() { KLAMM_CHECK(pending_ == 0, "destroyed while calls are pending"); }

security::RequestContext ControllerChannel::own_context(std::int16_t version, Instant deadline) {
  security::RequestContext context;
  context.api_version = version;
  context.deadline = deadline;
  return context;
}

Result<rpc::Channel*> ControllerChannel::channel_to_leader() {
  const LeaderAddress leader = find_leader_();
  if (!leader.endpoint) return fail(Error(Errc::unavailable, "the metadata quorum has no known leader", true));
  if (!channel_) {
    rpc::ChannelOptions options;
    options.connection = options_.connection;
    channel_ = std::make_unique<rpc::Channel>(shard_, *leader.endpoint, std::move(options));
  }
  channel_->retarget(*leader.endpoint);
  return channel_.get();
}

Duration ControllerChannel::attempt_time(Instant deadline) const {
  if (deadline == Instant::never()) return options_.attempt_timeout;
  return std::clamp<Duration>(deadline - shard_.now(), 1ms, options_.attempt_timeout);
}

ControllerChannel::Next ControllerChannel::judge(const std::optional<Error>& error, Instant deadline) {
  if (!error) {
    backoff_.reset();
    return Next::done;
  }
  if (closed_ || shard_.now() >= deadline) return Next::done;
  // The same controller will not know more of the request the next time.
  if (protocol::code_of(*error) == protocol::ErrorCode::unsupported_version) return Next::done;
  logger_.debug("the controller is asked again: {}", error->message());
  return Next::again;
}

// Before the next attempt.
io::Task<void> ControllerChannel::pause(Instant deadline) {
  const Instant until = std::min(deadline, shard_.now() + backoff_.next(shard_.random()));
  if (is_local() && !local_->active()) {
    // It leads already, and reads what was written before.
    const bool active = co_await local_->wait_active(until);
    static_cast<void>(active);
    if (active) co_return;
  }
  while (!closed_ && shard_.now() < until) co_await ended_.wait_until(until);
}

void ControllerChannel::begin() {
  ++pending_;
  if (!watch_.armed()) watch_.arm_in(kWatch);
}

void ControllerChannel::end() {
  if (--pending_ > 0) return;
  watch_.cancel();
  ended_.notify_all();
}

void ControllerChannel::follow_leader() {
  if (pending_ == 0) return;
  watch_.arm_in(kWatch);
  if (!channel_) return;
  const LeaderAddress leader = find_leader_();
  if (leader.id == options_.node_id && local_ != nullptr) {
    channel_->disconnect();
  } else if (leader.endpoint) {
    channel_->retarget(*leader.endpoint);
  }
}

io::Task<void> ControllerChannel::close() {
  if (closed_) {  // somebody else is at it
    while (!over_) co_await ended_.wait();
    co_return;
  }
  closed_ = true;
  ended_.notify_all();
  if (channel_) co_await channel_->close();
  while (pending_ > 0) co_await ended_.wait();
  channel_.reset();
  over_ = true;
  ended_.notify_all();
}

#define KLAMM_ASK(method, Type)                                                                                       \
  io::Task<protocol::Type##Response> ControllerChannel::ask(Controller& controller, security::RequestContext context, \
                                                            protocol::Type##Request request) {                        \
    protocol::Type##Response response = co_await controller.method(context, std::move(request));                      \
    co_return response;                                                                                               \
  }
KLAMM_ASK(register_broker, BrokerRegistration)
KLAMM_ASK(broker_heartbeat, BrokerHeartbeat)
KLAMM_ASK(register_controller, ControllerRegistration)
KLAMM_ASK(allocate_producer_ids, AllocateProducerIds)
KLAMM_ASK(assign_replicas_to_dirs, AssignReplicasToDirs)
KLAMM_ASK(alter_partition, AlterPartition)
KLAMM_ASK(describe_quorum, DescribeQuorum)
#undef KLAMM_ASK

}  // namespace klamm::controller
