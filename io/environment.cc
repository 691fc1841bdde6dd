#include "io/environment.h"

#include <asio/execution/context.hpp>
#include <asio/query.hpp>

#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "base/check.h"
#include "io/asio_shard.h"

namespace klamm::io {
namespace {

// Asio's way to hang something on an execution context.
class EnvironmentService final : public asio::execution_context::service {
 public:
  static asio::execution_context::id id;

  explicit EnvironmentService(asio::execution_context& context) : service(context) {}

  Shard& find(const asio::any_io_executor& executor) {
    const std::lock_guard lock(mutex_);
    if (installed_ != nullptr) return *installed_;
    for (const auto& [known, shard] : shards_) {
      if (known == executor) return *shard;
    }
    std::random_device device;
    const std::uint64_t seed = (static_cast<std::uint64_t>(device()) << 32) | device();
    if (!threads_) threads_ = std::make_shared<DiskThreads>(0);  // clients use no files
    auto shard = std::make_unique<AsioShard>(executor, static_cast<unsigned>(shards_.size()), seed, threads_);
    shards_.emplace_back(executor, std::move(shard));
    return *shards_.back().second;
  }

  void install(Shard& shard) {
    const std::lock_guard lock(mutex_);
    installed_ = &shard;
  }

 private:
  // Before the services that the shards' timers use are gone.
  void shutdown() override {
    shards_.clear();
    threads_.reset();
  }

  std::mutex mutex_;
  Shard* installed_ = nullptr;
  std::shared_ptr<DiskThreads> threads_;
  std::vector<std::pair<asio::any_io_executor, std::unique_ptr<AsioShard>>> shards_;
};

asio::execution_context::id EnvironmentService::id;

}  // namespace

Shard& environment_of(const asio::any_io_executor& executor) {
  asio::execution_context& context = asio::query(executor, asio::execution::context);
  return asio::use_service<EnvironmentService>(context).find(executor);
}

void install_environment(asio::execution_context& context, Shard& shard) {
  asio::use_service<EnvironmentService>(context).install(shard);
}

}  // namespace klamm::io
