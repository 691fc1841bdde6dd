#include "clients.h"

#include <fmt/format.h>

#include "protocol/error.h"

namespace klamm::simtest {

namespace {

constexpr Duration kPollTime = 500ms;
constexpr Duration kAfterFailure = 1s;  // before something is tried again
constexpr Duration kCloseTime = 60s;

template <typename Settings>
Settings valid(Result<Settings> settings) {
  KLAMM_CHECK(settings, settings ? std::string() : settings.error().message());
  return std::move(*settings);
}

}  // namespace

// ---- Writer ----

Writer::Writer(io::Shard& shard, WriterOptions options, Ledger& ledger)
    : shard_(shard), options_(std::move(options)), ledger_(ledger), random_(options_.seed) {
  ProducerHooks hooks;
  hooks.log_sink = options_.log_sink;
  hooks.log_level = LogLevel::debug;
  producer_ = client::ProducerCore::start(shard_, valid(client::parse_producer(options_.config)), std::move(hooks));
}

io::Task<void> Writer::send_records() {
  co_await send_some(options_.records, false);
  sent_ = true;
}

io::Task<void> Writer::finish() {
  co_await send_some(options_.last_records, true);
  Result<void> flushed = co_await producer_->flush();
  if (!flushed)
    complaints_.push_back(fmt::format("producer {}: flush: {}", options_.number, flushed.error().message()));
  Result<void> closed = co_await producer_->close(kCloseTime);
  if (!closed) complaints_.push_back(fmt::format("producer {}: close: {}", options_.number, closed.error().message()));
  co_await producer_->wait_finished();
  producer_.reset();
  finished_ = true;
}

io::Task<void> Writer::send_some(std::uint32_t count, bool must_succeed) {
  const std::uint32_t end = next_ + count;
  while (next_ < end) {
    for (std::uint64_t burst = 1 + random_.below(options_.largest_burst); burst > 0 && next_ < end;) {
      if (send_one(must_succeed)) {
        --burst;
      } else {
        Result<void> room = co_await producer_->ready();
        if (!room) co_await shard_.sleep(kAfterFailure);
      }
    }
    co_await shard_.sleep(options_.pause.draw(random_));
  }
}

// False if the producer does not take it now.
bool Writer::send_one(bool must_succeed) {
  const RecordId id{options_.number, next_};
  if (!drawn_) {
    drawn_ = options_.partitions[random_.below(options_.partitions.size())];
    drawn_size_ = random_.below(options_.largest_value + 1);
    if (random_.chance(0.2)) drawn_->partition = kAnyPartition;
  }
  const std::string value = make_value(id, drawn_size_);
  const std::string key = std::to_string(drawn_size_ % 16);
  Record record;
  record.topic = drawn_->topic;
  record.partition = drawn_->partition;
  record.value = value;
  if (drawn_size_ % 2 == 0) record.key = key;
  const client::ProducerCore::Accepted accepted = producer_->send(record);
  if (!accepted.batch) return false;
  ++next_;
  ledger_.sent(id, {drawn_->topic, accepted.batch->partition()});
  drawn_.reset();
  watch(accepted, id, must_succeed);
  return true;
}

void Writer::watch(const client::ProducerCore::Accepted& accepted, RecordId id, bool must_succeed) {
  accepted.batch->on_done([this, id, must_succeed, batch = accepted.batch.operator->(), index = accepted.index] {
    const Error* error = batch->error(index);
    if (error == nullptr) return ledger_.acknowledged(id, batch->offset(index));
    ledger_.failed(id);
    if (must_succeed) {
      complaints_.push_back(fmt::format("record {}, sent after the faults, failed: {}", id.text(), error->message()));
    }
  });
}

// ---- Reader ----

Reader::Reader(io::Shard& shard, Config config, LogSink log_sink, std::vector<TopicPartition> partitions)
    : shard_(shard), partitions_(std::move(partitions)) {
  config.set("auto.offset.reset", "earliest");
  ConsumerHooks hooks;
  hooks.log_sink = std::move(log_sink);
  hooks.log_level = LogLevel::debug;
  consumer_ = client::ConsumerCore::start(shard_, valid(client::parse_consumer(config)), std::move(hooks));
}

io::Task<void> Reader::follow() {
  Result<void> assigned = consumer_->assign(partitions_);
  KLAMM_CHECK(assigned, assigned ? std::string() : assigned.error().message());
  bool going = true;
  while (going && !stopping_) going = co_await poll_once();
  co_await close();
}

io::Task<void> Reader::read_all() {
  Result<void> found = co_await find_ends();
  if (!found) {
    complaints_.push_back("a reader found no ends: " + found.error().message());
  } else {
    Result<void> assigned = consumer_->assign(partitions_);
    KLAMM_CHECK(assigned, assigned ? std::string() : assigned.error().message());
    bool going = true;
    while (going && !at_end()) going = co_await poll_once();
  }
  co_await close();
}

// False if there is no sense in going on.
io::Task<bool> Reader::poll_once() {
  Result<client::ConsumerCore::Block> polled = co_await consumer_->poll(kPollTime);
  if (!polled) {
    complaints_.push_back("a reader failed: " + polled.error().message());
    co_return false;
  }
  for (const RecordView& record : (*polled)->records) {
    readings_[{std::string(record.topic), record.partition}].push_back(
        {record.offset, parse_value(record.value.text())});
  }
  co_return true;
}

io::Task<void> Reader::close() {
  Result<void> closed = co_await consumer_->close();
  if (!closed) complaints_.push_back("a reader's close: " + closed.error().message());
  co_await consumer_->wait_finished();
  consumer_.reset();
  finished_ = true;
}

io::Task<Result<void>> Reader::find_ends() {
  for (const std::int64_t which : {client::ConsumerCore::kEarliest, client::ConsumerCore::kLatest}) {
    client::ConsumerCore::Times times;
    for (const TopicPartition& partition : partitions_) times[partition] = which;
    Result<client::ConsumerCore::FoundOffsets> found = co_await consumer_->list_offsets(std::move(times));
    KLAMM_CO_TRY(found);
    for (const auto& [partition, one] : *found) {
      Ends& ends = ends_[partition];
      (which == client::ConsumerCore::kEarliest ? ends.start : ends.end) = one.offset;
    }
  }
  co_return Result<void>();
}

bool Reader::at_end() const {
  for (const auto& [partition, ends] : ends_) {
    if (consumer_->position(partition).value_or(-1) < ends.end) return false;
  }
  return true;
}

// ---- topics ----

io::Task<void> create_topic(io::Shard& shard, Config config, LogSink log_sink, NewTopic topic, bool& created) {
  AdminHooks hooks;
  hooks.log_sink = std::move(log_sink);
  hooks.log_level = LogLevel::debug;
  const std::shared_ptr<client::AdminCore> admin =
      client::AdminCore::start(shard, valid(client::parse_admin(config)), std::move(hooks));
  for (bool done = false; !done;) {
    CreateTopics operation;
    operation.topics.push_back(topic);
    Result<CreateTopics::Outcome> outcome = co_await admin->run(std::move(operation));
    if (outcome) {
      const Result<CreatedTopic>& made = outcome->at(topic.name);
      // An answer may have been lost on its way.
      done = made || protocol::code_of(made.error()) == protocol::ErrorCode::topic_already_exists;
    }
    if (!done) co_await shard.sleep(kAfterFailure);
  }
  admin->stop();
  co_await admin->wait_finished();
  created = true;
}

}  // namespace klamm::simtest
