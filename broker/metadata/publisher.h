// Brings every new image to every shard. One Publisher a node; the Loader feeds it on the raft node's shard.
//
// A publication goes out in two steps. First each subscriber's callback runs on its shard, in the order of
// subscription, shards beside each other; when all are done, each shard's current image is replaced. So whoever finds a
// topic in its shard's image finds the topic's partitions in place. The next publication waits for both steps.
//
// A callback must not wait for a controller call: the controller's answers may wait for a publication.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "broker/metadata/delta.h"
#include "broker/metadata/image.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::metadata {

struct Publication {
  ImageRef image;
  ImageRef previous;                           // what this subscriber saw before (MetadataImage::none() at first)
  std::shared_ptr<const MetadataDelta> delta;  // from previous to image
};

class Publisher {
 public:
  using Callback = std::function<io::Task<void>(const Publication& publication)>;

  // `home` is the shard that publishes.
  Publisher(io::Shards& shards, io::Shard& home, Logger logger = {});
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // Adds a callback that runs on shard `shard_index`; called from `home`. If something was published already, the
  // callback first gets all of it as one publication, before this returns. The callback must live until the end of the
  // Publisher, or until clear().
  io::Task<void> subscribe(std::size_t shard_index, std::string name, Callback callback);
  // Drops all callbacks (at shutdown, before what they point to is gone). From `home`, no publication running.
  io::Task<void> clear();

  // Called by the Loader, on `home`; returns when every shard has the image.
  io::Task<void> publish(ImageRef image, std::shared_ptr<const MetadataDelta> delta);

  // The image that shard `shard_index` works by. Only that shard may call it; never null.
  const ImageRef& image(std::size_t shard_index) const { return slots_[shard_index]->image; }
  const ImageRef& image(const io::Shard& shard) const { return image(shard.index()); }

  // Waits until the image of shard `here` (the caller's) contains `offset`; false at the deadline.
  io::Task<bool> wait_for(io::Shard& here, std::int64_t offset, Instant deadline);

 private:
  struct Subscriber {
    std::string name;
    Callback callback;
  };
  // What belongs to one shard; touched only there, but for construction.
  struct Slot {
    explicit Slot(io::Shard& shard) : image(MetadataImage::none()), changed(shard) {}
    ImageRef image;
    std::vector<Subscriber> subscribers;
    io::Signal changed;
  };
  io::Task<void> run_callbacks(Slot& slot, const Publication& publication);
  template <typename Action>
  io::Task<void> on_every_shard(const Action& action);
  template <typename Action>
  io::Task<void> on_one_shard(std::size_t index, const Action& action);

  io::Shards& shards_;
  io::Shard& home_;
  Logger logger_;
  std::vector<std::unique_ptr<Slot>> slots_;
  ImageRef published_;
  io::AsyncMutex publishing_;
};

}  // namespace klamm::metadata
