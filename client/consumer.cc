// klamm::Consumer: the consumer behind completion tokens.
#include "klamm/consumer.h"

#include "client/consume/consumer_core.h"
#include "client/core/async_op.h"
#include "client/core/config_settings.h"
#include "io/environment.h"

namespace klamm {

using client::ConsumerCore;

struct Consumer::Impl {
  explicit Impl(std::shared_ptr<ConsumerCore> with) : core(std::move(with)) {}
  std::shared_ptr<ConsumerCore> core;
};

namespace {

void check(Result<void> result) {
  if (!result) throw Exception(std::move(result).error());
}

Result<Consumer> or_throw(Result<Consumer> result) {
  if (!result) throw Exception(std::move(result).error());
  return result;
}

// The core's block as the application's Records.
io::Task<Result<Records>> poll(std::shared_ptr<ConsumerCore> core, Duration timeout,
                               ConsumerCore::CancellationRef cancellation) {
  Result<ConsumerCore::Block> block = co_await core->poll(timeout, std::move(cancellation));
  KLAMM_CO_TRY(block);
  co_return Records(std::move(*block));
}

io::Task<Result<Consumer::Offsets>> list(std::shared_ptr<ConsumerCore> core, std::vector<TopicPartition> partitions,
                                         std::int64_t which) {
  client::OffsetTimes times;
  for (TopicPartition& partition : partitions) times.emplace(std::move(partition), which);
  Result<client::FoundOffsets> found = co_await core->list_offsets(std::move(times));
  KLAMM_CO_TRY(found);
  Consumer::Offsets offsets;
  for (const auto& [partition, one] : *found) offsets[partition] = one.offset;
  co_return offsets;
}

io::Task<Result<Consumer::OffsetsForTimes>> list(std::shared_ptr<ConsumerCore> core,
                                                 std::map<TopicPartition, TimestampMs> times) {
  for (const auto& [partition, time] : times) {
    if (time < 0) co_return fail(Errc::invalid_argument, "negative time for " + partition.text());
  }
  Result<client::FoundOffsets> found = co_await core->list_offsets(std::move(times));
  KLAMM_CO_TRY(found);
  Consumer::OffsetsForTimes offsets;
  for (const auto& [partition, one] : *found) {
    offsets[partition] =
        one.offset < 0 ? std::nullopt : std::optional(OffsetAndTimestamp{one.offset, one.timestamp, one.leader_epoch});
  }
  co_return offsets;
}

}  // namespace

Result<Consumer> Consumer::create(Executor executor, const Config& config, ConsumerHooks hooks) {
  Result<client::ConsumerSettings> settings = client::parse_consumer(config);
  KLAMM_TRY(settings);
  std::shared_ptr<ConsumerCore> core =
      ConsumerCore::start(io::environment_of(executor), std::move(*settings), std::move(hooks));
  return Consumer(std::move(executor), std::make_shared<Impl>(std::move(core)));
}

Consumer::Consumer(Executor executor, const Config& config, ConsumerHooks hooks)
    : Consumer(std::move(*or_throw(create(std::move(executor), config, std::move(hooks))))) {}
Consumer::Consumer(Executor executor, ImplRef impl) : executor_(std::move(executor)), impl_(std::move(impl)) {}
Consumer::Consumer(Consumer&&) noexcept = default;
Consumer& Consumer::operator=(Consumer&& other) noexcept {
  if (this != &other) {
    if (impl_) impl_->core->abandon();
    executor_ = std::move(other.executor_);
    impl_ = std::move(other.impl_);
  }
  return *this;
}
Consumer::~Consumer() {
  if (impl_) impl_->core->abandon();
}

void Consumer::assign(std::vector<TopicPartition> partitions) { check(impl_->core->assign(partitions)); }
std::vector<TopicPartition> Consumer::assignment() const { return impl_->core->assignment(); }
void Consumer::subscribe(const std::vector<std::string>&) {
  throw Exception(Error(Errc::unsupported, "group membership (subscribe) is not served yet: use assign()"));
}
void Consumer::seek(const TopicPartition& partition, std::int64_t offset, std::int32_t leader_epoch) {
  check(impl_->core->seek(partition, offset, leader_epoch));
}
void Consumer::seek_to_beginning(std::span<const TopicPartition> partitions) {
  check(impl_->core->seek_to(partitions, kEarliest));
}
void Consumer::seek_to_end(std::span<const TopicPartition> partitions) {
  check(impl_->core->seek_to(partitions, kLatest));
}
std::optional<std::int64_t> Consumer::position(const TopicPartition& partition) const {
  return impl_->core->position(partition);
}
std::optional<std::int64_t> Consumer::lag(const TopicPartition& partition) const { return impl_->core->lag(partition); }
void Consumer::pause(std::span<const TopicPartition> partitions) { check(impl_->core->pause(partitions, true)); }
void Consumer::resume(std::span<const TopicPartition> partitions) { check(impl_->core->pause(partitions, false)); }
std::vector<TopicPartition> Consumer::paused() const { return impl_->core->paused(); }
ConsumerStatistics Consumer::statistics() const { return impl_->core->statistics(); }

void Consumer::start_poll(const ImplRef& impl, Duration timeout, detail::Completion<Records> done) {
  auto cancellation = done.cancellation();
  client::complete_with(poll(impl->core, timeout, std::move(cancellation)), std::move(done));
}
void Consumer::start_position(const ImplRef& impl, const TopicPartition& partition,
                              detail::Completion<std::int64_t> done) {
  client::complete_or_leave(impl->core->await_position(partition), std::move(done));
}
void Consumer::start_list_offsets(const ImplRef& impl, const std::vector<TopicPartition>& partitions,
                                  std::int64_t which, detail::Completion<Offsets> done) {
  client::complete_or_leave(list(impl->core, partitions, which), std::move(done));
}
void Consumer::start_offsets_for_times(const ImplRef& impl, const std::map<TopicPartition, TimestampMs>& times,
                                       detail::Completion<OffsetsForTimes> done) {
  client::complete_or_leave(list(impl->core, times), std::move(done));
}
void Consumer::start_partitions_for(const ImplRef& impl, const std::string& topic,
                                    detail::Completion<std::vector<PartitionInfo>> done) {
  client::complete_or_leave(impl->core->partitions_for(topic), std::move(done));
}
void Consumer::start_close(const ImplRef& impl, detail::Completion<void> done) {
  client::complete_or_leave(impl->core->close(), std::move(done));
}

}  // namespace klamm
