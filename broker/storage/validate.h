// What a leader checks in a client's records before they get offsets, and how it brings them into the form that the
// topic asks for. Pure but for the codecs' scratch memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "broker/config/log_config.h"
#include "broker/storage/batch_summary.h"
#include "protocol/compress/codec.h"

namespace klamm::storage {

// What is wrong with one record of a refused batch, for the produce response.
struct RecordError {
  std::int32_t batch_index = 0;
  std::string message;
};

struct ValidateContext {
  const config::LogConfig& config;
  compress::Codecs& codecs;
  TimestampMs now_ms = 0;
  std::int16_t produce_version = 0;  // of the request: zstd is refused below 7
};

struct ValidatedBatch {
  Slice records;                        // as given, or a new buffer where the batch had to be rebuilt
  BatchSummary summary;                 // offsets still as the client sent them (from 0)
  TimestampMs log_append_time_ms = -1;  // set if the topic has LogAppendTime
};

// Checks the records of one partition in a Produce request: exactly one whole batch of magic 2, its size, CRC, counts,
// producer fields, every record (structure, key on compacted topics, timestamp). Rewrites timestamps in place (then the
// CRC anew), recompresses where compression.type asks for another codec.
// Errors, those that Kafka 4.3.1 gives for the same bytes: CORRUPT_MESSAGE, MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE,
// INVALID_RECORD, INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE, UNKNOWN_SERVER_ERROR where a codec cannot unpack
// them; single records at fault are listed in `record_errors` if it is not null.
Result<ValidatedBatch> validate_client_batch(Slice records, const ValidateContext& context,
                                             std::vector<RecordError>* record_errors);

}  // namespace klamm::storage
