// klamm::blocking::Consumer: the consumer on its own thread, behind calls that wait.
#include "client/blocking_runtime.h"
#include "client/consume/consumer_core.h"
#include "client/core/config_settings.h"

namespace klamm::blocking {

using client::ConsumerCore;

class Consumer::Impl {
 public:
  Impl(std::shared_ptr<Runtime> runtime, client::ConsumerSettings settings, ConsumerHooks hooks)
      : runtime_(std::move(runtime)), shard_(runtime_->impl().shard()) {
    io::run_and_wait(shard_, begin(std::move(settings), std::move(hooks)));
  }
  ~Impl() { io::run_and_wait(shard_, end()); }

  // Runs `function(core)` on the client's thread and waits for what it returns.
  template <typename Function>
  auto on_shard(Function function) {
    using T = std::invoke_result_t<Function&, ConsumerCore&>;
    if constexpr (std::is_void_v<T>) {
      io::run_and_wait(shard_, [](ConsumerCore& core, Function run) -> io::Task<void> {
        run(core);
        co_return;
      }(*core_, std::move(function)));
    } else {
      return io::run_and_wait(shard_, [](ConsumerCore& core, Function run) -> io::Task<T> {
        co_return run(core);
      }(*core_, std::move(function)));
    }
  }
  // A wake_up() ends the wait with Errc::cancelled; the task goes on by itself then.
  template <typename T>
  Result<T> wait(io::Task<Result<T>> task) {
    return io::run_and_wait(shard_, interruptible(std::move(task)));
  }
  Result<Records> wait_for_poll(Duration timeout) { return io::run_and_wait(shard_, poll(timeout)); }
  Result<void> close() { return io::run_and_wait(shard_, core_->close()); }
  ConsumerCore& core() noexcept { return *core_; }

  void wake_up() {
    // The request lives as long as somebody holds it: the client may be gone when it arrives.
    auto* request = new std::shared_ptr<detail::Cancellation>(cancellation_);
    shard_.post(
        [](void* argument) {
          const std::unique_ptr<std::shared_ptr<detail::Cancellation>> held(
              static_cast<std::shared_ptr<detail::Cancellation>*>(argument));
          (*held)->request();
        },
        request);
  }

 private:
  template <typename T>
  struct Race {
    explicit Race(io::Shard& shard) : over(shard) {}
    io::Signal over;
    std::optional<Result<T>> outcome;
  };
  template <typename T>
  static io::Task<void> run(io::Task<Result<T>> task, std::shared_ptr<Race<T>> race) {
    Result<T> outcome = co_await task;
    race->outcome.emplace(std::move(outcome));
    race->over.notify_all();
  }
  template <typename T>
  io::Task<Result<T>> interruptible(io::Task<Result<T>> task) {
    const auto race = std::make_shared<Race<T>>(shard_);
    tasks_.spawn(run(std::move(task), race));
    cancellation_->wake = [race] { race->over.notify_all(); };
    while (!race->outcome && !cancellation_->requested) co_await race->over.wait();
    cancellation_->wake = nullptr;
    if (race->outcome) co_return std::move(*race->outcome);
    cancellation_->requested = false;
    co_return fail(Errc::cancelled, "woken up");
  }

  io::Task<Result<Records>> poll(Duration timeout) {
    Result<ConsumerCore::Block> block = co_await core_->poll(timeout, cancellation_);
    if (!block && cancellation_->requested) cancellation_->requested = false;
    KLAMM_CO_TRY(block);
    co_return Records(std::move(*block));
  }

  io::Task<void> begin(client::ConsumerSettings settings, ConsumerHooks hooks) {
    core_ = ConsumerCore::start(shard_, std::move(settings), std::move(hooks));
    co_return;
  }
  io::Task<void> end() {
    Result<void> closed = co_await core_->close();
    (void)closed;
    co_await tasks_.close();
    core_.reset();
  }

  std::shared_ptr<Runtime> runtime_;
  io::Shard& shard_;
  std::shared_ptr<ConsumerCore> core_;
  io::Gate tasks_{shard_};  // that nobody may be waiting for any more
  std::shared_ptr<detail::Cancellation> cancellation_ = std::make_shared<detail::Cancellation>();
};

Result<Consumer> Consumer::create(const Config& config, ConsumerHooks hooks, std::shared_ptr<Runtime> runtime) {
  Result<client::ConsumerSettings> settings = client::parse_consumer(config);
  KLAMM_TRY(settings);
  return Consumer(std::make_unique<Impl>(runtime_or_new(std::move(runtime)), std::move(*settings), std::move(hooks)));
}

Consumer::Consumer(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Consumer::Consumer(Consumer&&) noexcept = default;
Consumer& Consumer::operator=(Consumer&&) noexcept = default;
Consumer::~Consumer() = default;

Result<void> Consumer::assign(std::vector<TopicPartition> partitions) {
  return impl_->on_shard([&](ConsumerCore& core) { return core.assign(partitions); });
}
std::vector<TopicPartition> Consumer::assignment() const {
  return impl_->on_shard([](ConsumerCore& core) { return core.assignment(); });
}
Result<void> Consumer::subscribe(const std::vector<std::string>&) {
  return fail(Errc::unsupported, "group membership (subscribe) is not served yet: use assign()");
}
Result<void> Consumer::seek(const TopicPartition& partition, std::int64_t offset, std::int32_t leader_epoch) {
  return impl_->on_shard([&](ConsumerCore& core) { return core.seek(partition, offset, leader_epoch); });
}
Result<void> Consumer::seek_to_beginning(std::span<const TopicPartition> partitions) {
  return impl_->on_shard([&](ConsumerCore& core) { return core.seek_to(partitions, client::kEarliest); });
}
Result<void> Consumer::seek_to_end(std::span<const TopicPartition> partitions) {
  return impl_->on_shard([&](ConsumerCore& core) { return core.seek_to(partitions, client::kLatest); });
}
Result<std::int64_t> Consumer::position(const TopicPartition& partition) {
  return impl_->wait(impl_->core().await_position(partition));
}
std::optional<std::int64_t> Consumer::lag(const TopicPartition& partition) const {
  return impl_->on_shard([&](ConsumerCore& core) { return core.lag(partition); });
}
Result<void> Consumer::pause(std::span<const TopicPartition> partitions) {
  return impl_->on_shard([&](ConsumerCore& core) { return core.pause(partitions, true); });
}
Result<void> Consumer::resume(std::span<const TopicPartition> partitions) {
  return impl_->on_shard([&](ConsumerCore& core) { return core.pause(partitions, false); });
}
Result<Records> Consumer::poll(Duration timeout) { return impl_->wait_for_poll(timeout); }
void Consumer::wake_up() { impl_->wake_up(); }

namespace {
using Offsets = std::map<TopicPartition, std::int64_t>;
Result<Offsets> offsets_of(Result<client::FoundOffsets> found) {
  KLAMM_TRY(found);
  Offsets offsets;
  for (const auto& [partition, one] : *found) offsets[partition] = one.offset;
  return offsets;
}
client::OffsetTimes same_for(const std::vector<TopicPartition>& partitions, std::int64_t which) {
  client::OffsetTimes times;
  for (const TopicPartition& partition : partitions) times.emplace(partition, which);
  return times;
}
}  // namespace

Result<Offsets> Consumer::beginning_offsets(const std::vector<TopicPartition>& partitions) {
  return offsets_of(impl_->wait(impl_->core().list_offsets(same_for(partitions, client::kEarliest))));
}
Result<Offsets> Consumer::end_offsets(const std::vector<TopicPartition>& partitions) {
  return offsets_of(impl_->wait(impl_->core().list_offsets(same_for(partitions, client::kLatest))));
}
Result<std::map<TopicPartition, std::optional<OffsetAndTimestamp>>> Consumer::offsets_for_times(
    const std::map<TopicPartition, TimestampMs>& times) {
  for (const auto& [partition, time] : times) {
    if (time < 0) return fail(Errc::invalid_argument, "negative time for " + partition.text());
  }
  Result<client::FoundOffsets> found = impl_->wait(impl_->core().list_offsets(times));
  KLAMM_TRY(found);
  std::map<TopicPartition, std::optional<OffsetAndTimestamp>> offsets;
  for (const auto& [partition, one] : *found) {
    offsets[partition] =
        one.offset < 0 ? std::nullopt : std::optional(OffsetAndTimestamp{one.offset, one.timestamp, one.leader_epoch});
  }
  return offsets;
}
Result<std::vector<PartitionInfo>> Consumer::partitions_for(const std::string& topic) {
  return impl_->wait(impl_->core().partitions_for(topic));
}
Result<void> Consumer::close() { return impl_->close(); }
ConsumerStatistics Consumer::statistics() const {
  return impl_->on_shard([](ConsumerCore& core) { return core.statistics(); });
}

}  // namespace klamm::blocking
