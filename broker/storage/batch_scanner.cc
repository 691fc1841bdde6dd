#include "broker/storage/batch_scanner.h"

#include <algorithm>

#include "protocol/record/legacy.h"

namespace klamm::storage {

Bytes BatchScanner::window_at(std::int64_t at, std::int64_t most) const {
  const std::int64_t window_end = window_begin_ + static_cast<std::int64_t>(window_.size());
  if (at < window_begin_ || at >= window_end) return {};
  return window_.bytes().subspan(static_cast<std::size_t>(at - window_begin_),
                                 static_cast<std::size_t>(std::min(most, window_end - at)));
}

io::Task<Result<bool>> BatchScanner::need(std::int64_t at, std::int64_t size) {
  if (static_cast<std::int64_t>(window_at(at, size).size()) == size) co_return true;
  if (size > to_ - at) co_return false;
  const std::int64_t wanted = std::min(to_ - at, std::max(size, static_cast<std::int64_t>(chunk_bytes_)));
  Buffer::Ref buffer = Buffer::allocate(static_cast<std::size_t>(wanted));
  const MutableBytes into(buffer->data(), static_cast<std::size_t>(wanted));
  Result<std::size_t> got = co_await file_->read(static_cast<std::uint64_t>(at), into);
  KLAMM_CO_TRY(got);
  window_ = Slice(std::move(buffer), *got);
  window_begin_ = at;
  co_return static_cast<std::int64_t>(*got) >= size;
}

io::Task<Result<bool>> BatchScanner::next() {
  const std::int64_t left = to_ - next_;
  if (left < static_cast<std::int64_t>(record::kEntryHeadSize)) co_return false;
  // A whole header if there is one; entries of old magics may be shorter than that.
  const std::int64_t wanted = std::min<std::int64_t>(left, record::kBatchHeaderSize);
  Result<bool> there = co_await need(next_, wanted);
  KLAMM_CO_TRY(there);
  if (!*there) co_return false;
  const std::optional<BatchSummary> summary = BatchSummary::parse(window_at(next_, wanted));
  if (!summary || summary->size > left) co_return false;
  batch_ = *summary;
  position_ = next_;
  next_ += batch_.size;
  co_return true;
}

io::Task<Result<bool>> BatchScanner::next_whole() {
  Result<bool> more = co_await next();
  KLAMM_CO_TRY(more);
  if (!*more) co_return false;
  Result<bool> loaded = co_await load_bytes();
  co_return loaded;
}

io::Task<Result<bool>> BatchScanner::load_bytes() {
  Result<bool> there = co_await need(position_, batch_.size);
  KLAMM_CO_TRY(there);
  if (!*there) {
    next_ = position_;
    to_ = position_;
    co_return false;
  }
  bytes_ = window_.part(static_cast<std::size_t>(position_ - window_begin_), static_cast<std::size_t>(batch_.size));
  co_return true;
}

Result<void> check_entry(const Slice& entry) {
  const record::EntryHead head = record::peek_entry(entry);
  if (head.status != record::EntryStatus::whole || head.size_bytes != entry.size()) {
    return fail(Errc::corrupt, "not a whole batch");
  }
  if (head.magic == record::kMagic) {
    Result<record::BatchView> batch = record::BatchView::parse(entry);
    if (!batch) return fail(Errc::corrupt, batch.error().context());
    if (Result<void> crc = batch->check_crc(); !crc) return fail(Errc::corrupt, crc.error().message());
    return {};
  }
  Result<record::LegacyView> message = record::LegacyView::parse(entry);
  if (!message) return fail(Errc::corrupt, message.error().context());
  if (Result<void> crc = message->check_crc(); !crc) return fail(Errc::corrupt, crc.error().message());
  return {};
}

}  // namespace klamm::storage
