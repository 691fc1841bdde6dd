// Hands requests to the active controller in Envelopes, as Kafka's brokers do, and gives its answers back.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"
#include "broker/controller/controller_channel.h"
#include "broker/handler/call.h"
#include "broker/security/context.h"
#include "io/shard.h"
#include "protocol/message/header.h"
#include "protocol/messages/envelope_request.h"
#include "protocol/messages/envelope_response.h"

namespace klamm::handler {

// Lives on the shard of controller and quorum; call it from there.
class Forwarder {
 public:
  // How long a request may wait for a controller to be found, as in Kafka.
  static constexpr Duration kPatience = 60s;
  // `local`: this node's controller, null on a node without.
  Forwarder(controller::ControllerChannel& channel, ControllerServices* local) : channel_(channel), local_(local) {}

  // The controller's answer to one request.
  struct Answer {
    Slice response;               // header and body, as the request's version has them
    std::int64_t committed = -1;  // the metadata log up to here has what the answer tells; -1: not known
  };
  // `request`: header and body. `changes_metadata`: the caller wants to know Answer::committed. Fails with
  // UNSUPPORTED_VERSION if the controller does not know the request, with UNKNOWN_SERVER_ERROR if it could not take it,
  // and as ControllerChannel::call does.
  io::Task<Result<Answer>> forward(Slice request, const security::RequestContext& sender, Instant deadline,
                                   bool changes_metadata);

  // A request of the broker's own, made for a client and in its name; the answer, decoded.
  template <typename Request>
  io::Task<Result<typename Request::Response>> ask(const Request& request, const security::RequestContext& sender,
                                                   Instant deadline) {
    const std::int16_t version = Request::kMaxStableVersion;
    protocol::RequestHeader header;
    header.request_api_key = static_cast<std::int16_t>(Request::kApiKey);
    header.request_api_version = version;
    header.client_id = sender.client_id;
    Result<Answer> answer =
        co_await forward(join(header, wire::encode_message(request, version)), sender, deadline, false);
    KLAMM_CO_TRY(answer);
    co_return protocol::decode_response<typename Request::Response>(answer->response, version, header.correlation_id);
  }

  // Header and body of a request as one.
  static Slice join(const protocol::RequestHeader& header, const Slice& body);

 private:
  io::Task<std::int64_t> committed_offset(bool was_local, Instant deadline);

  controller::ControllerChannel& channel_;
  ControllerServices* local_;
};

}  // namespace klamm::handler
