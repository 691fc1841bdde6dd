// klamm::Admin: the admin client behind completion tokens.
#include "klamm/admin.h"

#include "client/admin/admin_core.h"
#include "client/core/async_op.h"
#include "client/core/config_settings.h"
#include "io/environment.h"

namespace klamm {

struct Admin::Impl {
  explicit Impl(std::shared_ptr<client::AdminCore> with) : core(std::move(with)) {}
  std::shared_ptr<client::AdminCore> core;
};

namespace {
Result<Admin> or_throw(Result<Admin> result) {
  if (!result) throw Exception(std::move(result).error());
  return result;
}
}  // namespace

Result<Admin> Admin::create(Executor executor, const Config& config, AdminHooks hooks) {
  Result<client::AdminSettings> settings = client::parse_admin(config);
  KLAMM_TRY(settings);
  std::shared_ptr<client::AdminCore> core =
      client::AdminCore::start(io::environment_of(executor), std::move(*settings), std::move(hooks));
  return Admin(std::move(executor), std::make_shared<Impl>(std::move(core)));
}

Admin::Admin(Executor executor, const Config& config, AdminHooks hooks)
    : Admin(std::move(*or_throw(create(std::move(executor), config, std::move(hooks))))) {}
Admin::Admin(Executor executor, ImplRef impl) : executor_(std::move(executor)), impl_(std::move(impl)) {}
Admin::Admin(Admin&&) noexcept = default;
Admin& Admin::operator=(Admin&& other) noexcept {
  if (this != &other) {
    close();
    executor_ = std::move(other.executor_);
    impl_ = std::move(other.impl_);
  }
  return *this;
}
Admin::~Admin() { close(); }

void Admin::close() {
  if (impl_) impl_->core->stop();
}

template <typename Operation>
void Admin::start(const ImplRef& impl, Operation operation, detail::Completion<typename Operation::Outcome> done) {
  client::complete_or_leave(impl->core->run(std::move(operation)), std::move(done));
}

#define KLAMM_ADMIN_OPERATION(Operation) \
  template void Admin::start<Operation>(const ImplRef&, Operation, detail::Completion<Operation::Outcome>);
#include "client/admin_operations.inc"
#undef KLAMM_ADMIN_OPERATION

}  // namespace klamm
