#include "broker/handler/forwarder.h"

#include <algorithm>

#include "broker/handler/envelope.h"
#include "broker/metadata/image.h"
#include "protocol/messages/describe_quorum_request.h"
#include "protocol/messages/describe_quorum_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

// How long the leader may take to say how far it has committed.
constexpr Duration kAskPatience = 2s;

}  // namespace

Slice Forwarder::join(const protocol::RequestHeader& header, const Slice& body) {
  const protocol::ApiInfo& api = protocol::api_info(static_cast<protocol::ApiKey>(header.request_api_key));
  const std::int16_t header_version = api.request_header_version(header.request_api_version);
  wire::Writer writer(header.encoded_size(header_version) + body.size(), wire::RecordsMode::copy);
  header.encode(writer, header_version);
  writer.write_raw(body);
  return writer.take_slice();
}

io::Task<Result<Forwarder::Answer>> Forwarder::forward(Slice request, const security::RequestContext& sender,
                                                       Instant deadline, bool changes_metadata) {
  const auto correlation_id = load_big_endian<std::int32_t>(request.data() + 2 * sizeof(std::int16_t));
  bool was_local = false;
  const auto in_process = [this, &sender, &was_local](protocol::EnvelopeRequest envelope) {
    was_local = true;
    return open_envelope(*local_, std::move(envelope), sender.listener);
  };
  const Instant patience = std::min(deadline, channel_.shard().now() + kPatience);
  Result<protocol::EnvelopeResponse> envelope =
      co_await channel_.call_by(make_envelope(std::move(request), sender), patience, in_process);
  KLAMM_CO_TRY(envelope);
  const ErrorCode error = protocol::error_code_from(envelope->error_code);
  if (error == ErrorCode::unsupported_version) {
    co_return fail(protocol::kafka_error(error, "the controller does not know the request"));
  }
  if (error != ErrorCode::none) {
    co_return fail(protocol::kafka_error(ErrorCode::unknown_server_error,
                                         "the controller refused the envelope: " + std::string(protocol::name(error))));
  }
  Answer answer;
  if (envelope->response_data) answer.response = *envelope->response_data;
  if (answer.response.size() < sizeof correlation_id ||
      load_big_endian<std::int32_t>(answer.response.data()) != correlation_id) {
    co_return fail(protocol::kafka_error(ErrorCode::unknown_server_error, "the controller answered another request"));
  }
  if (changes_metadata) answer.committed = co_await committed_offset(was_local, patience);
  co_return answer;
}

// Where the metadata log is committed to, which the answer's changes are part of.
io::Task<std::int64_t> Forwarder::committed_offset(bool was_local, Instant deadline) {
  if (was_local) co_return local_->raft.high_watermark() - 1;
  protocol::DescribeQuorumRequest request;
  auto& topic = request.topics.emplace_back();
  topic.topic_name = std::string(metadata::kMetadataTopicName);
  topic.partitions.emplace_back().partition_index = 0;
  const Instant patience = std::min(deadline, channel_.shard().now() + kAskPatience);
  Result<protocol::DescribeQuorumResponse> quorum = co_await channel_.call(std::move(request), patience);
  const bool told = quorum && quorum->topics.size() == 1 && quorum->topics[0].partitions.size() == 1 &&
                    quorum->topics[0].partitions[0].error_code == 0;
  if (!told) co_return -1;
  co_return quorum->topics[0].partitions[0].high_watermark - 1;
}

}  // namespace klamm::handler
