// klamm::Broker: one node in this process.
#include <stdexcept>

#include "broker/config/broker_config.h"
#include "broker/server/embedded_node.h"
#include "klamm/broker.h"

namespace klamm {
namespace {

constexpr std::int32_t kNodeId = 1;
constexpr const char* kMemoryDirectory = "/memory";

Result<config::BrokerConfig> configure(const BrokerOptions& options) {
  ConfigMap settings{
      {"node.id", std::to_string(kNodeId)},
      {"process.roles", "broker,controller"},
      {"controller.listener.names", "CONTROLLER"},
      {"listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"},
      {"controller.quorum.voters", std::to_string(kNodeId) + "@127.0.0.1:9093"},
      {"log.dirs", options.directory.empty() ? kMemoryDirectory : options.directory},
      {"offsets.topic.replication.factor", "1"},
      {"transaction.state.log.replication.factor", "1"},
      {"transaction.state.log.min.isr", "1"},
  };
  for (const auto& [key, value] : options.settings) settings.insert_or_assign(key, value);
  return config::BrokerConfig::parse(std::move(settings));
}

}  // namespace

class Broker::Impl {
 public:
  Impl(const BrokerOptions& options, config::BrokerConfig config)
      : node_(std::move(config), {options.shards, options.directory.empty(), {}, options.log}) {}
  ~Impl() { stop(); }

  Result<void> start() {
    Result<void> started = node_.machine().run(0, start_node());
    if (!started) return started;
    for (const server::BoundListener& listener : node_.node().listeners()) {
      if (!bootstrap_.empty()) bootstrap_ += ",";
      bootstrap_ += listener.endpoint.text();
    }
    return {};
  }
  void stop() {
    if (node_.running()) node_.machine().run(0, node_.stop());
  }
  const std::string& bootstrap_servers() const { return bootstrap_; }

 private:
  io::Task<Result<void>> start_node() {
    Result<void> formatted = co_await node_.format_if_new({});
    KLAMM_CO_TRY(formatted);
    Result<void> started = co_await node_.start();
    co_return started;
  }

  server::EmbeddedNode node_;
  std::string bootstrap_;
};

Result<Broker> Broker::start(BrokerOptions options) {
  Result<config::BrokerConfig> config = configure(options);
  KLAMM_TRY(config);
  auto impl = std::make_unique<Impl>(options, std::move(*config));
  Result<void> started = impl->start();
  KLAMM_TRY(started);
  return Broker(std::move(impl));
}

Broker Broker::in_memory() {
  Result<Broker> broker = start();
  if (!broker) throw std::runtime_error("klamm::Broker::in_memory: " + broker.error().message());
  return std::move(*broker);
}

Broker::Broker(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Broker::Broker(Broker&&) noexcept = default;
Broker& Broker::operator=(Broker&&) noexcept = default;
Broker::~Broker() = default;
const std::string& Broker::bootstrap_servers() const noexcept { return impl_->bootstrap_servers(); }
void Broker::stop() { impl_->stop(); }

}  // namespace klamm
