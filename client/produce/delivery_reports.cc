#include "client/produce/delivery_reports.h"

namespace klamm::client {

void DeliveryReports::report(BatchOutcome& outcome, const std::function<void(const BatchReport&)>& on_batch,
                             Instant now) {
  if (outcome.error) {
    records_failed_ += outcome.record_count;
  } else {
    records_delivered_ += outcome.record_count;
    ++batches_delivered_;
    bytes_delivered_ += outcome.size_bytes;
  }
  detail::DeliveryBatch& delivery = *outcome.delivery;
  if (on_batch) {
    BatchReport report;
    report.topic = delivery.topic();
    report.partition = delivery.partition();
    report.base_offset = outcome.base_offset;
    report.record_count = outcome.record_count;
    report.size_bytes = outcome.size_bytes;
    report.log_append_time = outcome.log_append_time;
    report.latency = now - outcome.created_at;
    report.error = outcome.error ? &*outcome.error : nullptr;
    on_batch(report);
  }
  if (delivery.done()) return;
  if (outcome.error) {
    delivery.fail(std::move(*outcome.error));
  } else {
    delivery.succeed(outcome.base_offset, outcome.log_append_time);
  }
}

}  // namespace klamm::client
