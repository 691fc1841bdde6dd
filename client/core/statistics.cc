// Statistics as JSON, with librdkafka's names where it has such a counter (its STATISTICS.md).
#include "klamm/statistics.h"

#include <nlohmann/json.hpp>

namespace klamm {

namespace {

using Json = nlohmann::ordered_json;

std::int64_t micros(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

Json brokers_json(const std::vector<BrokerStatistics>& brokers) {
  Json all = Json::object();
  for (const BrokerStatistics& broker : brokers) {
    const std::string name = broker.address + "/" + std::to_string(broker.broker_id);
    Json one;
    one["name"] = name;
    one["nodeid"] = broker.broker_id;
    one["nodename"] = broker.address;
    one["state"] = broker.connected ? "UP" : "DOWN";
    one["tx"] = broker.requests;
    one["txbytes"] = broker.sent_bytes;
    one["rx"] = broker.responses;
    one["rxbytes"] = broker.received_bytes;
    one["req_timeouts"] = broker.timeouts;
    one["connects"] = broker.connects;
    one["disconnects"] = broker.disconnects;
    one["waitresp_cnt"] = broker.in_flight;
    one["rtt"] = {{"avg", micros(broker.average_round_trip)}};
    all[name] = std::move(one);
  }
  return all;
}

}  // namespace

std::string ProducerStatistics::to_json() const {
  Json json;
  json["type"] = "producer";
  json["client_id"] = client_id;
  json["ts"] = time_ms;
  json["msg_cnt"] = records_queued;
  json["msg_size"] = buffer_bytes;
  json["msg_size_max"] = buffer_limit_bytes;
  json["txmsgs"] = records_delivered;
  json["txmsg_bytes"] = bytes_delivered;
  json["records_sent"] = records_sent;
  json["records_failed"] = records_failed;
  json["batches"] = batches_delivered;
  json["batches_retried"] = batches_retried;
  json["batches_split"] = batches_split;
  json["buffer_full"] = buffer_full;
  json["eos"] = {{"epoch_cnt", epoch_bumps}};
  json["brokers"] = brokers_json(brokers);
  return json.dump();
}

std::string ConsumerStatistics::to_json() const {
  Json json;
  json["type"] = "consumer";
  json["client_id"] = client_id;
  json["ts"] = time_ms;
  json["rxmsgs"] = records;
  json["rxmsg_bytes"] = record_bytes;
  json["fetches"] = fetches;
  json["fetched_bytes"] = fetched_bytes;
  json["fetchq_size"] = buffered_bytes;
  Json topics = Json::object();
  for (const ConsumerPartitionStatistics& partition : partitions) {
    Json one;
    one["partition"] = partition.partition;
    one["app_offset"] = partition.position;
    one["hi_offset"] = partition.high_watermark;
    one["consumer_lag"] = partition.lag;
    one["fetchq_size"] = partition.buffered_bytes;
    one["fetch_state"] = partition.paused ? "stopped" : "active";
    Json& topic = topics[partition.topic];
    topic["topic"] = partition.topic;
    topic["partitions"][std::to_string(partition.partition)] = std::move(one);
  }
  json["topics"] = std::move(topics);
  json["brokers"] = brokers_json(brokers);
  return json.dump();
}

}  // namespace klamm
