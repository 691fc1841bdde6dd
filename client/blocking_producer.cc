// klamm::blocking::Producer: records go to the client's thread in chunks, calls wait for their outcome.
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "client/blocking_runtime.h"
#include "client/core/config_settings.h"
#include "client/produce/producer_core.h"
#include "protocol/record/batch_builder.h"

namespace klamm::blocking {

Runtime::Runtime() : impl_(std::make_unique<Impl>()) {}
Runtime::Runtime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Runtime::~Runtime() = default;

namespace {

// A record on its way to the client's thread: this, then the topic (if it is another than before), key, value, and for
// each header two sizes and the bytes.
struct RecordHead {
  std::uint32_t message_bytes;
  std::uint32_t topic_bytes;
  std::int32_t partition;
  std::uint32_t header_count;
  TimestampMs timestamp;
  std::int64_t key_bytes;    // -1: null
  std::int64_t value_bytes;  // -1: null
  Producer::Callback* callback;
};

std::int64_t signed_size(const NullableBytes& bytes) {
  return bytes.is_null() ? -1 : static_cast<std::int64_t>(bytes.size());
}

std::byte* put(std::byte* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return to + bytes;
}

NullableBytes take(const std::byte*& at, std::int64_t size) {
  if (size < 0) return {};
  const Bytes bytes(at, static_cast<std::size_t>(size));
  at += size;
  return bytes;
}

constexpr std::size_t kHandoffBytes = 4 << 20;

// Lets other work of the shard go first.
struct Yield {
  io::Shard& shard;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) { shard.resume_soon(handle); }
  void await_resume() const noexcept {}
};

}  // namespace

class Producer::Impl {
 public:
  Impl(std::shared_ptr<Runtime> runtime, client::ProducerSettings settings, ProducerHooks hooks)
      : runtime_(std::move(runtime)),
        shard_(runtime_->impl().shard()),
        max_request_bytes_(static_cast<std::size_t>(settings.max_request_size)),
        max_block_(milliseconds(settings.max_block_ms)),
        patience_(settings.linger_ms > 0 ? std::min(milliseconds(settings.linger_ms), Duration(1ms)) : Duration(0)),
        handoff_(shard_, std::min<std::size_t>(kHandoffBytes, static_cast<std::size_t>(settings.buffer_memory))) {
    hooks.on_batch = [this, users = std::move(hooks.on_batch)](const BatchReport& report) {
      if (report.error != nullptr) {
        if (forgiven_ > 0) {
          --forgiven_;
        } else if (failed_++ == 0) {
          first_error_ = *report.error;
        }
      }
      if (users) users(report);
    };
    io::run_and_wait(shard_, begin(std::move(settings), std::move(hooks)));
  }
  ~Impl() { io::run_and_wait(shard_, end()); }

  Result<void> send(const Record& record, Callback* callback) {
    if (closed_) return fail(Errc::shutting_down, "the producer is closed");
    const bool new_topic = record.topic != topic_;
    std::size_t bytes =
        sizeof(RecordHead) + (new_topic ? record.topic.size() : 0) + record.key.size() + record.value.size();
    for (const Header& header : record.headers)
      bytes += 2 * sizeof(std::int64_t) + header.key.size() + header.value.size();
    if (bytes > max_request_bytes_) [[unlikely]] {
      Result<void> sound = check_size(record);
      KLAMM_TRY(sound);
    }
    std::byte* const to = handoff_.reserve(bytes, max_block_);
    if (to == nullptr) {
      const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(max_block_).count();
      return fail(Error(Errc::buffer_full,
                        "no room in buffer.memory within " + std::to_string(ms) + " ms (max.block.ms)", true));
    }
    if (new_topic) topic_ = record.topic;
    const RecordHead head{static_cast<std::uint32_t>(bytes),
                          new_topic ? static_cast<std::uint32_t>(record.topic.size()) : 0,
                          record.partition,
                          static_cast<std::uint32_t>(record.headers.size()),
                          record.timestamp,
                          signed_size(record.key),
                          signed_size(record.value),
                          callback};
    std::byte* at = put(to, &head, sizeof head);
    if (new_topic) at = put(at, record.topic.data(), record.topic.size());
    at = put(at, record.key.data(), record.key.size());
    at = put(at, record.value.data(), record.value.size());
    for (const Header& header : record.headers) {
      const std::int64_t sizes[] = {static_cast<std::int64_t>(header.key.size()), signed_size(header.value)};
      at = put(at, sizes, sizeof sizes);
      at = put(at, header.key.data(), header.key.size());
      at = put(at, header.value.data(), header.value.size());
    }
    handoff_.commit(bytes);
    return {};
  }

  io::Task<Result<RecordMetadata>> send_and_wait(Record record) {
    Result<void> fed = co_await wait_fed(shard_.now() + max_block_);
    KLAMM_CO_TRY(fed);
    Result<RecordMetadata> metadata = co_await core_->send_and_wait(record);
    if (!metadata) forgive();  // told here, not again by flush()
    co_return metadata;
  }

  io::Task<Result<void>> flush() {
    Result<void> fed = co_await wait_fed(Instant::never());
    KLAMM_CO_TRY(fed);
    Result<void> flushed = co_await core_->flush();
    KLAMM_CO_TRY(flushed);
    co_return take_failures();
  }

  io::Task<Result<void>> close(Duration patience) {
    const Instant deadline = shard_.now() + patience;
    Result<void> fed = co_await wait_fed(deadline);
    handoff_.close();
    const Instant now = shard_.now();
    Result<void> closed = co_await core_->close(fed && now < deadline ? deadline - now : Duration(0));
    KLAMM_CO_TRY(closed);
    KLAMM_CO_TRY(fed);
    co_return take_failures();
  }

  io::Shard& shard() noexcept { return shard_; }
  client::ProducerCore& core() noexcept { return *core_; }
  bool set_closed() noexcept { return std::exchange(closed_, true); }

 private:
  struct RecordCallback {
    std::uint32_t index;  // of the record in its batch
    std::unique_ptr<Callback> callback;
  };
  // Those who wait for a batch.
  struct Waiting {
    detail::DeliveryRef batch;
    std::vector<RecordCallback> callbacks;
  };

  // One failed batch was told to a waiter; its report may have come or is still to come.
  void forgive() {
    if (failed_ == 0) {
      ++forgiven_;
    } else if (--failed_ == 0) {
      first_error_.reset();
    }
  }

  Result<void> check_size(const Record& record) const {
    const client::RecordHeaders headers(record.headers);
    const std::size_t bound =
        record::batch_size_upper_bound(client::to_record(record.key), client::to_record(record.value), headers.view());
    if (bound <= max_request_bytes_) return {};
    return fail(protocol::kafka_error(ErrorCode::message_too_large, "record of up to " + std::to_string(bound) +
                                                                        " bytes, max.request.size is " +
                                                                        std::to_string(max_request_bytes_)));
  }

  io::Task<void> begin(client::ProducerSettings settings, ProducerHooks hooks) {
    core_ = client::ProducerCore::start(shard_, std::move(settings), std::move(hooks));
    io::spawn_detached(feed());
    co_return;
  }

  io::Task<void> end() {
    handoff_.close();
    core_->abandon();
    while (feeding_) co_await fed_.wait();
    co_await core_->wait_finished();
  }

  // All that was written before the call has been taken by the producer.
  io::Task<Result<void>> wait_fed(Instant deadline) {
    const std::uint64_t end = handoff_.written_bytes();
    while (handoff_.read_bytes() < end) {
      if (handoff_.closed()) co_return fail(Errc::shutting_down, "the producer is closed");
      const bool in_time = co_await handoff_.emptied().wait_until(deadline);
      if (!in_time)
        co_return fail(Error(Errc::timed_out, "records that were sent before are not accepted in time", true));
    }
    co_return Result<void>();
  }

  Result<void> take_failures() {
    const std::uint64_t failed = std::exchange(failed_, 0);
    if (failed == 0) return {};
    return fail(std::move(*std::exchange(first_error_, std::nullopt))
                    .in(std::to_string(failed) + " batches failed, the first"));
  }

  // The shard's side of the handoff.
  io::Task<void> feed() {
    Yield yield{shard_};
    while (!handoff_.closed()) {
      const Bytes messages = handoff_.peek();
      if (messages.empty()) {
        co_await handoff_.wait(patience_);
        continue;
      }
      std::size_t done = 0;
      while (done < messages.size() && !handoff_.closed()) {
        const std::size_t used = feed_one(messages.data() + done);
        if (used == 0) {
          handoff_.consume(std::exchange(done, 0));
          co_await core_->ready();
          break;
        }
        done += used;
      }
      handoff_.consume(done);
      co_await yield;
    }
    drop_rest();
    feeding_ = false;
    fed_.notify_all();
  }

  // The bytes of the message; 0 if the producer cannot take the record now.
  std::size_t feed_one(const std::byte* message) {
    RecordHead head;
    std::memcpy(&head, message, sizeof head);
    const std::byte* at = message + sizeof head;
    if (head.topic_bytes > 0) {
      fed_topic_.assign(reinterpret_cast<const char*>(at), head.topic_bytes);
      at += head.topic_bytes;
    }
    Record record;
    record.topic = fed_topic_;
    record.partition = head.partition;
    record.timestamp = head.timestamp;
    record.key = take(at, head.key_bytes);
    record.value = take(at, head.value_bytes);
    headers_.clear();
    for (std::uint32_t left = head.header_count; left > 0; --left) {
      std::int64_t sizes[2];
      std::memcpy(sizes, at, sizeof sizes);
      at += sizeof sizes;
      const std::string_view key = take(at, sizes[0]).text();
      headers_.push_back({key, take(at, sizes[1])});
    }
    record.headers = headers_;
    client::ProducerCore::Accepted accepted = core_->send(record);
    if (!accepted.batch) return 0;
    if (head.callback != nullptr) call_back(std::move(accepted), std::unique_ptr<Callback>(head.callback));
    return (head.message_bytes + 7) & ~std::size_t{7};
  }

  // The callbacks of a batch are called in a row, in the order of its records.
  void call_back(client::ProducerCore::Accepted accepted, std::unique_ptr<Callback> callback) {
    detail::DeliveryBatch* const batch = accepted.batch.operator->();
    if (batch->done()) return tell(*batch, {accepted.index, std::move(callback)});
    if (last_waiting_ == nullptr || last_waiting_->batch.operator->() != batch) {
      Waiting& waiting = waiting_[batch];
      last_waiting_ = &waiting;
      if (!waiting.batch) {
        waiting.batch = std::move(accepted.batch);
        batch->on_done([this, batch] { tell_all(batch); });
      }
    }
    last_waiting_->callbacks.push_back({accepted.index, std::move(callback)});
  }

  void tell_all(detail::DeliveryBatch* batch) {
    const Waiting waiting = std::move(waiting_.extract(batch).mapped());
    last_waiting_ = nullptr;
    for (const RecordCallback& one : waiting.callbacks) tell(*batch, one);
  }

  static void tell(const detail::DeliveryBatch& batch, const RecordCallback& one) {
    if (const Error* error = batch.error(one.index)) return (*one.callback)(fail(*error));
    (*one.callback)(
        RecordMetadata{batch.topic(), batch.partition(), batch.offset(one.index), batch.timestamp(one.index)});
  }

  // Records that nobody took when the producer was closed: their callbacks are told.
  void drop_rest() {
    for (Bytes messages = handoff_.peek(); !messages.empty(); messages = handoff_.peek()) {
      std::size_t done = 0;
      while (done < messages.size()) {
        RecordHead head;
        std::memcpy(&head, messages.data() + done, sizeof head);
        const std::unique_ptr<Callback> callback(head.callback);
        if (callback) (*callback)(fail(Errc::cancelled, "the producer was closed before it took the record"));
        done += (head.message_bytes + 7) & ~std::size_t{7};
      }
      handoff_.consume(done);
    }
  }

  std::shared_ptr<Runtime> runtime_;
  io::Shard& shard_;
  const std::size_t max_request_bytes_;
  const Duration max_block_;
  const Duration patience_;
  // The calling thread's.
  std::string topic_;
  bool closed_ = false;
  io::Handoff handoff_;
  // The shard's.
  std::shared_ptr<client::ProducerCore> core_;
  std::string fed_topic_;
  std::vector<Header> headers_;
  std::unordered_map<detail::DeliveryBatch*, Waiting> waiting_;
  Waiting* last_waiting_ = nullptr;  // of the record before
  std::uint64_t failed_ = 0;
  std::uint64_t forgiven_ = 0;
  std::optional<Error> first_error_;
  bool feeding_ = true;
  io::Signal fed_{shard_};
};

Result<Producer> Producer::create(const Config& config, ProducerHooks hooks, std::shared_ptr<Runtime> runtime) {
  Result<client::ProducerSettings> settings = client::parse_producer(config);
  KLAMM_TRY(settings);
  return Producer(std::make_unique<Impl>(runtime_or_new(std::move(runtime)), std::move(*settings), std::move(hooks)));
}

Producer::Producer(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Producer::Producer(Producer&&) noexcept = default;
Producer& Producer::operator=(Producer&&) noexcept = default;
Producer::~Producer() = default;

Result<void> Producer::send(const Record& record) { return impl_->send(record, nullptr); }

Result<void> Producer::send(const Record& record, Callback callback) {
  auto owned = std::make_unique<Callback>(std::move(callback));
  Result<void> sent = impl_->send(record, owned.get());
  if (sent) (void)owned.release();
  return sent;
}

Result<RecordMetadata> Producer::send_and_wait(const Record& record) {
  return io::run_and_wait(impl_->shard(), impl_->send_and_wait(record));
}

Result<void> Producer::flush() { return io::run_and_wait(impl_->shard(), impl_->flush()); }

Result<void> Producer::close(Duration deadline) {
  if (impl_->set_closed()) return {};
  return io::run_and_wait(impl_->shard(), impl_->close(deadline));
}

Result<std::vector<PartitionInfo>> Producer::partitions_for(const std::string& topic) {
  return io::run_and_wait(impl_->shard(), impl_->core().partitions_for(topic));
}

ProducerStatistics Producer::statistics() const {
  return io::run_and_wait(impl_->shard(), [](client::ProducerCore& core) -> io::Task<ProducerStatistics> {
    co_return core.statistics();
  }(impl_->core()));
}

}  // namespace klamm::blocking
