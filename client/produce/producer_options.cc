#include "client/produce/producer_options.h"

#include "client/core/settings.h"

namespace klamm::client {

ClusterOptions producer_cluster(const ProducerSettings& settings) {
  ClusterOptions options = cluster_options(settings.common);
  options.metadata_max_idle = milliseconds(settings.metadata_max_idle_ms);
  options.allow_auto_create_topics = true;
  return options;
}

AccumulatorOptions accumulator_options(const ProducerSettings& settings) {
  AccumulatorOptions options;
  options.batch_bytes = static_cast<std::size_t>(settings.batch_size);
  options.buffer_bytes = static_cast<std::uint64_t>(settings.buffer_memory);
  options.max_request_bytes = static_cast<std::size_t>(settings.max_request_size);
  options.compression = static_cast<compress::Compression>(settings.compression_type);
  switch (settings.compression_type) {
    case Compression::gzip: options.compression_level = settings.compression_gzip_level; break;
    case Compression::lz4: options.compression_level = settings.compression_lz4_level; break;
    case Compression::zstd: options.compression_level = settings.compression_zstd_level; break;
    case Compression::none:
    case Compression::snappy: break;
  }
  options.linger = milliseconds(settings.linger_ms);
  options.delivery_timeout = milliseconds(settings.delivery_timeout_ms);
  options.availability_timeout = milliseconds(settings.partitioner_availability_timeout_ms);
  options.sticky = {static_cast<std::size_t>(settings.batch_size), settings.partitioner_adaptive};
  return options;
}

SenderOptions sender_options(const ProducerSettings& settings) {
  SenderOptions options;
  options.acks = static_cast<std::int16_t>(settings.acks);
  options.idempotent = settings.enable_idempotence;
  options.max_in_flight = static_cast<std::uint32_t>(settings.max_in_flight_requests_per_connection);
  options.retries = static_cast<std::uint32_t>(settings.retries);
  options.retry_backoff = milliseconds(settings.common.retry_backoff_ms);
  options.retry_backoff_max = milliseconds(settings.common.retry_backoff_max_ms);
  options.request_timeout = milliseconds(settings.common.request_timeout_ms);
  options.delivery_timeout = milliseconds(settings.delivery_timeout_ms);
  return options;
}

}  // namespace klamm::client
