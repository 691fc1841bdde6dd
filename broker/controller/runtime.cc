#include "broker/controller/runtime.h"

#include "broker/metadata/delta.h"
#include "protocol/record/batch_builder.h"

namespace klamm::controller {
namespace {

constexpr std::size_t kMaxRecordsPerBatch = 10'000;
constexpr std::size_t kMaxBatchBytes = 7U << 20;  // below what the metadata log takes, overhead included

}  // namespace

Runtime::Runtime(io::Shard& shard, raft::RaftNode& raft, metadata::Loader& loader, Settings settings, Logger logger)
    : shard_(shard),
      raft_(raft),
      loader_(loader),
      settings_(std::move(settings)),
      logger_(std::move(logger)),
      image_(MetadataImage::none()) {}

void Runtime::claim(std::int32_t epoch) {
  epoch_ = epoch;
  image_ = loader_.image();
  last_offset_ = loader_.last_loaded_offset();
  last_append_ = shard_.now();
  sessions_.clear();
  for (const auto& [id, broker] : image_->cluster.brokers) {
    if (!broker->fenced) sessions_[id].last_contact = shard_.now();
  }
}

void Runtime::renounce() {
  epoch_ = -1;
  image_ = MetadataImage::none();
  sessions_.clear();
}

Compute Runtime::view() { return {*image_, settings_, sessions_, shard_.random(), shard_.now(), raft_.next_offset()}; }

Fault Runtime::append(const Records& records, bool atomic) {
  const std::vector<Slice> values = metadata::encode_records(records);
  std::size_t from = 0;
  while (from < records.size()) {
    std::size_t to = from;
    std::size_t bytes = 0;
    while (to < records.size() && to - from < kMaxRecordsPerBatch &&
           (to == from || bytes + values[to].size() <= kMaxBatchBytes)) {
      bytes += values[to].size() + record::kMaxRecordOverhead;
      ++to;
    }
    if (atomic && to < records.size()) {
      return {ErrorCode::record_list_too_large,
              fmt::format("The request's {} metadata records do not fit into one batch.", records.size())};
    }
    if (!append_batch(std::span(records).subspan(from, to - from), std::span(values).subspan(from, to - from))) {
      return not_controller();
    }
    from = to;
  }
  return {};
}

bool Runtime::append_batch(std::span<const Record> records, std::span<const Slice> values) {
  Result<std::int64_t> last = raft_.enqueue(epoch_, values);
  if (!last) {
    give_up(last.error());
    return false;
  }
  metadata::MetadataDelta delta(image_);
  for (const Record& record : records) {
    Result<void> replayed = delta.replay(record);
    if (!replayed) {
      give_up(replayed.error());
      return false;
    }
  }
  last_offset_ = *last;
  last_append_ = shard_.now();
  image_ = delta.apply({*last, epoch_, shard_.wall_ms(), raft_.kraft_version()});
  return true;
}

void Runtime::give_up(const Error& error) {
  if (raft_.leads(epoch_)) logger_.error("the controller gives up epoch {}: {}", epoch_, error.message());
  const std::int32_t epoch = std::exchange(epoch_, -1);
  renounce();
  raft_.resign(epoch);
}

Fault Runtime::not_controller() const {
  const std::int32_t leader = raft_.leader().leader_id;
  if (leader < 0 || leader == settings_.node_id)
    return {ErrorCode::not_controller, "No controller is active at the moment."};
  return {ErrorCode::not_controller, fmt::format("The active controller appears to be node {}.", leader)};
}

io::Task<Fault> Runtime::wait_committed(std::int32_t epoch, std::int64_t offset, Instant deadline) {
  Fault fault;
  Result<void> done = co_await raft_.wait_committed(epoch, offset, deadline);
  if (done) co_return fault;
  if (done.error() == Errc::timed_out) {
    fault = {ErrorCode::request_timed_out, "The metadata log did not commit the request in time."};
  } else {
    fault = not_controller();
  }
  co_return fault;
}

}  // namespace klamm::controller
