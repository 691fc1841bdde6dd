// One request on its way through a handler, and the reply that comes back.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "broker/security/context.h"
#include "io/piece.h"

namespace klamm::handler {

class Services;
class ControllerServices;

// Tells handlers that wait that their connection was closed on this side (idle, stalled, shutdown, a failed write).
// While a handler waits nothing is read, so that a peer which went is noticed by these only. One a connection, on its
// shard.
class Hangup {
 public:
  // Calls `gone` once, when the connection ends or at once if it has ended. Lives in the frame that waits.
  class Watch {
   public:
    Watch(Hangup& hangup, std::function<void()> gone) : hangup_(hangup), gone_(std::move(gone)) {
      hangup_.watches_.push_back(this);
      if (hangup_.gone_) gone_();
    }
    ~Watch() { std::erase(hangup_.watches_, this); }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    friend class Hangup;
    Hangup& hangup_;
    std::function<void()> gone_;
  };

  bool gone() const noexcept { return gone_; }
  // What is called must not resume its waiter at once (signals do not).
  void hang_up() {
    if (std::exchange(gone_, true)) return;
    for (Watch* watch : watches_) watch->gone_();
  }

 private:
  std::vector<Watch*> watches_;
  bool gone_ = false;
};

// What a handler gets besides the decoded request and what it works with. Lives on the connection's shard until the
// handler has returned.
struct CallBase {
  std::int16_t api_key = 0;
  std::int32_t correlation_id = 0;
  std::int16_t version = 0;
  const security::RequestContext& context;
  // The request has taken its place in the order of effects: the connection's next request may start. Called at most
  // once; returning implies it.
  std::function<void()> enqueued;
  // Who may wait for long ends the wait when this tells so.
  Hangup& hangup;
};

// By a listener of the broker.
struct Call : CallBase {
  Services& services;
};

// By a listener of the controller, or unpacked from a broker's Envelope. Always on the shard of controller and quorum.
struct ControllerCall : CallBase {
  ControllerServices& services;
  // Set by the handler: the response says that another node is the active controller. In an Envelope that is told
  // outside of the response, so that the broker which forwarded asks the other one.
  bool not_controller = false;
};

// What to send back.
struct Reply {
  enum class Kind {
    respond,  // `body` (response header and message) goes out
    silent,   // nothing is sent (Produce with acks=0)
    close,    // the connection is closed; `reason` goes to the log
  };
  Kind kind = Kind::respond;
  io::Pieces body;
  std::string reason;
  // The shard on which all the work was done that partitions do, if it was one.
  std::optional<std::size_t> worked_on = std::nullopt;

  static Reply respond(io::Pieces body) { return {Kind::respond, std::move(body), {}}; }
  static Reply silent() { return {Kind::silent, {}, {}}; }
  static Reply close(std::string reason) { return {Kind::close, {}, std::move(reason)}; }
};

}  // namespace klamm::handler
