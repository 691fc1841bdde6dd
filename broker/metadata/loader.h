// The Loader follows the committed metadata log, makes an image of it, and hands every new image to the Publisher. It
// lives on the raft node's shard.
//
// Records of a metadata transaction count when its end is committed; an aborted one leaves nothing. Until the loader
// has once reached the high watermark, it publishes nothing.
//
// It also writes this node's snapshots: after so many bytes of records, or so long, since the last.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/log.h"
#include "broker/metadata/delta.h"
#include "broker/metadata/image.h"
#include "broker/metadata/publisher.h"
#include "broker/metadata/record.h"
#include "broker/raft/raft_node.h"
#include "io/sync.h"

namespace klamm::metadata {

struct LoaderOptions {
  std::int64_t snapshot_max_new_bytes = 20'971'520;   // metadata.log.max.record.bytes.between.snapshots
  std::int64_t snapshot_max_interval_ms = 3'600'000;  // metadata.log.max.snapshot.interval.ms; 0: by size only
};

// metadata.log.max.* of the node's configuration.
LoaderOptions loader_options(const config::BrokerConfig& file);

class Loader final : public raft::RaftListener {
 public:
  // Adds itself to `raft`, which must not be started yet. `publisher` may be null (a controller alone). Stop the raft
  // node before the Loader goes, and call close() in between.
  Loader(io::Shard& shard, raft::RaftNode& raft, Publisher* publisher, LoaderOptions options = {}, Logger logger = {});

  // The newest committed image. Never null.
  const ImageRef& image() const noexcept { return image_; }
  // True between a transaction's begin and its end, as far as it is committed.
  bool in_transaction() const noexcept { return in_transaction_; }
  // Up to where committed records were taken in, an open transaction's too; -1 at first.
  std::int64_t last_loaded_offset() const noexcept { return last_loaded_offset_; }
  // Leads, and everything from before its epoch is in image().
  raft::LeaderAndEpoch leader() const noexcept { return leader_; }

  // Called (on this shard, at once) when image() changed, and when leader() did. One observer, the controller.
  struct Observer {
    std::function<void()> image_changed;
    std::function<void(raft::LeaderAndEpoch leader)> leader_changed;
  };
  void set_observer(Observer observer) { observer_ = std::move(observer); }

  // Waits until image() contains `offset`; false at the deadline.
  io::Task<bool> wait_for(std::int64_t offset, Instant deadline);
  // Waits until the first image was published; false at the deadline.
  io::Task<bool> wait_published(Instant deadline);
  // Writes a snapshot of image() now (tools, tests); success if there is nothing new to write.
  io::Task<Result<void>> write_snapshot();
  // Waits for a snapshot being written.
  io::Task<void> close();

  // raft::RaftListener
  io::Task<Result<void>> committed(std::vector<raft::Batch> batches) override;
  io::Task<Result<void>> load_snapshot(raft::SnapshotReader snapshot) override;
  void leader_changed(raft::LeaderAndEpoch leader) override;

 private:
  Result<void> take(const raft::Batch& batch);
  Result<void> take_record(Record record);
  io::Task<void> publish_changes();
  void consider_snapshot();
  io::Task<void> write_snapshot_in_background();

  io::Shard& shard_;
  raft::RaftNode& raft_;
  Publisher* publisher_;
  LoaderOptions options_;
  Logger logger_;
  Observer observer_;

  ImageRef image_;
  Provenance provenance_;                 // of image_, moving on with what is taken in
  std::shared_ptr<MetadataDelta> delta_;  // from the last published image
  bool published_ = false;
  bool in_transaction_ = false;
  Records transaction_;  // records of the open transaction
  std::int64_t last_loaded_offset_ = -1;
  raft::LeaderAndEpoch leader_{-1, -1};

  std::int64_t bytes_since_snapshot_ = 0;
  Instant last_snapshot_;
  bool writing_snapshot_ = false;
  io::Signal changed_;
  io::Gate background_;
};

}  // namespace klamm::metadata
