// klamm::Producer: sends records to topics of a Kafka cluster.
//
//   klamm::Producer producer(co_await asio::this_coro::executor, {{"bootstrap.servers", "localhost:9092"}});
//   klamm::Delivery delivery = producer.send({.topic = "log", .value = line});
//   while (!delivery) {                       // no room, or the topic's partitions are not known yet
//     co_await producer.async_ready();
//     delivery = producer.send({.topic = "log", .value = line});
//   }
//   co_await producer.async_flush();
//
// Settings are Kafka's producer configuration (batch.size, linger.ms, buffer.memory, acks, enable.idempotence,
// compression.type, delivery.timeout.ms …) with Kafka's defaults: idempotent, acks=all, linger.ms=5.
//
// A producer belongs to one executor, which must run one handler at a time (an io_context with one thread, or a
// strand). send() and the other plain functions may be called there only; async_ functions from anywhere. For programs
// without an event loop see klamm/blocking.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "klamm/async.h"
#include "klamm/config.h"
#include "klamm/detail/delivery.h"
#include "klamm/error.h"
#include "klamm/hooks.h"
#include "klamm/record.h"
#include "klamm/statistics.h"

namespace klamm {

// The fate of one record: a counted pointer to its batch, and an index. Drop it, ask it, or await it. Cheap to copy;
// may outlive the producer; only for use on the producer's executor.
class Delivery {
 public:
  // Not accepted.
  Delivery() = default;
  explicit Delivery(detail::DeliveryRef batch, std::uint32_t index) noexcept
      : batch_(std::move(batch)), index_(index) {}

  // True if send() took the record (or refused it for good: then done() and error() say so).
  explicit operator bool() const noexcept { return static_cast<bool>(batch_); }
  // True once the broker's answer is in, or the producer has given up. All of the following need an accepted record.
  bool done() const noexcept { return batch_->done(); }
  // Why it failed, once done; null if it did not.
  const Error* error() const noexcept;
  // The record's offset once done without error; -1 before, and with acks=0.
  std::int64_t offset() const noexcept;
  // The time of append, if done and the topic has LogAppendTime; -1 else.
  TimestampMs timestamp() const noexcept;
  std::string_view topic() const noexcept { return batch_->topic(); }
  std::int32_t partition() const noexcept { return batch_->partition(); }

  // Completes when done(): with where the record is, or with the error.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_wait(Token&& token = Token()) const {
    KLAMM_CHECK(batch_, "async_wait() of a record that was not accepted");
    return detail::initiate<RecordMetadata>(*static_cast<const Executor*>(batch_->origin().executor.get()),
                                            std::forward<Token>(token),
                                            [batch = batch_, index = index_](detail::Completion<RecordMetadata> done) {
                                              start_wait(batch, index, std::move(done));
                                            });
  }

 private:
  static void start_wait(const detail::DeliveryRef& batch, std::uint32_t index,
                         detail::Completion<RecordMetadata> done);
  detail::DeliveryRef batch_;
  std::uint32_t index_ = 0;
};

class Producer {
 public:
  // Throws klamm::Exception (Errc::invalid_argument) for a setting that cannot be: its text names key, value and range.
  // Does no I/O: the cluster is asked when the first record needs it.
  Producer(Executor executor, const Config& config, ProducerHooks hooks = {});
  // The same without exceptions.
  static Result<Producer> create(Executor executor, const Config& config, ProducerHooks hooks = {});
  Producer(Producer&&) noexcept;
  Producer& operator=(Producer&&) noexcept;
  // Abandons what is not delivered, and says so in its log. Never blocks. Flush or close before.
  ~Producer();

  // Copies the record into the open batch of its partition and returns at once. Returns an empty Delivery when it
  // cannot take the record now: buffer.memory is used up, or the topic's partitions are still being looked up; then
  // async_ready() tells when to try again. A record that can never be sent (larger than max.request.size, a partition
  // that does not exist, a topic unknown for max.block.ms, a closed producer) gives a Delivery that has failed already.
  Delivery send(const Record& record);

  // Completes when a send() that returned an empty Delivery is worth repeating. Fails with Errc::timed_out after
  // max.block.ms.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_ready(Token&& token = Token()) {
    return start<void>(std::forward<Token>(token), &Producer::start_ready);
  }

  // send(), waiting for room and then for the delivery. What the record borrows must live until completion.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_send(Record record, Token&& token = Token()) {
    return detail::initiate<RecordMetadata>(
        executor_, std::forward<Token>(token),
        [impl = impl_, record](detail::Completion<RecordMetadata> done) { start_send(impl, record, std::move(done)); });
  }

  // Sends all open batches without waiting for linger.ms, and completes when every record sent before the call has its
  // outcome. Outcomes are those of the deliveries: a failed delivery does not fail the flush.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_flush(Token&& token = Token()) {
    return start<void>(std::forward<Token>(token), &Producer::start_flush);
  }

  // Refuses further records, flushes for at most `deadline`, then abandons the rest (their deliveries fail with
  // Errc::cancelled, and close with Errc::timed_out) and closes the connections.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_close(Duration deadline, Token&& token = Token()) {
    return detail::initiate<void>(
        executor_, std::forward<Token>(token),
        [impl = impl_, deadline](detail::Completion<void> done) { start_close(impl, deadline, std::move(done)); });
  }

  // The partitions of a topic, with their leaders. Fails with Kafka's code, e.g. UNKNOWN_TOPIC_OR_PARTITION after
  // max.block.ms.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_partitions_for(std::string topic, Token&& token = Token()) {
    return detail::initiate<std::vector<PartitionInfo>>(
        executor_, std::forward<Token>(token),
        [impl = impl_, topic = std::move(topic)](detail::Completion<std::vector<PartitionInfo>> done) {
          start_partitions_for(impl, topic, std::move(done));
        });
  }

  ProducerStatistics statistics() const;
  const Executor& executor() const noexcept { return executor_; }

 private:
  struct Impl;
  using ImplRef = std::shared_ptr<Impl>;
  Producer(Executor executor, ImplRef impl);

  template <typename T, typename Token>
  auto start(Token&& token, void (*function)(const ImplRef&, detail::Completion<T>)) {
    return detail::initiate<T>(
        executor_, std::forward<Token>(token),
        [impl = impl_, function](detail::Completion<T> done) { function(impl, std::move(done)); });
  }
  static void start_ready(const ImplRef& impl, detail::Completion<void> done);
  static void start_send(const ImplRef& impl, const Record& record, detail::Completion<RecordMetadata> done);
  static void start_flush(const ImplRef& impl, detail::Completion<void> done);
  static void start_close(const ImplRef& impl, Duration deadline, detail::Completion<void> done);
  static void start_partitions_for(const ImplRef& impl, const std::string& topic,
                                   detail::Completion<std::vector<PartitionInfo>> done);

  Executor executor_;
  ImplRef impl_;
};

}  // namespace klamm
