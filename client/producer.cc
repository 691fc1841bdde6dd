// klamm::Producer: the producer behind completion tokens.
#include "klamm/producer.h"

#include "client/core/async_op.h"
#include "client/core/config_settings.h"
#include "client/produce/producer_core.h"
#include "io/environment.h"

namespace klamm {

struct Producer::Impl {
  explicit Impl(std::shared_ptr<client::ProducerCore> with) : core(std::move(with)) {}
  std::shared_ptr<client::ProducerCore> core;
};

// ---- Delivery ----

const Error* Delivery::error() const noexcept { return batch_->error(index_); }
std::int64_t Delivery::offset() const noexcept { return batch_->offset(index_); }
TimestampMs Delivery::timestamp() const noexcept { return batch_->timestamp(index_); }

void Delivery::start_wait(const detail::DeliveryRef& batch, std::uint32_t index,
                          detail::Completion<RecordMetadata> done) {
  // Whoever comes first, the outcome or a cancellation, ends the wait.
  struct Wait {
    detail::Completion<RecordMetadata> done;
    bool over = false;
  };
  auto wait = std::make_shared<Wait>(Wait{std::move(done)});
  wait->done.cancellation()->wake = [wait] {
    if (std::exchange(wait->over, true)) return;
    wait->done(fail(Errc::cancelled, "wait for a delivery"));
  };
  batch->on_done([wait, batch = batch.operator->(), index] {
    if (std::exchange(wait->over, true)) return;
    wait->done.cancellation()->wake = nullptr;
    if (const Error* error = batch->error(index)) return wait->done(fail(*error));
    RecordMetadata metadata;
    metadata.topic = batch->topic();
    metadata.partition = batch->partition();
    metadata.offset = batch->offset(index);
    metadata.timestamp = batch->timestamp(index);
    wait->done(std::move(metadata));
  });
}

// ---- Producer ----

Result<Producer> Producer::create(Executor executor, const Config& config, ProducerHooks hooks) {
  Result<client::ProducerSettings> settings = client::parse_producer(config);
  KLAMM_TRY(settings);
  std::shared_ptr<client::ProducerCore> core = client::ProducerCore::start(
      io::environment_of(executor), std::move(*settings), std::move(hooks), std::make_shared<const Executor>(executor));
  return Producer(std::move(executor), std::make_shared<Impl>(std::move(core)));
}

namespace {
template <typename T>
T value_or_throw(Result<T> result) {
  if (!result) throw Exception(std::move(result).error());
  return std::move(*result);
}
}  // namespace

Producer::Producer(Executor executor, const Config& config, ProducerHooks hooks)
    : Producer(value_or_throw(create(std::move(executor), config, std::move(hooks)))) {}

Producer::Producer(Executor executor, ImplRef impl) : executor_(std::move(executor)), impl_(std::move(impl)) {}
Producer::Producer(Producer&&) noexcept = default;

Producer& Producer::operator=(Producer&& other) noexcept {
  if (this != &other) {
    if (impl_) impl_->core->abandon();
    executor_ = std::move(other.executor_);
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Producer::~Producer() {
  if (impl_) impl_->core->abandon();
}

Delivery Producer::send(const Record& record) {
  const client::ProducerCore::Placed placed = impl_->core->place(record);
  return Delivery(detail::DeliveryRef(placed.batch), placed.index);
}

void Producer::start_ready(const ImplRef& impl, detail::Completion<void> done) {
  auto cancellation = done.cancellation();
  client::complete_with(impl->core->ready(std::move(cancellation)), std::move(done));
}

void Producer::start_send(const ImplRef& impl, const Record& record, detail::Completion<RecordMetadata> done) {
  auto cancellation = done.cancellation();
  client::complete_with(impl->core->send_and_wait(record, std::move(cancellation)), std::move(done));
}

void Producer::start_flush(const ImplRef& impl, detail::Completion<void> done) {
  auto cancellation = done.cancellation();
  client::complete_with(impl->core->flush(std::move(cancellation)), std::move(done));
}

void Producer::start_close(const ImplRef& impl, Duration deadline, detail::Completion<void> done) {
  client::complete_or_leave(impl->core->close(deadline), std::move(done));
}

void Producer::start_partitions_for(const ImplRef& impl, const std::string& topic,
                                    detail::Completion<std::vector<PartitionInfo>> done) {
  client::complete_or_leave(impl->core->partitions_for(topic), std::move(done));
}

ProducerStatistics Producer::statistics() const { return impl_->core->statistics(); }

}  // namespace klamm
