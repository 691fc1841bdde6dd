#include "broker/storage/producer_state.h"

#include <doctest/doctest.h>

#include "protocol/error.h"
#include "protocol/record/control.h"

using namespace klamm;
using namespace klamm::storage;
using protocol::ErrorCode;

namespace {

constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();

BatchSummary batch(std::int64_t producer, std::int16_t epoch, std::int32_t sequence, std::int64_t offset,
                   std::int32_t count = 1, bool transactional = false) {
  BatchSummary summary;
  summary.producer_id = producer;
  summary.producer_epoch = epoch;
  summary.base_sequence = sequence;
  summary.base_offset = offset;
  summary.last_offset = offset + count - 1;
  summary.record_count = count;
  summary.max_timestamp = 1000 + offset;
  if (transactional) summary.attributes = record::kTransactionalBit;
  return summary;
}

BatchSummary marker_batch(std::int64_t producer, std::int16_t epoch, std::int64_t offset) {
  BatchSummary summary = batch(producer, epoch, -1, offset);
  summary.attributes = record::kTransactionalBit | record::kControlBit;
  return summary;
}

std::vector<AbortedTransaction> put(ProducerState& state, const BatchSummary& summary,
                                    std::optional<EndTransaction> marker = std::nullopt) {
  ProducerState::Update update;
  REQUIRE(state.add(update, summary, marker, marker ? AppendOrigin::coordinator : AppendOrigin::client).has_value());
  return state.commit(std::move(update), summary.last_offset + 1);
}

ErrorCode refusal(const ProducerState& state, const BatchSummary& summary,
                  std::optional<EndTransaction> marker = std::nullopt, std::int16_t transaction_version = 0) {
  ProducerState::Update update;
  Result<void> added = state.add(update, summary, marker, marker ? AppendOrigin::coordinator : AppendOrigin::client,
                                 transaction_version);
  return added ? ErrorCode::none : protocol::code_of(added.error());
}

}  // namespace

TEST_CASE("sequences follow each other, and an unknown producer may begin anywhere") {
  ProducerState state;
  put(state, batch(7, 0, 40, 0, 5));
  CHECK(refusal(state, batch(7, 0, 45, 5)) == ErrorCode::none);
  CHECK(refusal(state, batch(7, 0, 46, 5)) == ErrorCode::out_of_order_sequence_number);
  CHECK(refusal(state, batch(7, 0, 44, 5)) == ErrorCode::out_of_order_sequence_number);
  CHECK(refusal(state, batch(7, 1, 1, 5)) == ErrorCode::out_of_order_sequence_number);
  CHECK(refusal(state, batch(7, 1, 0, 5)) == ErrorCode::none);
  put(state, batch(7, 1, 0, 5));
  CHECK(refusal(state, batch(7, 0, 45, 6)) == ErrorCode::invalid_producer_epoch);
}

TEST_CASE("batches read again go in front of those that came since the snapshot") {
  ProducerState before;
  for (int i = 0; i < 8; ++i) put(before, batch(7, 0, i, i));
  ProducerState after;
  REQUIRE(after.load_snapshot(before.encode_snapshot().bytes(), 8, 1000).has_value());
  for (int i = 8; i < 10; ++i) put(after, batch(7, 0, i, i));
  after.relearn({{7, *before.find(7)}});
  REQUIRE(after.find(7)->batches().size() == ProducerEntry::kMostBatches);
  for (int i = 5; i < 10; ++i) CHECK(after.find_duplicate(batch(7, 0, i, 10))->last_offset == i);
  CHECK(!after.find_duplicate(batch(7, 0, 4, 10)).has_value());
  CHECK(refusal(after, batch(7, 0, 10, 10)) == ErrorCode::none);
  // Another epoch has begun since: the old one's batches are nobody's retries.
  put(after, batch(7, 1, 0, 10));
  after.relearn({{7, *before.find(7)}});
  CHECK(after.find(7)->batches().size() == 1);
}

TEST_CASE("sequences wrap after 2^31-1") {
  ProducerState state;
  put(state, batch(7, 0, kMost - 1, 0, 2));
  CHECK(refusal(state, batch(7, 0, 0, 2)) == ErrorCode::none);
  ProducerState across;
  put(across, batch(7, 0, kMost, 0, 3));  // kMost, 0, 1
  CHECK(across.find(7)->last_sequence() == 1);
  CHECK(across.find(7)->last_batch()->first_sequence() == kMost);
  CHECK(across.find_duplicate(batch(7, 0, kMost, 9, 3)).has_value());
  CHECK(refusal(across, batch(7, 0, 2, 3)) == ErrorCode::none);
}

TEST_CASE("one of the last five batches is a duplicate, an older one is not") {
  ProducerState state;
  for (int i = 0; i < 7; ++i) put(state, batch(7, 0, 2 * i, 2 * i, 2));
  for (int i = 0; i < 7; ++i) {
    const auto duplicate = state.find_duplicate(batch(7, 0, 2 * i, 1000, 2));
    REQUIRE(duplicate.has_value() == (i >= 2));
    if (duplicate) CHECK(duplicate->first_offset() == 2 * i);
  }
  CHECK(!state.find_duplicate(batch(7, 0, 12, 1000, 1)).has_value());
  CHECK(!state.find_duplicate(batch(7, 1, 12, 1000, 2)).has_value());
  CHECK(!state.find_duplicate(batch(8, 0, 12, 1000, 2)).has_value());
}

TEST_CASE("several batches of one producer in one append are checked in their order") {
  ProducerState state;
  ProducerState::Update update;
  REQUIRE(state.add(update, batch(7, 0, 0, 0, 2), std::nullopt, AppendOrigin::client).has_value());
  REQUIRE(state.add(update, batch(7, 0, 2, 2, 2), std::nullopt, AppendOrigin::client).has_value());
  CHECK(!state.add(update, batch(7, 0, 9, 4, 2), std::nullopt, AppendOrigin::client).has_value());
  CHECK(state.find(7) == nullptr);  // nothing holds before the commit
  state.commit(std::move(update), 4);
  CHECK(state.find(7)->last_sequence() == 3);
}

TEST_CASE("open transactions hold back the first unstable offset until they end and are replicated") {
  ProducerState state;
  put(state, batch(1, 0, 0, 0, 2, true));
  put(state, batch(2, 0, 0, 2, 2, true));
  CHECK(state.first_unstable_offset() == 0);
  CHECK(refusal(state, batch(1, 0, 2, 4)) == ErrorCode::invalid_txn_state);
  const auto committed = put(state, marker_batch(1, 0, 4), EndTransaction{true, 3});
  CHECK(committed.empty());
  CHECK(state.first_unstable_offset() == 0);
  state.high_watermark_moved(4);
  CHECK(state.first_unstable_offset() == 0);
  state.high_watermark_moved(5);
  CHECK(state.first_unstable_offset() == 2);
  const auto aborted = put(state, marker_batch(2, 0, 5), EndTransaction{false, 3});
  REQUIRE(aborted.size() == 1);
  CHECK(aborted[0] == AbortedTransaction{2, 2, 5, 6});
  state.high_watermark_moved(6);
  CHECK(!state.first_unstable_offset().has_value());
  CHECK(refusal(state, batch(1, 0, 2, 6)) == ErrorCode::none);
}

TEST_CASE("an aborted transaction's entry names the oldest other open one as last stable offset") {
  ProducerState state;
  put(state, batch(1, 0, 0, 0, 2, true));
  put(state, batch(2, 0, 0, 2, 2, true));
  const auto aborted = put(state, marker_batch(2, 0, 4), EndTransaction{false, 3});
  REQUIRE(aborted.size() == 1);
  CHECK(aborted[0] == AbortedTransaction{2, 2, 4, 0});
}

TEST_CASE("markers are fenced by producer and coordinator epochs") {
  ProducerState state;
  put(state, batch(1, 5, 0, 0, 2, true));
  put(state, marker_batch(1, 5, 2), EndTransaction{true, 3});
  CHECK(refusal(state, marker_batch(1, 4, 3), EndTransaction{true, 3}) == ErrorCode::invalid_producer_epoch);
  CHECK(refusal(state, marker_batch(1, 5, 3), EndTransaction{true, 2}) == ErrorCode::transaction_coordinator_fenced);
  CHECK(refusal(state, marker_batch(1, 5, 3), EndTransaction{true, 3}) == ErrorCode::none);
  // Transactions of version 2: the epoch must grow, unless it is a retry of an ended one.
  CHECK(refusal(state, marker_batch(1, 5, 3), EndTransaction{true, 3}, 2) == ErrorCode::none);
  put(state, batch(1, 5, 2, 3, 1, true));
  CHECK(refusal(state, marker_batch(1, 5, 4), EndTransaction{true, 3}, 2) == ErrorCode::invalid_producer_epoch);
  CHECK(refusal(state, marker_batch(1, 6, 4), EndTransaction{true, 3}, 2) == ErrorCode::none);
}

TEST_CASE("producers expire, but not while a transaction is open") {
  ProducerState state({.expiration_ms = 100});
  put(state, batch(1, 0, 0, 0));
  put(state, batch(2, 0, 0, 1, 1, true));
  state.expire(1099);
  CHECK(state.find(1) != nullptr);
  state.expire(1100);
  CHECK(state.find(1) == nullptr);
  state.expire(1'000'000);
  CHECK(state.find(2) != nullptr);
}

TEST_CASE("snapshots keep each producer's last batch and have Kafka's sizes") {
  ProducerState state;
  CHECK(state.encode_snapshot().size() == 10);
  for (int i = 0; i < 3; ++i) put(state, batch(9, 2, i * 4, i * 4, 4));
  put(state, batch(4, 0, 0, 12, 2, true));
  const Slice snapshot = state.encode_snapshot();
  CHECK(snapshot.size() == 10 + 2 * 46);
  ProducerState loaded;
  REQUIRE(loaded.load_snapshot(snapshot.bytes(), 14, 2000).has_value());
  CHECK(loaded.end_offset() == 14);
  CHECK(loaded.entries().size() == 2);
  CHECK(loaded.find(9)->epoch == 2);
  CHECK(loaded.find_duplicate(batch(9, 2, 8, 99, 4))->first_offset() == 8);
  CHECK(!loaded.find_duplicate(batch(9, 2, 4, 99, 4)).has_value());
  CHECK(loaded.first_unstable_offset() == 12);
  CHECK(loaded.encode_snapshot() == snapshot);
  ProducerState later({.expiration_ms = 10});
  REQUIRE(later.load_snapshot(snapshot.bytes(), 14, 100000).has_value());
  CHECK(later.entries().size() == 1);  // the one with an open transaction
}

TEST_CASE("every damaged byte of a snapshot is noticed") {
  ProducerState state;
  put(state, batch(9, 2, 0, 0, 4));
  const Slice good = state.encode_snapshot();
  for (std::size_t i = 0; i < good.size(); ++i) {
    Slice bad = Slice::copy(good.bytes());
    bad.mutable_data()[i] ^= std::byte{4};
    CHECK(!state.load_snapshot(bad.bytes(), 4, 0).has_value());
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK(!state.load_snapshot(good.bytes().first(size), 4, 0).has_value());
  }
}

TEST_CASE("a transaction marker is read from its control batch") {
  const Slice commit = record::build_transaction_marker(true, 7, 1, 12, 1000);
  CHECK(commit.size() == 78);
  const auto read = read_end_transaction(commit);
  REQUIRE(read.has_value());
  REQUIRE(read->has_value());
  CHECK((*read)->commit);
  CHECK((*read)->coordinator_epoch == 12);
  CHECK(!read_end_transaction(Slice::copy(commit.bytes().first(70))).has_value());
}
