// What the key and value of a log record say, as Apache Kafka's dump-log prints it. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "protocol/record/record.h"

namespace klamm::tools {

enum class RecordDecoding {
  text,              // keys and values as they are
  int32,             // IntegerDecoder
  int64,             // LongDecoder
  cluster_metadata,  // __cluster_metadata
  offsets,           // __consumer_offsets
  transactions,      // __transaction_state
  share_state,       // __share_group_state
};

// The decoding of --value-decoder-class and --key-decoder-class; fails with the sentence to print.
Result<RecordDecoding> decoding_of_class(std::string_view class_name);

// Nothing: not printed (no key, or no value).
struct DecodedRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;
};
DecodedRecord decode_record(const record::RecordView& record, RecordDecoding key, RecordDecoding value);

// " endTxnMarker: COMMIT coordinatorEpoch: 0", or " SnapshotHeader {...}", of a record of a control batch.
std::string control_text(const record::RecordView& record);

}  // namespace klamm::tools
