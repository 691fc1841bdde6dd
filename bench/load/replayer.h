// A client that does next to nothing, so that the broker alone is measured: Produce frames that were encoded once, and
// fetches whose records are thrown away by the kernel. Blocking sockets, versions that need no topic ids.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "protocol/messages/create_topics_request.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"
#include "protocol/record/batch_builder.h"
#include "protocol/record/record.h"
#include "protocol/wire/message.h"

namespace klamm::bench {

class Replayer {
 public:
  static constexpr std::int16_t kProduceVersion = 8;
  static constexpr std::int16_t kFetchVersion = 11;
  static constexpr std::int16_t kCreateTopicsVersion = 4;
  static constexpr int kInFlight = 5;
  static constexpr int kFetchesInFlight = 2;  // the next one is there when one is answered

  // `bootstrap`: "127.0.0.1:9092". `batch_bytes`: of the batches that are produced, with records of `record_bytes`.
  Replayer(const std::string& bootstrap, std::string topic, std::size_t batch_bytes, std::size_t record_bytes = 100)
      : topic_(std::move(topic)) {
    const std::size_t colon = bootstrap.rfind(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(bootstrap.c_str() + colon + 1)));
    require(::inet_pton(AF_INET, bootstrap.substr(0, colon).c_str(), &address.sin_addr) == 1, "an address of IPv4");
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "a connection");
    const int yes = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    make_batch(batch_bytes, record_bytes);
  }
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;
  ~Replayer() { ::close(socket_); }

  std::int32_t batch_records() const { return batch_records_; }
  std::int64_t batch_bytes() const { return static_cast<std::int64_t>(batch_.size()); }

  // With segments of `segment_bytes`.
  void create_topic(std::int32_t segment_bytes) {
    protocol::CreateTopicsRequest request;
    request.timeout_ms = 30'000;
    auto& topic = request.topics.emplace_back();
    topic.name = topic_;
    topic.num_partitions = 1;
    topic.replication_factor = 1;
    auto& config = topic.configs.emplace_back();
    config.name = "segment.bytes";
    config.value = std::to_string(segment_bytes);
    send_all(frame(request, kCreateTopicsVersion));
    auto response = wire::decode_message<protocol::CreateTopicsResponse>(receive_frame(), kCreateTopicsVersion);
    require(response && response->topics.at(0).error_code == 0, "a created topic");
  }

  // Sends the same batch `requests` times, kInFlight requests at once, and checks every answer.
  void produce(std::int64_t requests) {
    protocol::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 30'000;
    auto& topic = request.topic_data.emplace_back();
    topic.name = topic_;
    topic.partition_data.emplace_back().records = wire::Records(batch_);
    const Slice encoded = frame(request, kProduceVersion);
    std::int64_t sent = 0;
    for (std::int64_t answered = 0; answered < requests; ++answered) {
      for (; sent < requests && sent < answered + kInFlight; ++sent) send_all(encoded);
      auto response = wire::decode_message<protocol::ProduceResponse>(receive_frame(), kProduceVersion);
      require(response && response->responses.at(0).partition_responses.at(0).error_code == 0, "an acknowledged batch");
    }
  }

  // Fetches until at least `records` came, kFetchesInFlight requests at once, from the start of the topic again when
  // its `end` is near; the topic must hold batches of this replayer only. Returns the records and bytes that came.
  struct Fetched {
    std::int64_t requests = 0;
    std::int64_t records = 0;
    std::int64_t bytes = 0;
  };
  Fetched fetch(std::int64_t records, std::int64_t end, std::int32_t max_bytes) {
    const std::int64_t step = std::max<std::int64_t>(1, max_bytes / batch_bytes()) * batch_records_;
    require(step <= end, "a topic that is larger than a fetch");
    Fetched got;
    std::int64_t offset = 0;
    std::int64_t asked = 0;
    while (got.records < records) {
      for (; asked < got.requests + kFetchesInFlight; ++asked) {
        send_all(frame(fetch_request(offset, max_bytes), kFetchVersion));
        offset = offset + 2 * step <= end ? offset + step : 0;
      }
      take(got, step);
    }
    while (got.requests < asked) take(got, step);
    return got;
  }

 private:
  static void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "replayer: wanted %s\n", what);
    std::exit(1);
  }

  // An answer of `step` records.
  void take(Fetched& got, std::int64_t step) {
    const std::int64_t bytes = receive_records();
    require(bytes / batch_bytes() == step / batch_records_, "as many whole batches as were asked for");
    got.records += step;
    got.bytes += bytes;
    ++got.requests;
  }

  void make_batch(std::size_t bytes, std::size_t record_bytes) {
    compress::Codecs codecs;
    record::BatchBuilder builder({.size_limit_bytes = bytes, .initial_bytes = bytes});
    const std::string value(record_bytes, 'v');
    // Of today: retention would take old ones away while they are fetched.
    const std::int64_t now_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    while (builder.append(now_ms + builder.record_count() / 100, nullptr, value)) {
    }
    batch_records_ = builder.record_count();
    batch_ = *builder.build(codecs);
  }

  protocol::FetchRequest fetch_request(std::int64_t offset, std::int32_t max_bytes) const {
    protocol::FetchRequest request;
    request.max_wait_ms = 500;
    request.min_bytes = 1;
    auto& topic = request.topics.emplace_back();
    topic.topic = topic_;
    auto& partition = topic.partitions.emplace_back();
    partition.fetch_offset = offset;
    partition.partition_max_bytes = max_bytes;
    return request;
  }

  template <typename Request>
  static Slice frame(const Request& request, std::int16_t version) {
    constexpr std::size_t kHead = 4 + 2 + 2 + 4 + 2;  // size, key, version, correlation id, a null client id
    const Slice body = wire::encode_message(request, version);
    Buffer::Ref buffer = Buffer::allocate(kHead + body.size());
    std::byte* at = buffer->data();
    store_big_endian(at, static_cast<std::int32_t>(kHead - 4 + body.size()));
    store_big_endian(at + 4, static_cast<std::int16_t>(Request::kApiKey));
    store_big_endian(at + 6, version);
    store_big_endian(at + 8, std::int32_t{7});
    store_big_endian(at + 12, std::int16_t{-1});
    std::memcpy(at + kHead, body.data(), body.size());
    return Slice(buffer, kHead + body.size());
  }

  void send_all(const Slice& bytes) const {
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t put = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      require(put > 0, "a connection that takes bytes");
      sent += static_cast<std::size_t>(put);
    }
  }
  void receive(std::byte* into, std::size_t bytes) const {
    const ssize_t got = ::recv(socket_, into, bytes, MSG_WAITALL);
    require(got == static_cast<ssize_t>(bytes), "an answer");
  }
  // The body of an answer.
  Slice receive_frame() const {
    std::byte head[8];
    receive(head, sizeof head);
    const auto bytes = static_cast<std::size_t>(load_big_endian<std::int32_t>(head)) - 4;
    Buffer::Ref buffer = Buffer::allocate(bytes);
    receive(buffer->data(), bytes);
    return Slice(buffer, bytes);
  }
  // Takes the head of a Fetch answer, and has the kernel drop the records. Returns their bytes.
  std::int64_t receive_records() {
    const std::size_t error_at = 4 + 4 + 4 + 2 + 4 + 4 + 2 + topic_.size() + 4 + 4;
    const std::size_t head_bytes = error_at + 2 + 8 + 8 + 8 + 4 + 4 + 4;
    head_.resize(head_bytes);
    auto* head = reinterpret_cast<std::byte*>(head_.data());
    receive(head, head_bytes);
    const std::string error = "a fetch without error " + std::to_string(load_big_endian<std::int16_t>(head + error_at));
    require(error.ends_with(" 0"), error.c_str());
    const std::int64_t bytes = load_big_endian<std::int32_t>(head + head_bytes - 4);
    require(load_big_endian<std::int32_t>(head) == static_cast<std::int64_t>(head_bytes) - 4 + bytes,
            "one partition in an answer");
    for (std::int64_t left = bytes; left > 0;) {
      const ssize_t dropped = ::recv(socket_, nullptr, static_cast<std::size_t>(left), MSG_TRUNC);
      require(dropped > 0, "the whole answer");
      left -= dropped;
    }
    return bytes;
  }

  std::string topic_;
  int socket_ = -1;
  Slice batch_;
  std::int32_t batch_records_ = 0;
  std::string head_;
};

}  // namespace klamm::bench
