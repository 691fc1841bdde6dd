// klamm::Consumer: reads records from partitions of a Kafka cluster.
//
//   klamm::Consumer consumer(co_await asio::this_coro::executor, {{"bootstrap.servers", "localhost:9092"}});
//   consumer.assign({{"log", 0}, {"log", 1}});
//   for (;;) {
//     klamm::Records records = co_await consumer.async_poll(100ms);
//     for (const klamm::RecordView& record : records) use(record.partition, record.offset, record.key, record.value);
//   }
//
// Settings are Kafka's consumer configuration (fetch.min.bytes, max.poll.records, auto.offset.reset, isolation.level …)
// with Kafka's defaults. Fetches go on in the background while the application works on what it has: per partition up
// to max.partition.fetch.bytes lie ready, in all about fetch.max.bytes.
//
// A consumer belongs to one executor, as a Producer does (see klamm/producer.h). One poll at a time.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "klamm/async.h"
#include "klamm/config.h"
#include "klamm/error.h"
#include "klamm/hooks.h"
#include "klamm/record.h"
#include "klamm/records.h"
#include "klamm/statistics.h"

namespace klamm {

class Consumer {
 public:
  // Throws klamm::Exception (Errc::invalid_argument) for a bad setting. Does no I/O.
  Consumer(Executor executor, const Config& config, ConsumerHooks hooks = {});
  static Result<Consumer> create(Executor executor, const Config& config, ConsumerHooks hooks = {});
  Consumer(Consumer&&) noexcept;
  Consumer& operator=(Consumer&&) noexcept;
  // Drops everything that is under way; never blocks.
  ~Consumer();

  // Reads exactly these partitions from now on; those that were assigned before keep their position. Positions of new
  // ones come from auto.offset.reset unless seek() sets them.
  void assign(std::vector<TopicPartition> partitions);
  std::vector<TopicPartition> assignment() const;
  // Group membership is not served yet: throws klamm::Exception with Errc::unsupported.
  void subscribe(const std::vector<std::string>& topics);

  // The next poll goes on at this offset. The partition must be assigned (else Errc::invalid_argument is thrown, as by
  // the following functions). `leader_epoch`, if known, is that of the record before it (RecordView::leader_epoch):
  // brokers that do not know of that leader yet are not asked then; a deposed one may have less, and auto.offset.reset
  // would apply.
  void seek(const TopicPartition& partition, std::int64_t offset, std::int32_t leader_epoch = -1);
  // Looked up at the next poll. Empty: all assigned ones.
  void seek_to_beginning(std::span<const TopicPartition> partitions = {});
  void seek_to_end(std::span<const TopicPartition> partitions = {});
  // The offset of the next record that poll will return; nothing if it is not known yet (see async_position).
  std::optional<std::int64_t> position(const TopicPartition& partition) const;
  // Records up to the end as of the last fetch; nothing before the first one.
  std::optional<std::int64_t> lag(const TopicPartition& partition) const;

  // Paused partitions keep their position and what is buffered, but poll does not return it.
  void pause(std::span<const TopicPartition> partitions);
  void resume(std::span<const TopicPartition> partitions);
  std::vector<TopicPartition> paused() const;

  // Up to max.poll.records records, as soon as there are any; none if the timeout passes first. If a partition cannot
  // be read (no offset and auto.offset.reset=none, not authorized, a corrupt batch …) and no other records are there,
  // it fails with an error whose context names the partition; the others are not touched, and polling may go on: the
  // bad partition is reported once and then left out until seek().
  template <typename Token = asio::use_awaitable_t<>>
  auto async_poll(Duration timeout, Token&& token = Token()) {
    return detail::initiate<Records>(
        executor_, std::forward<Token>(token),
        [impl = impl_, timeout](detail::Completion<Records> done) { start_poll(impl, timeout, std::move(done)); });
  }

  // The position, looked up if it is not known yet. All of the following end by default.api.timeout.ms.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_position(TopicPartition partition, Token&& token = Token()) {
    return detail::initiate<std::int64_t>(
        executor_, std::forward<Token>(token),
        [impl = impl_, partition = std::move(partition)](detail::Completion<std::int64_t> done) {
          start_position(impl, partition, std::move(done));
        });
  }

  using Offsets = std::map<TopicPartition, std::int64_t>;
  // The first offset of each partition.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_beginning_offsets(std::vector<TopicPartition> partitions, Token&& token = Token()) {
    return start_offsets<Token>(std::move(partitions), kEarliest, std::forward<Token>(token));
  }
  // The offset after the last record that this consumer could read (the high watermark; with
  // isolation.level=read_committed the last stable offset).
  template <typename Token = asio::use_awaitable_t<>>
  auto async_end_offsets(std::vector<TopicPartition> partitions, Token&& token = Token()) {
    return start_offsets<Token>(std::move(partitions), kLatest, std::forward<Token>(token));
  }
  // For each partition the first record at or after the time; nothing where there is none.
  using OffsetsForTimes = std::map<TopicPartition, std::optional<OffsetAndTimestamp>>;
  template <typename Token = asio::use_awaitable_t<>>
  auto async_offsets_for_times(std::map<TopicPartition, TimestampMs> times, Token&& token = Token()) {
    return detail::initiate<OffsetsForTimes>(
        executor_, std::forward<Token>(token),
        [impl = impl_, times = std::move(times)](detail::Completion<OffsetsForTimes> done) {
          start_offsets_for_times(impl, times, std::move(done));
        });
  }
  template <typename Token = asio::use_awaitable_t<>>
  auto async_partitions_for(std::string topic, Token&& token = Token()) {
    return detail::initiate<std::vector<PartitionInfo>>(
        executor_, std::forward<Token>(token),
        [impl = impl_, topic = std::move(topic)](detail::Completion<std::vector<PartitionInfo>> done) {
          start_partitions_for(impl, topic, std::move(done));
        });
  }

  // Ends fetch sessions and closes the connections.
  template <typename Token = asio::use_awaitable_t<>>
  auto async_close(Token&& token = Token()) {
    return detail::initiate<void>(executor_, std::forward<Token>(token), [impl = impl_](detail::Completion<void> done) {
      start_close(impl, std::move(done));
    });
  }

  ConsumerStatistics statistics() const;
  const Executor& executor() const noexcept { return executor_; }

 private:
  struct Impl;
  using ImplRef = std::shared_ptr<Impl>;
  Consumer(Executor executor, ImplRef impl);
  static constexpr std::int64_t kLatest = -1;
  static constexpr std::int64_t kEarliest = -2;

  template <typename Token>
  auto start_offsets(std::vector<TopicPartition> partitions, std::int64_t which, Token&& token) {
    return detail::initiate<Offsets>(
        executor_, std::forward<Token>(token),
        [impl = impl_, partitions = std::move(partitions), which](detail::Completion<Offsets> done) {
          start_list_offsets(impl, partitions, which, std::move(done));
        });
  }
  static void start_poll(const ImplRef& impl, Duration timeout, detail::Completion<Records> done);
  static void start_position(const ImplRef& impl, const TopicPartition& partition,
                             detail::Completion<std::int64_t> done);
  static void start_list_offsets(const ImplRef& impl, const std::vector<TopicPartition>& partitions, std::int64_t which,
                                 detail::Completion<Offsets> done);
  static void start_offsets_for_times(const ImplRef& impl, const std::map<TopicPartition, TimestampMs>& times,
                                      detail::Completion<OffsetsForTimes> done);
  static void start_partitions_for(const ImplRef& impl, const std::string& topic,
                                   detail::Completion<std::vector<PartitionInfo>> done);
  static void start_close(const ImplRef& impl, detail::Completion<void> done);

  Executor executor_;
  ImplRef impl_;
};

}  // namespace klamm
