// A node's way to the active controller: in process when this node is it, else over the network to the leader of the
// metadata quorum. Whoever answers NOT_CONTROLLER, or does not answer, is asked no more; the call goes on, with a
// backoff, to whom the quorum names next, until its deadline.
//
// A node keeps several, as Kafka's does (registration and heartbeats; changes of ISRs; directories; forwarded
// requests), so that none of these waits behind another. Each lives on the shard of controller and quorum.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/result.h"
#include "broker/controller/controller.h"
#include "io/shard.h"
#include "io/sync.h"
#include "io/timer.h"
#include "protocol/error.h"
#include "protocol/messages/allocate_producer_ids_request.h"
#include "protocol/messages/allocate_producer_ids_response.h"
#include "protocol/messages/alter_partition_request.h"
#include "protocol/messages/alter_partition_response.h"
#include "protocol/messages/assign_replicas_to_dirs_request.h"
#include "protocol/messages/assign_replicas_to_dirs_response.h"
#include "protocol/messages/broker_heartbeat_request.h"
#include "protocol/messages/broker_heartbeat_response.h"
#include "protocol/messages/broker_registration_request.h"
#include "protocol/messages/broker_registration_response.h"
#include "protocol/messages/controller_registration_request.h"
#include "protocol/messages/controller_registration_response.h"
#include "protocol/messages/describe_quorum_request.h"
#include "protocol/messages/describe_quorum_response.h"
#include "protocol/rpc/channel.h"

namespace klamm::controller {

// Who leads the metadata quorum, as far as this node knows.
struct LeaderAddress {
  std::int32_t id = -1;                  // -1: nobody known
  std::optional<io::Endpoint> endpoint;  // of its controller listener
};
using FindLeader = std::function<LeaderAddress()>;

struct ControllerChannelOptions {
  std::int32_t node_id = 0;
  rpc::ConnectionOptions connection;  // client id, TLS
  Duration attempt_timeout = 30s;     // for one answer
  Duration retry_backoff = 20ms;      // after the first failure, doubling
  Duration retry_backoff_max = 500ms;
};

class ControllerChannel {
 public:
  // `local`: this node's own controller, null on a node without; it lives longer.
  ControllerChannel(io::Shard& shard, ControllerChannelOptions options, FindLeader find_leader, Controller* local,
                    Logger logger);
  // close() comes first.
  ~ControllerChannel();
  ControllerChannel(const ControllerChannel&) = delete;
  ControllerChannel& operator=(const ControllerChannel&) = delete;

  io::Shard& shard() noexcept { return shard_; }

  // One request and the active controller's answer, which may be a refusal, but never NOT_CONTROLLER. Fails with the
  // last attempt's error once the deadline has passed, with UNSUPPORTED_VERSION if the controller does not know the
  // request, with Errc::cancelled once close() was called.
  template <typename Request>
  io::Task<Result<typename Request::Response>> call(Request request, Instant deadline) {
    const auto in_process = [this, deadline](Request asked) {
      return ask(*local_, own_context(Request::kMaxStableVersion, deadline), std::move(asked));
    };
    Result<typename Request::Response> response = co_await call_by(std::move(request), deadline, in_process);
    co_return response;
  }
  // The same with another way to the controller of this node: `in_process(request)` gives a task of its answer.
  template <typename Request, typename InProcess>
  io::Task<Result<typename Request::Response>> call_by(Request request, Instant deadline, InProcess in_process);

  // Ends what is pending, except calls of this node's own controller, which end with its deadlines or its quorum's end.
  io::Task<void> close();

 private:
  // What an attempt came to besides its answer.
  enum class Next { done, again };

  static security::RequestContext own_context(std::int16_t version, Instant deadline);
  bool is_local() const { return local_ != nullptr && find_leader_().id == options_.node_id; }
  // The channel to the leader of now; an error if it is not known.
  Result<rpc::Channel*> channel_to_leader();
  Duration attempt_time(Instant deadline) const;
  Next judge(const std::optional<Error>& error, Instant deadline);
  io::Task<void> pause(Instant deadline);
  void begin();
  void end();
  void follow_leader();

  // The typed methods of the controller, by the request's type.
  static io::Task<protocol::BrokerRegistrationResponse> ask(Controller& controller, security::RequestContext context,
                                                            protocol::BrokerRegistrationRequest request);
  static io::Task<protocol::BrokerHeartbeatResponse> ask(Controller& controller, security::RequestContext context,
                                                         protocol::BrokerHeartbeatRequest request);
  static io::Task<protocol::ControllerRegistrationResponse> ask(Controller& controller,
                                                                security::RequestContext context,
                                                                protocol::ControllerRegistrationRequest request);
  static io::Task<protocol::AllocateProducerIdsResponse> ask(Controller& controller, security::RequestContext context,
                                                             protocol::AllocateProducerIdsRequest request);
  static io::Task<protocol::AssignReplicasToDirsResponse> ask(Controller& controller, security::RequestContext context,
                                                              protocol::AssignReplicasToDirsRequest request);
  static io::Task<protocol::AlterPartitionResponse> ask(Controller& controller, security::RequestContext context,
                                                        protocol::AlterPartitionRequest request);
  static io::Task<protocol::DescribeQuorumResponse> ask(Controller& controller, security::RequestContext context,
                                                        protocol::DescribeQuorumRequest request);

  io::Shard& shard_;
  ControllerChannelOptions options_;
  FindLeader find_leader_;
  Controller* local_;
  Logger logger_;
  std::unique_ptr<rpc::Channel> channel_;  // once a leader elsewhere was known
  rpc::Backoff backoff_;
  io::Timer watch_;  // while calls are pending: whether another node leads now
  io::Signal ended_;
  std::size_t pending_ = 0;
  bool closed_ = false;
  bool over_ = false;  // close() has ended
};

// --- implementation ---

template <typename Request, typename InProcess>
io::Task<Result<typename Request::Response>> ControllerChannel::call_by(Request request, Instant deadline,
                                                                        InProcess in_process) {
  using Response = typename Request::Response;
  begin();
  for (;;) {
    Result<Response> response = fail(Errc::cancelled, "the way to the controller is closed");
    if (closed_) {
      end();
      co_return response;
    }
    if (is_local()) {
      Response answer = co_await in_process(request);
      response = std::move(answer);
    } else {
      Result<rpc::Channel*> channel = channel_to_leader();
      if (channel) {
        response = co_await (*channel)->call(request, {}, attempt_time(deadline));
      } else {
        response = fail(channel.error());
      }
    }
    std::optional<Error> error;
    if (!response) {
      error = response.error();
    } else if (protocol::error_code_from(response->error_code) == protocol::ErrorCode::not_controller) {
      error = protocol::kafka_error(protocol::ErrorCode::not_controller, "the controller has moved");
    }
    const Next next = judge(error, deadline);
    if (next == Next::done) {
      end();
      if (error) co_return fail(std::move(*error));
      co_return response;
    }
    co_await pause(deadline);
  }
}

}  // namespace klamm::controller
