// A broker of one topic ("bench", one partition) in a child process, so that callgrind counts the client alone:
// swallows what is produced, and gives the same batches again and again under growing offsets.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "protocol/messages/api_versions_request.h"
#include "protocol/messages/api_versions_response.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/messages/init_producer_id_request.h"
#include "protocol/messages/init_producer_id_response.h"
#include "protocol/messages/list_offsets_request.h"
#include "protocol/messages/list_offsets_response.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/metadata_response.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"
#include "protocol/record/batch_builder.h"
#include "protocol/wire/message.h"

namespace klamm::bench {

class StubBroker {
 public:
  // Forks the broker; the port is known when this returns. `value_bytes`: of the records that are fetched.
  explicit StubBroker(std::size_t value_bytes) : value_bytes_(value_bytes) {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener, 8) != 0 || ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    child_ = ::fork();
    if (child_ == 0) {
      for (;;) {
        const int peer = ::accept(listener, nullptr, nullptr);
        if (peer < 0) std::_Exit(1);
        if (::fork() == 0) serve(peer);
        ::close(peer);
      }
    }
    ::close(listener);
  }
  ~StubBroker() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  std::string bootstrap() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  static void read_all(int from, std::byte* into, std::size_t bytes) {
    while (bytes > 0) {
      const ssize_t got = ::recv(from, into, bytes, 0);
      if (got <= 0) std::_Exit(0);
      into += got;
      bytes -= static_cast<std::size_t>(got);
    }
  }
  static void write_all(int to, Bytes bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (put <= 0) std::_Exit(0);
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
  }

  template <typename Request>
  static void offer(protocol::ApiVersionsResponse& response) {
    auto& api = response.api_keys.emplace_back();
    api.api_key = static_cast<std::int16_t>(Request::kApiKey);
    api.min_version = Request::kMinVersion;
    api.max_version = Request::kMaxStableVersion;
  }
  template <typename Message>
  static void answer(int to, std::int32_t correlation_id, bool tags, const Message& message, std::int16_t version) {
    const Slice body = wire::encode_message(message, version);
    std::byte head[9];
    const std::size_t head_bytes = tags ? 9 : 8;
    store_big_endian(head, static_cast<std::int32_t>(head_bytes - 4 + body.size()));
    store_big_endian(head + 4, correlation_id);
    head[8] = std::byte{0};
    write_all(to, {head, head_bytes});
    write_all(to, body);
  }

  void fill_batch() {
    const std::string value(value_bytes_, 'v');
    compress::Codecs codecs;
    record::BatchBuilder builder(record::BatchOptions{.size_limit_bytes = 16384});
    while (builder.append(1'700'000'000'000 + builder.record_count(), nullptr, value)) {
    }
    batch_ = *builder.build(codecs);
    batch_records_ = record::BatchView::parse(batch_)->record_count();
  }

  [[noreturn]] void serve(int peer) {
    using namespace protocol;
    const int yes = 1;
    ::setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fill_batch();
    const Uuid id{1, 2};
    std::int64_t produced = 0;
    for (;;) {
      std::byte head[4];
      read_all(peer, head, 4);
      const auto bytes = static_cast<std::size_t>(load_big_endian<std::int32_t>(head));
      Buffer::Ref buffer = Buffer::allocate(bytes);
      read_all(peer, buffer->data(), bytes);
      wire::Reader reader(Slice(buffer, bytes));
      const auto key = static_cast<ApiKey>(reader.read_int16());
      const std::int16_t version = reader.read_int16();
      const std::int32_t correlation_id = reader.read_int32();
      (void)reader.read_nullable_string(false);
      wire::UnknownTags tags;
      reader.read_unknown_tags(tags);  // the newest version of each is flexible
      const Slice body = reader.read_rest();
      if (key == ApiKey::api_versions) {
        ApiVersionsResponse response;
        offer<ApiVersionsRequest>(response);
        offer<MetadataRequest>(response);
        offer<InitProducerIdRequest>(response);
        offer<ProduceRequest>(response);
        offer<ListOffsetsRequest>(response);
        offer<FetchRequest>(response);
        answer(peer, correlation_id, false, response, version);
      } else if (key == ApiKey::metadata) {
        MetadataResponse response;
        auto& broker = response.brokers.emplace_back();
        broker.node_id = 1;
        broker.host = "127.0.0.1";
        broker.port = port_;
        response.controller_id = 1;
        auto& topic = response.topics.emplace_back();
        topic.name = "bench";
        topic.topic_id = id;
        auto& partition = topic.partitions.emplace_back();
        partition.leader_id = 1;
        partition.leader_epoch = 0;
        partition.replica_nodes = partition.isr_nodes = {1};
        answer(peer, correlation_id, true, response, version);
      } else if (key == ApiKey::init_producer_id) {
        InitProducerIdResponse response;
        response.producer_id = 1;
        answer(peer, correlation_id, true, response, version);
      } else if (key == ApiKey::produce) {
        const Result<ProduceRequest> request = wire::decode_message<ProduceRequest>(body, version);
        ProduceResponse response;
        auto& topic = response.responses.emplace_back();
        topic.topic_id = id;
        auto& partition = topic.partition_responses.emplace_back();
        partition.base_offset = produced;
        const Slice records = request->topic_data.at(0).partition_data.at(0).records.slice();
        produced += load_big_endian<std::int32_t>(records.data() + record::kRecordCountPosition);
        answer(peer, correlation_id, true, response, version);
      } else if (key == ApiKey::list_offsets) {
        ListOffsetsResponse response;
        auto& topic = response.topics.emplace_back();
        topic.name = "bench";
        topic.partitions.emplace_back().offset = 0;
        answer(peer, correlation_id, true, response, version);
      } else if (key == ApiKey::fetch) {
        fetch(peer, correlation_id, version, body, id);
      } else {
        std::_Exit(1);
      }
    }
  }

  void fetch(int peer, std::int32_t correlation_id, std::int16_t version, const Slice& body, const Uuid& id) const {
    const Result<protocol::FetchRequest> request = wire::decode_message<protocol::FetchRequest>(body, version);
    const auto& asked = request->topics.at(0).partitions.at(0);
    protocol::FetchResponse response;
    auto& topic = response.responses.emplace_back();
    topic.topic_id = id;
    auto& partition = topic.partitions.emplace_back();
    partition.high_watermark = partition.last_stable_offset = INT64_MAX;
    const std::size_t batches = static_cast<std::size_t>(asked.partition_max_bytes) / batch_.size();
    Buffer::Ref buffer = Buffer::allocate(batches * batch_.size());
    for (std::size_t index = 0; index < batches; ++index) {
      std::byte* const at = buffer->data() + index * batch_.size();
      std::memcpy(at, batch_.data(), batch_.size());
      record::patch_base_offset({at, batch_.size()},
                                asked.fetch_offset + static_cast<std::int64_t>(index) * batch_records_);
    }
    partition.records = wire::Records(Slice(buffer, batches * batch_.size()));
    answer(peer, correlation_id, true, response, version);
  }

  std::size_t value_bytes_;
  std::uint16_t port_ = 0;
  pid_t child_ = -1;
  Slice batch_;
  std::int32_t batch_records_ = 0;
};

}  // namespace klamm::bench
