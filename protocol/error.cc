#include "protocol/error.h"

#include <iterator>

#include "base/check.h"

namespace klamm::protocol {
namespace {

// What a client does about a code before it tries again.
enum class Retry {
  final,        // trying again cannot help
  retry,        // try again after a pause
  coordinator,  // find the coordinator first
  metadata,     // learn topics and leaders first
};

struct Row {
  std::string_view name;
  Retry retry;
  std::string_view message;
};

constexpr std::int16_t kLowest = -1;

// In order of the codes, from -1 on.
constexpr Row kRows[] = {
    {"UNKNOWN_SERVER_ERROR", Retry::final, "the server met an unexpected fault"},
    {"NONE", Retry::final, "no error"},
    {"OFFSET_OUT_OF_RANGE", Retry::final, "the requested offset lies outside the range that the partition holds"},
    {"CORRUPT_MESSAGE", Retry::retry, "the message is damaged: bad CRC, size or content"},
    {"UNKNOWN_TOPIC_OR_PARTITION", Retry::metadata, "this server does not host that topic or partition"},
    {"INVALID_FETCH_SIZE", Retry::final, "the fetch size is not valid"},
    {"LEADER_NOT_AVAILABLE", Retry::metadata, "the partition has no leader at the moment"},
    {"NOT_LEADER_OR_FOLLOWER", Retry::metadata,
     "this replica is neither the leader nor a follower that may serve the request"},
    {"REQUEST_TIMED_OUT", Retry::retry, "the request timed out"},
    {"BROKER_NOT_AVAILABLE", Retry::final, "the broker is not available"},
    {"REPLICA_NOT_AVAILABLE", Retry::metadata, "the replica is not available on this broker"},
    {"MESSAGE_TOO_LARGE", Retry::final, "the message is larger than the server accepts"},
    {"STALE_CONTROLLER_EPOCH", Retry::final, "the controller epoch is older than the latest known"},
    {"OFFSET_METADATA_TOO_LARGE", Retry::final, "the offset metadata text is too long"},
    {"NETWORK_EXCEPTION", Retry::metadata, "the connection was lost before a response arrived"},
    {"COORDINATOR_LOAD_IN_PROGRESS", Retry::retry, "the coordinator is still loading its state"},
    {"COORDINATOR_NOT_AVAILABLE", Retry::coordinator, "the coordinator is not available"},
    {"NOT_COORDINATOR", Retry::coordinator, "this broker is not the coordinator for that key"},
    {"INVALID_TOPIC_EXCEPTION", Retry::final, "the topic name is not valid"},
    {"RECORD_LIST_TOO_LARGE", Retry::final, "the record batch is larger than a segment may be"},
    {"NOT_ENOUGH_REPLICAS", Retry::retry, "fewer replicas are in sync than required"},
    {"NOT_ENOUGH_REPLICAS_AFTER_APPEND", Retry::retry,
     "the records were written, but to fewer in-sync replicas than required"},
    {"INVALID_REQUIRED_ACKS", Retry::final, "the required acks are not valid"},
    {"ILLEGAL_GENERATION", Retry::final, "the generation is not the group's current one"},
    {"INCONSISTENT_GROUP_PROTOCOL", Retry::final, "the protocols offered do not fit those of the group"},
    {"INVALID_GROUP_ID", Retry::final, "the group id is not valid"},
    {"UNKNOWN_MEMBER_ID", Retry::final, "the coordinator does not know this member"},
    {"INVALID_SESSION_TIMEOUT", Retry::final, "the session timeout lies outside the configured range"},
    {"REBALANCE_IN_PROGRESS", Retry::final, "the group is rebalancing"},
    {"INVALID_COMMIT_OFFSET_SIZE", Retry::final, "the offset commit is too large"},
    {"TOPIC_AUTHORIZATION_FAILED", Retry::final, "not authorized for the topic"},
    {"GROUP_AUTHORIZATION_FAILED", Retry::final, "not authorized for the group"},
    {"CLUSTER_AUTHORIZATION_FAILED", Retry::final, "not authorized for the cluster"},
    {"INVALID_TIMESTAMP", Retry::final, "the timestamp lies outside the accepted range"},
    {"UNSUPPORTED_SASL_MECHANISM", Retry::final, "the SASL mechanism is not supported"},
    {"ILLEGAL_SASL_STATE", Retry::final, "the request does not fit the state of the SASL exchange"},
    {"UNSUPPORTED_VERSION", Retry::final, "the version of the API is not supported"},
    {"TOPIC_ALREADY_EXISTS", Retry::final, "the topic exists already"},
    {"INVALID_PARTITIONS", Retry::final, "the number of partitions is not valid"},
    {"INVALID_REPLICATION_FACTOR", Retry::final, "the replication factor is not valid"},
    {"INVALID_REPLICA_ASSIGNMENT", Retry::final, "the replica assignment is not valid"},
    {"INVALID_CONFIG", Retry::final, "the configuration is not valid"},
    {"NOT_CONTROLLER", Retry::retry, "this is not the active controller"},
    {"INVALID_REQUEST", Retry::final, "the request is malformed or contradicts itself"},
    {"UNSUPPORTED_FOR_MESSAGE_FORMAT", Retry::final, "the message format on the broker does not support the request"},
    {"POLICY_VIOLATION", Retry::final, "the request breaks a configured policy"},
    {"OUT_OF_ORDER_SEQUENCE_NUMBER", Retry::final, "the sequence number is out of order"},
    {"DUPLICATE_SEQUENCE_NUMBER", Retry::final, "the sequence number was already written"},
    {"INVALID_PRODUCER_EPOCH", Retry::final, "the producer epoch is older than the current one"},
    {"INVALID_TXN_STATE", Retry::final, "the transaction is in a state that does not allow this"},
    {"INVALID_PRODUCER_ID_MAPPING", Retry::final, "the producer id does not belong to the transactional id"},
    {"INVALID_TRANSACTION_TIMEOUT", Retry::final, "the transaction timeout is larger than the server allows"},
    {"CONCURRENT_TRANSACTIONS", Retry::retry, "another transaction of this id is still being completed"},
    {"TRANSACTION_COORDINATOR_FENCED", Retry::final, "a newer transaction coordinator has taken over"},
    {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Retry::final, "not authorized for the transactional id"},
    {"SECURITY_DISABLED", Retry::final, "security features are disabled"},
    {"OPERATION_NOT_ATTEMPTED", Retry::final, "the operation was not attempted"},
    {"KAFKA_STORAGE_ERROR", Retry::metadata, "the log directory has a storage error"},
    {"LOG_DIR_NOT_FOUND", Retry::final, "the log directory is not found"},
    {"SASL_AUTHENTICATION_FAILED", Retry::final, "SASL authentication failed"},
    {"UNKNOWN_PRODUCER_ID", Retry::final, "the broker holds no state for the producer id"},
    {"REASSIGNMENT_IN_PROGRESS", Retry::final, "a reassignment of the partition is in progress"},
    {"DELEGATION_TOKEN_AUTH_DISABLED", Retry::final, "delegation tokens are disabled"},
    {"DELEGATION_TOKEN_NOT_FOUND", Retry::final, "the delegation token is not found"},
    {"DELEGATION_TOKEN_OWNER_MISMATCH", Retry::final, "the delegation token belongs to another principal"},
    {"DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", Retry::final, "delegation tokens are not allowed on this connection"},
    {"DELEGATION_TOKEN_AUTHORIZATION_FAILED", Retry::final, "not authorized for the delegation token"},
    {"DELEGATION_TOKEN_EXPIRED", Retry::final, "the delegation token has expired"},
    {"INVALID_PRINCIPAL_TYPE", Retry::final, "the principal type is not supported"},
    {"NON_EMPTY_GROUP", Retry::final, "the group is not empty"},
    {"GROUP_ID_NOT_FOUND", Retry::final, "the group id is not found"},
    {"FETCH_SESSION_ID_NOT_FOUND", Retry::retry, "the fetch session id is not found"},
    {"INVALID_FETCH_SESSION_EPOCH", Retry::retry, "the fetch session epoch is not the expected one"},
    {"LISTENER_NOT_FOUND", Retry::metadata, "the leader has no listener of that name"},
    {"TOPIC_DELETION_DISABLED", Retry::final, "topic deletion is disabled"},
    {"FENCED_LEADER_EPOCH", Retry::metadata, "the leader epoch is older than the broker's"},
    {"UNKNOWN_LEADER_EPOCH", Retry::retry, "the leader epoch is newer than the broker's"},
    {"UNSUPPORTED_COMPRESSION_TYPE", Retry::final, "the client's version does not support the compression type"},
    {"STALE_BROKER_EPOCH", Retry::final, "the broker epoch is out of date"},
    {"OFFSET_NOT_AVAILABLE", Retry::retry, "the leader does not know its high watermark yet"},
    {"MEMBER_ID_REQUIRED", Retry::final, "the member must join again with the id given to it"},
    {"PREFERRED_LEADER_NOT_AVAILABLE", Retry::metadata, "the preferred leader is not available"},
    {"GROUP_MAX_SIZE_REACHED", Retry::final, "the group has reached its largest size"},
    {"FENCED_INSTANCE_ID", Retry::final, "a newer member uses the same group instance id"},
    {"ELIGIBLE_LEADERS_NOT_AVAILABLE", Retry::metadata, "no eligible leader is available"},
    {"ELECTION_NOT_NEEDED", Retry::metadata, "a leader election is not needed"},
    {"NO_REASSIGNMENT_IN_PROGRESS", Retry::final, "no reassignment of the partition is in progress"},
    {"GROUP_SUBSCRIBED_TO_TOPIC", Retry::final, "the group is subscribed to the topic"},
    {"INVALID_RECORD", Retry::final, "a record of the batch failed validation"},
    {"UNSTABLE_OFFSET_COMMIT", Retry::retry, "offsets of an open transaction are not committed yet"},
    {"THROTTLING_QUOTA_EXCEEDED", Retry::retry, "the throttling quota is exceeded"},
    {"PRODUCER_FENCED", Retry::final, "a newer producer uses the same transactional id"},
    {"RESOURCE_NOT_FOUND", Retry::final, "the resource is not found"},
    {"DUPLICATE_RESOURCE", Retry::final, "the resource is given more than once"},
    {"UNACCEPTABLE_CREDENTIAL", Retry::final, "the credential does not meet the requirements"},
    {"INCONSISTENT_VOTER_SET", Retry::final, "the voter set contradicts the known one"},
    {"INVALID_UPDATE_VERSION", Retry::final, "the update version is not valid"},
    {"FEATURE_UPDATE_FAILED", Retry::final, "the features could not be updated"},
    {"PRINCIPAL_DESERIALIZATION_FAILURE", Retry::final, "the principal of a forwarded request could not be read"},
    {"SNAPSHOT_NOT_FOUND", Retry::final, "the snapshot is not found"},
    {"POSITION_OUT_OF_RANGE", Retry::final, "the position lies outside the snapshot"},
    {"UNKNOWN_TOPIC_ID", Retry::metadata, "this server does not host a topic with that id"},
    {"DUPLICATE_BROKER_REGISTRATION", Retry::final, "the broker id is registered by another broker"},
    {"BROKER_ID_NOT_REGISTERED", Retry::final, "the broker id is not registered"},
    {"INCONSISTENT_TOPIC_ID", Retry::metadata, "the topic id in the log is not the one in the request"},
    {"INCONSISTENT_CLUSTER_ID", Retry::final, "the cluster id is not that of this cluster"},
    {"TRANSACTIONAL_ID_NOT_FOUND", Retry::final, "the transactional id is not found"},
    {"FETCH_SESSION_TOPIC_ID_ERROR", Retry::retry, "the fetch session mixes topic ids and names"},
    {"INELIGIBLE_REPLICA", Retry::final, "the replica may not join the in-sync set"},
    {"NEW_LEADER_ELECTED", Retry::final, "a new leader was elected meanwhile"},
    {"OFFSET_MOVED_TO_TIERED_STORAGE", Retry::final, "the offset has moved to tiered storage"},
    {"FENCED_MEMBER_EPOCH", Retry::final, "the member epoch is fenced by the coordinator"},
    {"UNRELEASED_INSTANCE_ID", Retry::final, "the group instance id is still used by another member"},
    {"UNSUPPORTED_ASSIGNOR", Retry::final, "the assignor is not supported"},
    {"STALE_MEMBER_EPOCH", Retry::final, "the member epoch is out of date"},
    {"MISMATCHED_ENDPOINT_TYPE", Retry::final, "the request came to the wrong kind of endpoint"},
    {"UNSUPPORTED_ENDPOINT_TYPE", Retry::final, "the kind of endpoint is not supported"},
    {"UNKNOWN_CONTROLLER_ID", Retry::final, "the controller id is not known"},
    {"UNKNOWN_SUBSCRIPTION_ID", Retry::final, "the telemetry subscription id is out of date"},
    {"TELEMETRY_TOO_LARGE", Retry::final, "the telemetry data is larger than accepted"},
    {"INVALID_REGISTRATION", Retry::final, "the registration is not valid"},
    {"TRANSACTION_ABORTABLE", Retry::final, "the transaction must be aborted"},
    {"INVALID_RECORD_STATE", Retry::final, "the state of the record does not allow this"},
    {"SHARE_SESSION_NOT_FOUND", Retry::retry, "the share session is not found"},
    {"INVALID_SHARE_SESSION_EPOCH", Retry::retry, "the share session epoch is not the expected one"},
    {"FENCED_STATE_EPOCH", Retry::final, "the state epoch is older than the current one"},
    {"INVALID_VOTER_KEY", Retry::final, "the voter key is not that of the receiver"},
    {"DUPLICATE_VOTER", Retry::final, "the voter is already in the set"},
    {"VOTER_NOT_FOUND", Retry::final, "the voter is not in the set"},
    {"INVALID_REGULAR_EXPRESSION", Retry::final, "the regular expression is not valid"},
    {"REBOOTSTRAP_REQUIRED", Retry::final, "the client must bootstrap anew"},
    {"STREAMS_INVALID_TOPOLOGY", Retry::final, "the streams topology is not valid"},
    {"STREAMS_INVALID_TOPOLOGY_EPOCH", Retry::final, "the streams topology epoch is not valid"},
    {"STREAMS_TOPOLOGY_FENCED", Retry::final, "the streams topology epoch is out of date"},
    {"SHARE_SESSION_LIMIT_REACHED", Retry::retry, "the broker holds as many share sessions as it may"},
};
constexpr std::int16_t kHighest = static_cast<std::int16_t>(std::size(kRows)) + kLowest - 1;
static_assert(kHighest == to_wire(ErrorCode::share_session_limit_reached));

const Row& row_of(ErrorCode code) noexcept {
  return kRows[static_cast<std::size_t>(to_wire(error_code_from(to_wire(code))) - kLowest)];
}

class KafkaCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "kafka"; }
  std::string message(int value) const override {
    const Row& row = row_of(static_cast<ErrorCode>(value));
    return std::string(row.message) + " (" + std::string(row.name) + ")";
  }
};

// Only faults whose meaning a peer would read the same way.
ErrorCode code_of_fault(Errc errc) noexcept {
  switch (errc) {
    case Errc::timed_out: return ErrorCode::request_timed_out;
    case Errc::malformed: return ErrorCode::invalid_request;
    case Errc::checksum_mismatch: return ErrorCode::corrupt_message;
    case Errc::unsupported: return ErrorCode::unsupported_version;
    case Errc::invalid_argument: return ErrorCode::invalid_request;
    case Errc::end_of_stream: return ErrorCode::network_exception;
    default: return ErrorCode::unknown_server_error;
  }
}

}  // namespace

ErrorCode error_code_from(std::int16_t number) noexcept {
  if (number < kLowest || number > kHighest) return ErrorCode::unknown_server_error;
  return static_cast<ErrorCode>(number);
}

std::string_view name(ErrorCode code) noexcept { return row_of(code).name; }

std::string_view default_message(ErrorCode code) noexcept { return row_of(code).message; }

bool retriable(ErrorCode code) noexcept { return row_of(code).retry != Retry::final; }

bool needs_refresh(ErrorCode code) noexcept { return row_of(code).retry >= Retry::coordinator; }

bool needs_metadata(ErrorCode code) noexcept { return row_of(code).retry == Retry::metadata; }

const std::error_category& kafka_category() noexcept {
  static const KafkaCategory category;
  return category;
}

std::error_code make_error_code(ErrorCode code) noexcept { return {to_wire(code), kafka_category()}; }

Error kafka_error(ErrorCode code, std::string context) {
  KLAMM_CHECK(code != ErrorCode::none);
  return {make_error_code(code), std::move(context), retriable(code)};
}

ErrorCode code_of(const Error& error) noexcept {
  const std::error_code& code = error.code();
  if (code.category() == kafka_category()) return error_code_from(static_cast<std::int16_t>(code.value()));
  if (code.category() == klamm_category()) return code_of_fault(static_cast<Errc>(code.value()));
  return ErrorCode::unknown_server_error;
}

}  // namespace klamm::protocol
