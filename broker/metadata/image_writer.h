// An image as records, in the order and the versions that Kafka writes a snapshot in. Pure.
#pragma once

#include <cstdint>
#include <memory>

#include "broker/metadata/delta.h"
#include "broker/metadata/image.h"
#include "broker/metadata/record.h"

namespace klamm::metadata {

// Makes the records step by step, so that a large image does not hold up a shard:
//   for (ImageWriter writer(image); writer.next(records);) { use and clear records; }
class ImageWriter {
 public:
  explicit ImageWriter(ImageRef image);
  // Appends the next records, a thousand or so; false if there are none left.
  bool next(Records& records);

 private:
  enum class Part { features, brokers, controllers, topics, configs, quotas, producer_ids, acls, scram, tokens, done };
  void write_part(Records& records);
  void write_topics(Records& records);

  ImageRef image_;
  MetadataVersion version_;
  Part part_ = Part::features;
  PersistentMap<Uuid, TopicRef>::Iterator topic_;
  std::int32_t partition_ = -1;  // next partition of *topic_; -1: the topic itself
};

// All of it at once.
Records write_image(const ImageRef& image);
// What makes the image out of nothing.
std::shared_ptr<const MetadataDelta> full_delta(const ImageRef& image);

// Single records, in the version that `version` calls for.
Record broker_record(const BrokerRegistration& broker, MetadataVersion version);
Record controller_record(const ControllerRegistration& controller);
Record partition_record(const Uuid& topic, std::int32_t index, const PartitionRegistration& partition,
                        MetadataVersion version);
Record feature_record(std::string_view name, std::int16_t level);
Record config_record(const ConfigResource& resource, std::string_view name, std::optional<std::string> value);

}  // namespace klamm::metadata
