// The broker's life as its controller sees it: registration, heartbeats, controlled shutdown (KIP-631). Whether the
// controller is in this process or elsewhere makes no difference here.
//
//   starting --registered--> recovering --serve()--> running --leave()--> stopping --ShouldShutDown--> stopped
//
// While it starts and recovers (loads its logs) the broker wants to stay fenced, so that it leads nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/controller/controller_channel.h"
#include "broker/metadata/publisher.h"
#include "broker/storage/log_dirs.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::server {

struct LifecycleOptions {
  std::string cluster_id;
  Uuid incarnation_id;                      // of this process
  std::vector<config::Endpoint> listeners;  // as others reach them
  // The broker must not go on: an offline directory could not be reported for log.dir.failure.timeout.ms.
  std::function<void(const Error&)> on_fatal;
  // This node's part of the metadata quorum has failed: no controller will answer any more.
  std::function<bool()> is_hopeless;
};

// Lives on the shard of controller and quorum.
class Lifecycle {
 public:
  // `controller`: for the Lifecycle alone, which closes it.
  Lifecycle(io::Shard& shard, const config::BrokerConfig& config, LifecycleOptions options,
            controller::ControllerChannel& controller, metadata::Publisher& publisher, storage::LogDirs& directories,
            Logger logger);

  // Registers, within initial.broker.registration.timeout.ms, and begins to send heartbeats. The image must have
  // caught up with the metadata log before. Another incarnation of this broker that may still be running is waited for.
  io::Task<Result<void>> join();
  // The logs are loaded: asks to be unfenced, and waits for it.
  io::Task<Result<void>> serve();
  // Controlled shutdown: leadership moves away (or ends), then heartbeats stop. Given up when the controller cannot be
  // reached for as long as it would take to fence this broker. Nothing if join() never got an epoch.
  io::Task<void> leave();
  // Lets join() and serve() fail soon with Errc::cancelled.
  void interrupt();
  // Something that heartbeats tell has changed (a directory failed, or was cordoned): one goes out at once.
  void beat_soon();

  // -1 before registration. Another one after the broker had to register again.
  std::int64_t broker_epoch() const noexcept { return broker_epoch_; }

 private:
  enum class Wish { fenced, unfenced, shut_down };
  // What the controller said last.
  struct Standing {
    bool fenced = true;
    bool should_shut_down = false;
  };

  protocol::BrokerRegistrationRequest registration() const;
  protocol::BrokerHeartbeatRequest heartbeat() const;
  std::optional<std::vector<Uuid>> cordoned() const;
  Result<void> may_start() const;
  io::Task<Result<void>> register_broker(Instant deadline);
  io::Task<void> keep_beating();
  io::Task<bool> beat();
  io::Task<void> register_again();
  void watch_directories(const protocol::BrokerHeartbeatRequest& told);
  Duration pause_after(bool answered);
  // What every shard works by, from this one.
  const metadata::ImageRef& image() const { return publisher_.image(shard_); }

  io::Shard& shard_;
  const config::BrokerConfig& config_;
  LifecycleOptions options_;
  controller::ControllerChannel& controller_;
  metadata::Publisher& publisher_;
  storage::LogDirs& directories_;
  Logger logger_;
  Duration heartbeat_interval_;
  Duration session_timeout_;
  std::int64_t broker_epoch_ = -1;
  Wish wish_ = Wish::fenced;
  std::optional<Standing> standing_;
  std::vector<Uuid> offline_told_;        // directories that the controller knows to be offline
  std::optional<Instant> offline_since_;  // there is one that it does not know of
  std::optional<Instant> last_answer_;
  rpc::Backoff retry_;       // after heartbeats without an answer
  rpc::Backoff impatience_;  // between heartbeats while their answer is not yet what was wished for
  bool beat_now_ = false;
  bool stopping_ = false;
  bool interrupted_ = false;
  io::Signal changed_;  // wish, standing, or an end
  io::Gate running_;
};

}  // namespace klamm::server
