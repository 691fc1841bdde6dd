#include "broker/storage/txn_index.h"

#include <fmt/format.h>

namespace klamm::storage {

void AbortedTransaction::encode(std::byte* to) const {
  store_big_endian(to, version);
  store_big_endian(to + 2, producer_id);
  store_big_endian(to + 10, first_offset);
  store_big_endian(to + 18, last_offset);
  store_big_endian(to + 26, last_stable_offset);
}

AbortedTransaction AbortedTransaction::decode(const std::byte* from) {
  AbortedTransaction transaction;
  transaction.version = load_big_endian<std::int16_t>(from);
  transaction.producer_id = load_big_endian<std::int64_t>(from + 2);
  transaction.first_offset = load_big_endian<std::int64_t>(from + 10);
  transaction.last_offset = load_big_endian<std::int64_t>(from + 18);
  transaction.last_stable_offset = load_big_endian<std::int64_t>(from + 26);
  return transaction;
}

io::Task<Result<bool>> TxnIndex::collect(std::int64_t from, std::int64_t upper,
                                         std::vector<AbortedTransaction>& found) {
  if (entries_.empty()) co_return false;
  auto border = co_await entries_.find([from](const AbortedTransaction& t) { return t.last_offset < from; });
  KLAMM_CO_TRY(border);
  for (std::size_t index = border->index; index < entries_.size(); ++index) {
    Result<AbortedTransaction> transaction = co_await entries_.at(index);
    KLAMM_CO_TRY(transaction);
    if (transaction->first_offset < upper) found.push_back(*transaction);
    if (transaction->last_stable_offset >= upper) co_return true;
  }
  co_return false;
}

io::Task<Result<void>> TxnIndex::truncate_to(std::int64_t offset) {
  if (entries_.empty()) co_return Result<void>();
  auto border = co_await entries_.find([offset](const AbortedTransaction& t) { return t.last_offset < offset; });
  KLAMM_CO_TRY(border);
  Result<void> truncated = co_await entries_.truncate(border->index);
  co_return truncated;
}

io::Task<Result<void>> TxnIndex::check(std::int64_t base_offset) {
  std::int64_t previous = base_offset - 1;
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    Result<AbortedTransaction> transaction = co_await entries_.at(index);
    KLAMM_CO_TRY(transaction);
    if (transaction->version != AbortedTransaction::kVersion || transaction->last_offset <= previous ||
        transaction->first_offset > transaction->last_offset) {
      co_return fail(Errc::corrupt, fmt::format("{}: entry {}", entries_.path(), index));
    }
    previous = transaction->last_offset;
  }
  co_return Result<void>();
}

}  // namespace klamm::storage
