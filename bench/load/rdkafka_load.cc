// Load by librdkafka's C API, as its own performance program drives it (one application thread):
//   rdkafka_load produce <bootstrap> <topic> <records> <bytes a value>
//   rdkafka_load consume <bootstrap> <topic> <records>          rd_kafka_consume_batch_queue, its fastest way
//   rdkafka_load poll    <bootstrap> <topic> <records>          rd_kafka_consumer_poll, its usual way
//   rdkafka_load latency <bootstrap> <topic> <records a second> <seconds>
// See meter.h.
#include <rdkafka.h>

#include <cstring>
#include <initializer_list>
#include <string>
#include <thread>
#include <utility>

#include "bench/load/meter.h"

namespace {

using namespace klamm::bench;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

using Settings = std::initializer_list<std::pair<const char*, const char*>>;

struct Counts {
  std::int64_t delivered = 0;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) fail(rd_kafka_err2str(message->err));
  ++static_cast<Counts*>(opaque)->delivered;
}

rd_kafka_t* open(rd_kafka_type_t type, const char* bootstrap, Settings settings, Counts* counts = nullptr) {
  rd_kafka_conf_t* config = rd_kafka_conf_new();
  char error[512];
  const auto set = [&](const char* key, const char* value) {
    if (rd_kafka_conf_set(config, key, value, error, sizeof error) != RD_KAFKA_CONF_OK) fail(error);
  };
  set("bootstrap.servers", bootstrap);
  set("socket.nagle.disable", "true");
  for (const auto& [key, value] : settings) set(key, value);
  rd_kafka_conf_set_opaque(config, counts);
  if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_dr_msg_cb(config, on_delivery);
  rd_kafka_t* client = rd_kafka_new(type, config, error, sizeof error);
  if (client == nullptr) fail(error);
  return client;
}

rd_kafka_t* open_producer(const char* bootstrap, const char* linger_ms, Counts* counts) {
  return open(RD_KAFKA_PRODUCER, bootstrap,
              {{"enable.idempotence", "true"},
               {"linger.ms", linger_ms},
               {"batch.size", kBatchBytes},
               {"batch.num.messages", "1000000"},
               {"queue.buffering.max.messages", "1000000"},
               {"queue.buffering.max.kbytes", "1048576"}},
              counts);
}

rd_kafka_t* open_consumer(const char* bootstrap) {
  return open(RD_KAFKA_CONSUMER, bootstrap,
              {{"group.id", "bench"},
               {"enable.auto.commit", "false"},
               {"enable.auto.offset.store", "false"},
               {"auto.offset.reset", "earliest"},
               {"fetch.queue.backoff.ms", "10"},
               {"check.crcs", "true"}});
}

void assign(rd_kafka_t* consumer, const char* topic, std::int64_t offset) {
  rd_kafka_topic_partition_list_t* partitions = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(partitions, topic, 0)->offset = offset;
  const rd_kafka_resp_err_t error = rd_kafka_assign(consumer, partitions);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) fail(rd_kafka_err2str(error));
  rd_kafka_topic_partition_list_destroy(partitions);
}

void send_all(rd_kafka_t* producer, const char* topic_name, const std::string& value, long count) {
  rd_kafka_topic_t* topic = rd_kafka_topic_new(producer, topic_name, nullptr);
  std::string copy = value;  // librdkafka's signature is not const
  for (long index = 0; index < count; ++index) {
    while (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, copy.data(), copy.size(), nullptr, 0, nullptr) != 0) {
      if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail(rd_kafka_err2str(rd_kafka_last_error()));
      rd_kafka_poll(producer, 10);
    }
    if (index % 1024 == 0) rd_kafka_poll(producer, 0);
  }
  if (rd_kafka_flush(producer, 60'000) != RD_KAFKA_RESP_ERR_NO_ERROR) fail("flush took too long");
  rd_kafka_topic_destroy(topic);
}

void produce(const char* bootstrap, const char* topic, long count, std::size_t value_bytes) {
  Counts counts;
  rd_kafka_t* producer = open_producer(bootstrap, kLingerMs, &counts);
  const std::string value(value_bytes, 'v');
  send_all(producer, topic, value, 1);
  counts.delivered = 0;
  Meter meter;
  meter.start();
  send_all(producer, topic, value, count);
  meter.stop(counts.delivered, counts.delivered * static_cast<std::int64_t>(value_bytes));
  rd_kafka_destroy(producer);
}

struct Seen {
  std::int64_t records = 0;
  std::int64_t bytes = 0;
  std::int64_t offsets = 0;

  void add(const rd_kafka_message_t& message) {
    if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) fail(rd_kafka_message_errstr(&message));
    ++records;
    bytes += static_cast<std::int64_t>(message.len);
    offsets += message.offset;
  }
};

Seen read_batches(rd_kafka_t* consumer, long count) {
  rd_kafka_queue_t* queue = rd_kafka_queue_get_consumer(consumer);
  std::vector<rd_kafka_message_t*> messages(10'000);
  Seen seen;
  while (seen.records < count) {
    const ssize_t got = rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
    for (ssize_t index = 0; index < got; ++index) {
      rd_kafka_message_t* message = messages[static_cast<std::size_t>(index)];
      seen.add(*message);
      rd_kafka_message_destroy(message);
    }
  }
  rd_kafka_queue_destroy(queue);
  return seen;
}

Seen read_singly(rd_kafka_t* consumer, long count) {
  Seen seen;
  while (seen.records < count) {
    rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, 1000);
    if (message == nullptr) continue;
    seen.add(*message);
    rd_kafka_message_destroy(message);
  }
  return seen;
}

void consume(const char* bootstrap, const char* topic, long count, Seen (*read)(rd_kafka_t*, long)) {
  rd_kafka_t* warm = open_consumer(bootstrap);
  assign(warm, topic, RD_KAFKA_OFFSET_BEGINNING);
  read_singly(warm, 1);
  rd_kafka_consumer_close(warm);
  rd_kafka_destroy(warm);

  rd_kafka_t* consumer = open_consumer(bootstrap);
  rd_kafka_topic_t* known = rd_kafka_topic_new(consumer, topic, nullptr);
  const rd_kafka_metadata_t* metadata = nullptr;  // connects
  if (rd_kafka_metadata(consumer, 0, known, &metadata, 10'000) != RD_KAFKA_RESP_ERR_NO_ERROR) fail("no metadata");
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_destroy(known);
  Meter meter;
  meter.start();
  assign(consumer, topic, RD_KAFKA_OFFSET_BEGINNING);
  const Seen seen = read(consumer, count);
  meter.stop(seen.records, seen.bytes);
  if (seen.offsets < 0) fail("offsets are negative");
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
}

void wait_until(std::int64_t time_ns) {
  const timespec time{time_ns / 1'000'000'000, time_ns % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) != 0) {
  }
}

// Records at a fixed rate from one thread, each with the time at which it was due; another thread reads them.
void latency(const char* bootstrap, const char* topic_name, long rate, long seconds) {
  Counts counts;
  rd_kafka_t* producer = open_producer(bootstrap, "0", &counts);
  rd_kafka_t* consumer = open_consumer(bootstrap);
  send_all(producer, topic_name, std::string(100, '\0'), 1);
  assign(consumer, topic_name, RD_KAFKA_OFFSET_BEGINNING);
  read_singly(consumer, 1);
  std::puts("ready");
  std::fflush(stdout);
  (void)std::getchar();

  const long warm = rate;  // the first second does not count
  const long count = warm + rate * seconds;
  Latencies latencies;
  std::thread reader([&] {
    for (long got = 0; got < count; ++got) {
      rd_kafka_message_t* message = nullptr;
      while (message == nullptr) message = rd_kafka_consumer_poll(consumer, 1000);
      if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) fail(rd_kafka_message_errstr(message));
      std::int64_t due_ns = 0;
      std::memcpy(&due_ns, message->payload, sizeof due_ns);
      if (got >= warm) latencies.add(now_ns() - due_ns);
      rd_kafka_message_destroy(message);
    }
  });
  rd_kafka_topic_t* topic = rd_kafka_topic_new(producer, topic_name, nullptr);
  std::string value(100, 'v');
  const std::int64_t start_ns = now_ns();
  for (long index = 0; index < count; ++index) {
    const std::int64_t due_ns = start_ns + index * (1'000'000'000 / rate);
    wait_until(due_ns);
    std::memcpy(value.data(), &due_ns, sizeof due_ns);
    if (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value.data(), value.size(), nullptr, 0, nullptr) != 0) {
      fail(rd_kafka_err2str(rd_kafka_last_error()));
    }
    rd_kafka_poll(producer, 0);
  }
  rd_kafka_flush(producer, 10'000);
  reader.join();
  latencies.print();
  rd_kafka_topic_destroy(topic);
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
  rd_kafka_destroy(producer);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "produce" && argc == 6) {
    produce(argv[2], argv[3], number(argv[4]), static_cast<std::size_t>(number(argv[5])));
  } else if (mode == "consume" && argc == 5) {
    consume(argv[2], argv[3], number(argv[4]), read_batches);
  } else if (mode == "poll" && argc == 5) {
    consume(argv[2], argv[3], number(argv[4]), read_singly);
  } else if (mode == "latency" && argc == 6) {
    latency(argv[2], argv[3], number(argv[4]), number(argv[5]));
  } else {
    std::fputs("usage: rdkafka_load produce|consume|poll|latency <bootstrap> <topic> <number>...\n", stderr);
    return 2;
  }
}
