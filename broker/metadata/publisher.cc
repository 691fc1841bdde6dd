#include "broker/metadata/publisher.h"

#include "broker/metadata/image_writer.h"

namespace klamm::metadata {

Publisher::Publisher(io::Shards& shards, io::Shard& home, Logger logger)
    : shards_(shards), home_(home), logger_(std::move(logger)), published_(MetadataImage::none()), publishing_(home) {
  for (std::size_t index = 0; index < shards.size(); ++index)
    slots_.push_back(std::make_unique<Slot>(shards.at(index)));
}

io::Task<void> Publisher::subscribe(std::size_t shard_index, std::string name, Callback callback) {
  co_await publishing_.lock();
  Slot& slot = *slots_.at(shard_index);
  Subscriber subscriber{std::move(name), std::move(callback)};
  std::optional<Publication> so_far;
  if (!published_->empty()) so_far = Publication{published_, MetadataImage::none(), full_delta(published_)};
  const auto add = [&]() -> io::Task<void> {
    slot.subscribers.push_back(std::move(subscriber));
    if (so_far) co_await slot.subscribers.back().callback(*so_far);
  };
  co_await io::call(home_, shards_.at(shard_index), add);
  publishing_.unlock();
}

io::Task<void> Publisher::clear() {
  co_await publishing_.lock();
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = *slots_[index];
    const auto drop = [&slot]() -> io::Task<void> {
      slot.subscribers.clear();
      co_return;
    };
    co_await io::call(home_, shards_.at(index), drop);
  }
  publishing_.unlock();
}

io::Task<void> Publisher::run_callbacks(Slot& slot, const Publication& publication) {
  for (std::size_t index = 0; index < slot.subscribers.size(); ++index) {
    co_await slot.subscribers[index].callback(publication);
  }
}

// Runs `action` on every shard, beside each other, and waits for all.
template <typename Action>
io::Task<void> Publisher::on_every_shard(const Action& action) {
  io::Gate gate(home_);
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    gate.spawn(on_one_shard(index, action));
  }
  co_await gate.close();
}

template <typename Action>
io::Task<void> Publisher::on_one_shard(std::size_t index, const Action& action) {
  const auto run = [&]() -> io::Task<void> { co_await action(*slots_[index]); };
  co_await io::call(home_, shards_.at(index), run);
}

io::Task<void> Publisher::publish(ImageRef image, std::shared_ptr<const MetadataDelta> delta) {
  co_await publishing_.lock();
  const Publication publication{image, published_, std::move(delta)};
  const auto deliver = [&](Slot& slot) -> io::Task<void> { co_await run_callbacks(slot, publication); };
  co_await on_every_shard(deliver);
  const auto replace = [&](Slot& slot) -> io::Task<void> {
    slot.image = image;
    slot.changed.notify_all();
    co_return;
  };
  co_await on_every_shard(replace);
  published_ = std::move(image);
  publishing_.unlock();
}

io::Task<bool> Publisher::wait_for(io::Shard& here, std::int64_t offset, Instant deadline) {
  Slot& slot = *slots_.at(here.index());
  while (slot.image->provenance.last_offset < offset) {
    const bool notified = co_await slot.changed.wait_until(deadline);
    if (!notified) co_return false;
  }
  co_return true;
}

}  // namespace klamm::metadata
