// What a cleaning knows of transactions while it walks a log from its start: which batches belong to aborted ones, and
// which markers still have data. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "broker/storage/batch_summary.h"
#include "broker/storage/producer_state.h"
#include "broker/storage/txn_index.h"

namespace klamm::storage {

class CleanedTransactions {
 public:
  // The aborted transactions of the next stretch of the log. Some may have been told before.
  void add_aborted(std::span<const AbortedTransaction> transactions);

  // The next data batch. True if it belongs to an aborted transaction.
  bool on_data(const BatchSummary& batch);
  // The next control batch; `marker` is empty if it has none (any more). True if nothing needs it: no data of its
  // transaction was met on the way.
  bool on_control(const BatchSummary& batch, const std::optional<EndTransaction>& marker);
  // The aborted transactions whose marker and data were both met: what the index of the cleaned segment must say. In
  // the order of the markers; taken away by the call.
  std::vector<AbortedTransaction> take_index_entries() { return std::exchange(index_entries_, {}); }

 private:
  struct Ongoing {
    AbortedTransaction transaction;
    bool has_data = false;
  };
  void begin_up_to(std::int64_t offset);

  std::multimap<std::int64_t, AbortedTransaction> coming_;  // by first offset
  std::map<std::int64_t, Ongoing> aborted_;                 // by producer
  std::set<std::int64_t> committed_;                        // producers with data in an open transaction
  std::vector<AbortedTransaction> index_entries_;
};

}  // namespace klamm::storage
