// Names of directories and files in a data directory, and the rules for topic names. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/uuid.h"
#include "protocol/ids.h"

namespace klamm::storage {

// ---- Topic names.

constexpr std::size_t kMaxTopicName = 249;
// Errc::invalid_argument with a sentence that says what is wrong: empty, ".", "..", too long, or a character outside
// [a-zA-Z0-9._-].
Result<void> check_topic_name(std::string_view topic);
// Kafka refuses two topics whose metric names collide: the same but for '.' and '_'.
bool topic_names_collide(std::string_view left, std::string_view right);

// ---- Partition directories: "<topic>-<partition>", "<topic>-<partition>.<32 hex>-delete" and so on.

enum class DirectoryKind {
  live,
  deleted,  // -delete: to be removed, at the latest at the next start
  stray,    // -stray: not assigned to this broker; kept, not served
  future,   // -future: the copy of a move between data directories that has not ended
};

struct PartitionDirectory {
  protocol::TopicPartition partition;
  DirectoryKind kind = DirectoryKind::live;
  friend bool operator==(const PartitionDirectory&, const PartitionDirectory&) = default;
};

std::string directory_name(const protocol::TopicPartition& partition);
// The name for another kind; `id` makes it unique. For deleted and stray ones the topic is cut so that the whole name
// has at most 255 characters.
std::string directory_name(const protocol::TopicPartition& partition, DirectoryKind kind, const Uuid& id);
// Empty if the name is none of these forms. Cut topics come back cut.
std::optional<PartitionDirectory> parse_directory_name(std::string_view name);

// ---- Files of a partition.

namespace suffix {
constexpr std::string_view kLog = ".log";
constexpr std::string_view kOffsetIndex = ".index";
constexpr std::string_view kTimeIndex = ".timeindex";
constexpr std::string_view kTxnIndex = ".txnindex";
constexpr std::string_view kProducerSnapshot = ".snapshot";
constexpr std::string_view kDeleted = ".deleted";  // after one of those above
constexpr std::string_view kCleaned = ".cleaned";
constexpr std::string_view kSwap = ".swap";
}  // namespace suffix

constexpr std::string_view kLeaderEpochFile = "leader-epoch-checkpoint";
constexpr std::string_view kPartitionMetadataFile = "partition.metadata";
// In a copy that is about to take the place of the log it was made from: beside that log it is the one that counts.
constexpr std::string_view kMoveMarkerFile = "move-complete";

// ---- Files of a data directory.
constexpr std::string_view kLockFile = ".lock";
constexpr std::string_view kMetaPropertiesFile = "meta.properties";
constexpr std::string_view kCleanShutdownFile = ".kafka_cleanshutdown";
constexpr std::string_view kRecoveryPointFile = "recovery-point-offset-checkpoint";
constexpr std::string_view kLogStartFile = "log-start-offset-checkpoint";
constexpr std::string_view kHighWatermarkFile = "replication-offset-checkpoint";
constexpr std::string_view kCleanerFile = "cleaner-offset-checkpoint";
constexpr std::string_view kRemoteIndexCache = "remote-log-index-cache";
constexpr std::string_view kMetadataTopic = "__cluster_metadata";

// "00000000000000000042.log"
std::string file_name(std::int64_t offset, std::string_view suffix);
// The offset of "00000000000000000042<suffix>"; empty if the name is not of that form.
std::optional<std::int64_t> parse_file_name(std::string_view name, std::string_view suffix);

}  // namespace klamm::storage
