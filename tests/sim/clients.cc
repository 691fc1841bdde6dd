#include "clients.h"

#include <fmt/format.h>

#include <utility>

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
    : shard_(shard),
      options_(std::move(options)),
      ledger_(ledger),
      random_(options_.seed),
      number_(options_.plan.number) {
  start();
}

void Writer::start() {
  ledger_.promised(number_, options_.plan.promise);
  ProducerHooks hooks;
  hooks.log_sink = options_.log_sink;
  hooks.log_level = LogLevel::debug;
  producer_ =
      client::ProducerCore::start(shard_, valid(client::parse_producer(options_.plan.config)), std::move(hooks));
}

io::Task<void> Writer::restart() {
  producer_->abandon();
  co_await producer_->wait_finished();
  number_ += kNumbersApart;
  next_ = 0;
  drawn_.reset();
  start();
}

io::Task<void> Writer::send_records() {
  co_await send_some(options_.plan.records, false);
  sent_ = true;
}

io::Task<void> Writer::send_more(std::uint32_t count) {
  sent_ = false;
  co_await send_some(count, false);
  sent_ = true;
}

io::Task<void> Writer::finish() {
  co_await send_some(options_.last_records, true);
  Result<void> flushed = co_await producer_->flush();
  if (!flushed) complaints_.push_back(fmt::format("producer {}: flush: {}", number_, flushed.error().message()));
  Result<void> closed = co_await producer_->close(kCloseTime);
  if (!closed) complaints_.push_back(fmt::format("producer {}: close: {}", number_, closed.error().message()));
  co_await producer_->wait_finished();
  producer_.reset();
  finished_ = true;
}

io::Task<void> Writer::send_some(std::uint32_t count, bool last) {
  left_ = count;
  while (left_ > 0) {
    for (std::uint64_t burst = 1 + random_.below(options_.largest_burst); burst > 0 && left_ > 0;) {
      if (send_one(last && options_.plan.last_must_succeed)) {
        --burst;
      } else {
        Result<void> room = co_await producer_->ready();
        if (!room) co_await shard_.sleep(kAfterFailure);
      }
    }
    co_await shard_.sleep(options_.pause.draw(random_));
    if (!last && random_.chance(options_.plan.restart_chance)) co_await restart();
  }
}

// False if the producer does not take it now.
bool Writer::send_one(bool must_succeed) {
  const RecordId id{number_, next_};
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
  --left_;
  ledger_.sent(id, {drawn_->topic, accepted.batch->partition()});
  drawn_.reset();
  watch(accepted, id, must_succeed);
  return true;
}

void Writer::watch(const client::ProducerCore::Accepted& accepted, RecordId id, bool must_succeed) {
  accepted.batch->on_done([this, id, must_succeed, batch = accepted.batch.operator->(), index = accepted.index] {
    const Error* error = batch->error(index);
    if (error == nullptr) return ledger_.acknowledged(id, batch->offset(index), shard_.now());
    ledger_.failed(id);
    if (must_succeed) {
      complaints_.push_back(fmt::format("record {}, sent after the faults, failed: {}", id.text(), error->message()));
    }
  });
}

// ---- Reader ----

Reader::Reader(io::Shard& shard, ReaderOptions options)
    : shard_(shard), options_(std::move(options)), random_(options_.seed) {
  options_.plan.config.set("auto.offset.reset", "earliest");
  start();
}

void Reader::start() {
  ConsumerHooks hooks;
  hooks.log_sink = options_.log_sink;
  hooks.log_level = LogLevel::debug;
  consumer_ =
      client::ConsumerCore::start(shard_, valid(client::parse_consumer(options_.plan.config)), std::move(hooks));
  paused_.clear();
}

io::Task<void> Reader::follow() {
  for (bool going = true; going && !stopping_;) {
    Result<void> assigned = consumer_->assign(options_.partitions);
    KLAMM_CHECK(assigned, assigned ? std::string() : assigned.error().message());
    go_on_from_here();
    bool restarts = false;
    while (going && !stopping_ && !restarts) {
      going = co_await poll_once();
      if (random_.chance(options_.plan.wander_chance) || !paused_.empty()) wander();
      restarts = !settled_ && random_.chance(options_.plan.restart_chance);
    }
    if (!restarts || stopping_) break;
    ++restarts_;
    co_await end_consumer(random_.chance(0.5));
    start();
  }
  co_await end_consumer(true);
  finished_ = true;
}

// A new consumer takes the place of the one before.
void Reader::go_on_from_here() {
  for (const TopicPartition& partition : options_.partitions) {
    if (options_.from_start) {
      jumped_[partition] = true;
      continue;
    }
    const auto known = positions_.find(partition);
    if (known == positions_.end()) continue;
    Result<void> moved = consumer_->seek(partition, known->second.offset, known->second.leader_epoch);
    KLAMM_CHECK(moved, moved ? std::string() : moved.error().message());
  }
}

// Moves a position back, or lets a partition rest until after the next poll.
void Reader::wander() {
  if (!paused_.empty()) {
    Result<void> resumed = consumer_->pause(paused_, false);
    KLAMM_CHECK(resumed, resumed ? std::string() : resumed.error().message());
    paused_.clear();
    return;
  }
  if (settled_) return;
  const TopicPartition& partition = options_.partitions[random_.below(options_.partitions.size())];
  const std::optional<std::int64_t> position = consumer_->position(partition);
  if (random_.chance(0.5)) {
    paused_ = {partition};
    Result<void> paused = consumer_->pause(paused_, true);
    KLAMM_CHECK(paused, paused ? std::string() : paused.error().message());
  } else if (position && *position > 0) {
    move(partition, random_.between(0, *position));
  }
}

void Reader::move(const TopicPartition& partition, std::int64_t offset) {
  Result<void> moved = consumer_->seek(partition, offset);
  KLAMM_CHECK(moved, moved ? std::string() : moved.error().message());
  jumped_[partition] = true;
}

io::Task<void> Reader::read_all() {
  Result<void> found = co_await find_ends();
  if (!found) {
    complaints_.push_back("a reader found no ends: " + found.error().message());
  } else {
    Result<void> assigned = consumer_->assign(options_.partitions);
    KLAMM_CHECK(assigned, assigned ? std::string() : assigned.error().message());
    bool going = true;
    while (going && !at_end()) going = co_await poll_once();
  }
  co_await end_consumer(true);
  finished_ = true;
}

// False if there is no sense in going on.
io::Task<bool> Reader::poll_once() {
  Result<client::ConsumerCore::Block> polled = co_await consumer_->poll(kPollTime);
  if (!polled) {
    complaints_.push_back("a reader failed: " + polled.error().message());
    co_return false;
  }
  for (const RecordView& record : (*polled)->records) {
    const TopicPartition partition{std::string(record.topic), record.partition};
    readings_[partition].push_back(
        {record.offset, parse_value(record.value.text()), std::exchange(jumped_[partition], false)});
  }
  co_return true;
}

// `in_order`: as a program that ends; else as one that is killed.
io::Task<void> Reader::end_consumer(bool in_order) {
  for (const TopicPartition& partition : options_.partitions) {
    const std::optional<std::int64_t> position = consumer_->position(partition);
    if (position) positions_[partition] = {*position, consumer_->position_epoch(partition)};
  }
  if (in_order) {
    Result<void> closed = co_await consumer_->close();
    if (!closed) complaints_.push_back("a reader's close: " + closed.error().message());
  } else {
    consumer_->abandon();
  }
  co_await consumer_->wait_finished();
  consumer_.reset();
}

io::Task<Result<void>> Reader::find_ends() {
  for (const std::int64_t which : {client::kEarliest, client::kLatest}) {
    client::OffsetTimes times;
    for (const TopicPartition& partition : options_.partitions) times[partition] = which;
    Result<client::FoundOffsets> found = co_await consumer_->list_offsets(std::move(times));
    KLAMM_CO_TRY(found);
    for (const auto& [partition, one] : *found) {
      Ends& ends = ends_[partition];
      (which == client::kEarliest ? ends.start : ends.end) = one.offset;
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
