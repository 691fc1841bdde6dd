// Random histories of one log beside a model that cannot be wrong: a vector of records.
#include <algorithm>

#include "tests/unit/broker/storage/storage_test.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

struct Model {
  struct Batch {
    std::int64_t base = 0;
    std::vector<ReadBack> records;
  };
  std::vector<Batch> batches;
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::int64_t high_watermark = 0;
  std::int32_t epoch = 0;

  std::vector<ReadBack> from(std::int64_t offset) const {
    std::vector<ReadBack> all;
    for (const Batch& batch : batches) {
      for (const ReadBack& record : batch.records) {
        if (record.offset >= offset) all.push_back(record);
      }
    }
    return all;
  }
  void truncate(std::int64_t offset) {
    if (offset >= end) return;
    end = offset;
    while (!batches.empty() &&
           batches.back().base + static_cast<std::int64_t>(batches.back().records.size()) > offset) {
      end = std::min(end, batches.back().base);
      batches.pop_back();
    }
    high_watermark = std::min(high_watermark, end);
    start = std::min(start, end);
  }
};

class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed), world_(seed) {
    config::LogConfig config = small_segments(static_cast<std::int32_t>(random_.between(800, 4000)));
    config.index_interval_bytes = static_cast<std::int32_t>(random_.between(0, 500));
    config.preallocate = random_.chance(0.2);
    config.retention_ms = -1;
    log_ = world_.open(world_.options(config));
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      const std::uint64_t dice = random_.below(100);
      if (dice < 60)
        append_some();
      else if (dice < 70)
        check_reads();
      else if (dice < 75)
        check_timestamps();
      else if (dice < 80)
        truncate();
      else if (dice < 85)
        delete_records();
      else if (dice < 90)
        REQUIRE(world_.run(random_.chance(0.5) ? log_->roll() : log_->flush()).has_value());
      else if (dice < 95)
        log_ = world_.reopen_clean(std::move(log_));
      else {
        const std::int64_t surviving = random_.between(0, log_->recovery_point());
        log_ = world_.reopen_killed(std::move(log_), surviving);
      }
      check_offsets();
    }
    check_reads();
    REQUIRE(world_.run(log_->close()).has_value());
  }

 private:
  void append_some() {
    if (random_.chance(0.1)) ++model_.epoch;
    Model::Batch batch;
    batch.base = model_.end;
    std::vector<TestRecord> records;
    const std::int64_t count = random_.between(1, 6);
    for (std::int64_t i = 0; i < count; ++i) {
      const TimestampMs time = 10000 + random_.between(-500, 500) + model_.end * 20;
      records.push_back(
          {std::string(static_cast<std::size_t>(random_.between(0, 80)), 'v') + std::to_string(model_.end + i), time});
      batch.records.push_back({model_.end + i, time, records.back().value, model_.epoch});
    }
    const auto codec = static_cast<compress::Compression>(random_.below(5));
    Result<AppendInfo> info =
        world_.run(log_->append_as_leader(leader_append(make_batch(records, {}, codec), model_.epoch)));
    REQUIRE_MESSAGE(info.has_value(), why_of(info));
    CHECK(info->first_offset == batch.base);
    model_.end += count;
    model_.batches.push_back(std::move(batch));
    if (random_.chance(0.8)) model_.high_watermark = log_->set_high_watermark(model_.end);
  }

  void truncate() {
    const std::int64_t offset = random_.between(std::max<std::int64_t>(model_.start, model_.end - 60), model_.end);
    REQUIRE(world_.run(log_->truncate_to(offset)).has_value());
    model_.truncate(offset);
  }

  void delete_records() {
    if (model_.high_watermark < model_.start) return;
    const std::int64_t offset = random_.between(model_.start, model_.high_watermark);
    REQUIRE(world_.run(log_->increment_log_start(offset)).has_value());
    model_.start = std::max(model_.start, offset);
    REQUIRE(world_.run(log_->delete_old_segments()).has_value());
  }

  void check_offsets() {
    CHECK(log_->log_end_offset() == model_.end);
    CHECK(log_->log_start_offset() == model_.start);
    CHECK(log_->high_watermark() == model_.high_watermark);
    CHECK(log_->recovery_point() <= model_.end);
  }

  void check_reads() {
    const std::int64_t offset = random_.between(model_.start, model_.end);
    const std::int64_t max_bytes = random_.between(1, 5000);
    CHECK(read_all(world_, *log_, offset, FetchIsolation::log_end, max_bytes) == model_.from(offset));
    std::vector<ReadBack> visible = model_.from(model_.start);
    std::erase_if(visible, [&](const ReadBack& record) { return record.offset >= model_.high_watermark; });
    CHECK(read_all(world_, *log_, model_.start, FetchIsolation::high_watermark, max_bytes) == visible);
    if (model_.end > model_.start) {
      const std::vector<ReadBack> all = model_.from(model_.start);
      for (const ReadBack& record : {all.front(), all.back()}) {
        CHECK(log_->leader_epochs().epoch_at(record.offset) == record.leader_epoch);
      }
    }
  }

  void check_timestamps() {
    const std::vector<ReadBack> all = model_.from(model_.start);
    const TimestampMs wanted = 10000 + random_.between(-600, model_.end * 20 + 600);
    const auto found = world_.run(log_->offset_for_timestamp(wanted));
    REQUIRE(found.has_value());
    const auto first =
        std::find_if(all.begin(), all.end(), [&](const ReadBack& record) { return record.timestamp >= wanted; });
    REQUIRE(found->has_value() == (first != all.end()));
    if (first != all.end()) CHECK((*found)->offset == first->offset);
  }

  Random random_;
  World world_;
  std::unique_ptr<Log> log_;
  Model model_;
};

}  // namespace

TEST_CASE("random histories of appends, rolls, cuts and restarts agree with the model") {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    CAPTURE(seed);
    History history(seed);
    history.run(80);
  }
}
