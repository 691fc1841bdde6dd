// klamm::blocking::Admin: the admin client on its own thread, behind calls that wait.
#include "client/admin/admin_core.h"
#include "client/blocking_runtime.h"
#include "client/core/config_settings.h"

namespace klamm::blocking {

class Admin::Impl {
 public:
  Impl(std::shared_ptr<Runtime> runtime, client::AdminSettings settings, AdminHooks hooks)
      : runtime_(std::move(runtime)), shard_(runtime_->impl().shard()) {
    io::run_and_wait(shard_, begin(std::move(settings), std::move(hooks)));
  }
  ~Impl() { io::run_and_wait(shard_, end()); }
  io::Shard& shard() noexcept { return shard_; }
  client::AdminCore& core() noexcept { return *core_; }

 private:
  io::Task<void> begin(client::AdminSettings settings, AdminHooks hooks) {
    core_ = client::AdminCore::start(shard_, std::move(settings), std::move(hooks));
    co_return;
  }
  io::Task<void> end() {
    core_->stop();
    co_await core_->wait_finished();
    core_.reset();
  }
  std::shared_ptr<Runtime> runtime_;
  io::Shard& shard_;
  std::shared_ptr<client::AdminCore> core_;
};

Result<Admin> Admin::create(const Config& config, AdminHooks hooks, std::shared_ptr<Runtime> runtime) {
  Result<client::AdminSettings> settings = client::parse_admin(config);
  KLAMM_TRY(settings);
  return Admin(std::make_unique<Impl>(runtime_or_new(std::move(runtime)), std::move(*settings), std::move(hooks)));
}

Admin::Admin(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Admin::Admin(Admin&&) noexcept = default;
Admin& Admin::operator=(Admin&&) noexcept = default;
Admin::~Admin() = default;

template <typename Operation>
Result<typename Operation::Outcome> Admin::run(Operation operation) {
  return io::run_and_wait(impl_->shard(), impl_->core().run(std::move(operation)));
}

#define KLAMM_ADMIN_OPERATION(Operation) template Result<Operation::Outcome> Admin::run<Operation>(Operation);
#include "client/admin_operations.inc"
#undef KLAMM_ADMIN_OPERATION

}  // namespace klamm::blocking
