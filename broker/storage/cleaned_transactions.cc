#include "broker/storage/cleaned_transactions.h"

namespace klamm::storage {

void CleanedTransactions::add_aborted(std::span<const AbortedTransaction> transactions) {
  for (const AbortedTransaction& transaction : transactions) coming_.emplace(transaction.first_offset, transaction);
}

void CleanedTransactions::begin_up_to(std::int64_t offset) {
  while (!coming_.empty() && coming_.begin()->first <= offset) {
    const AbortedTransaction transaction = coming_.begin()->second;
    coming_.erase(coming_.begin());
    aborted_.try_emplace(transaction.producer_id, Ongoing{transaction, false});
  }
}

bool CleanedTransactions::on_data(const BatchSummary& batch) {
  begin_up_to(batch.last_offset);
  if (!batch.is_transactional()) return false;
  const auto aborted = aborted_.find(batch.producer_id);
  if (aborted == aborted_.end()) {
    committed_.insert(batch.producer_id);
    return false;
  }
  aborted->second.has_data = true;
  return true;
}

bool CleanedTransactions::on_control(const BatchSummary& batch, const std::optional<EndTransaction>& marker) {
  begin_up_to(batch.last_offset);
  if (!marker) return true;
  if (marker->commit) return committed_.erase(batch.producer_id) == 0;
  const auto aborted = aborted_.find(batch.producer_id);
  if (aborted == aborted_.end()) return true;
  const Ongoing ongoing = aborted->second;
  aborted_.erase(aborted);
  if (!ongoing.has_data) return true;
  index_entries_.push_back(ongoing.transaction);
  return false;
}

}  // namespace klamm::storage
