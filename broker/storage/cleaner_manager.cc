#include "broker/storage/cleaner_manager.h"

#include <algorithm>
#include <limits>

#include "broker/storage/log_dirs.h"
#include "broker/storage/log_manager.h"

namespace klamm::storage {

namespace {

constexpr std::int64_t kLeastBufferBytes = 1024;
// Faster than any disk: no throttle.
constexpr double kUnthrottled = 1e12;

}  // namespace

CleanerManager::CleanerManager(io::Shard& shard, LogDirs& dirs, Logger logger)
    : shard_(shard),
      dirs_(dirs),
      logger_(std::move(logger)),
      paid_until_(shard.now()),
      choosing_(shard),
      changed_(shard),
      background_(shard) {}

CleanerManager::~CleanerManager() = default;

void CleanerManager::start(std::vector<LogManager*> managers) {
  managers_ = std::move(managers);
  start_workers();
}

void CleanerManager::configure(const config::CleanerConfig& config) {
  if (config_ == config) return;
  config_ = config;
  paid_until_ = shard_.now();  // what was read at another rate is forgiven
  changed_.notify_all();
  start_workers();
}

io::Task<void> CleanerManager::close() {
  closing_ = true;
  changed_.notify_all();
  co_await background_.close();
  managers_.clear();
}

bool CleanerManager::working(std::int32_t number) const {
  return !closing_ && config_ && config_->enable && number < config_->threads;
}

void CleanerManager::start_workers() {
  if (managers_.empty()) return;
  for (std::int32_t number = 0; working(number); ++number) {
    const auto index = static_cast<std::size_t>(number);
    if (index == workers_.size()) workers_.push_back(false);
    if (workers_[index]) continue;
    workers_[index] = true;
    background_.spawn(work(number));
  }
}

io::Task<void> CleanerManager::work(std::int32_t number) {
  while (working(number)) {
    const bool cleaned = co_await clean_dirtiest();
    if (cleaned || !working(number)) continue;
    if (number == 0) co_await delete_old_segments();
    const Instant begin = shard_.now();
    while (working(number) && shard_.now() < begin + milliseconds(config_->backoff_ms)) {
      co_await changed_.wait_until(begin + milliseconds(config_->backoff_ms));
    }
  }
  workers_[static_cast<std::size_t>(number)] = false;
}

io::Task<std::optional<protocol::TopicPartition>> CleanerManager::choose(LogManager*& owner) {
  std::optional<DirtyLog> dirtiest;
  for (LogManager* manager : managers_) {
    const auto ask = [manager] { return manager->dirtiest(); };
    std::optional<DirtyLog> one = co_await io::call(shard_, manager->shard(), ask);
    if (!one || (dirtiest && one->ratio <= dirtiest->ratio)) continue;
    dirtiest = std::move(one);
    owner = manager;
  }
  if (!dirtiest) co_return std::optional<protocol::TopicPartition>();
  const auto claim = [owner, &dirtiest]() -> io::Task<bool> { co_return owner->claim_cleaning(dirtiest->partition); };
  const bool claimed = co_await io::call(shard_, owner->shard(), claim);
  if (!claimed) co_return std::optional<protocol::TopicPartition>();
  co_return std::optional<protocol::TopicPartition>(std::move(dirtiest->partition));
}

io::Task<bool> CleanerManager::clean_dirtiest() {
  co_await choosing_.lock();
  LogManager* owner = nullptr;
  const std::optional<protocol::TopicPartition> chosen = co_await choose(owner);
  choosing_.unlock();
  if (!chosen) co_return false;
  const CleaningOptions options = options_for(*owner);
  const auto clean = [owner, &chosen, &options] { return owner->clean(*chosen, options); };
  const bool cleaned = co_await io::call(shard_, owner->shard(), clean);
  if (!cleaned) co_return false;
  Result<void> saved = co_await dirs_.checkpoint_cleaner_offsets();
  if (!saved) logger_.warning("the cleaner's checkpoint: {}", saved.error().message());
  co_return true;
}

// Of compacted logs: those below the log start, and by time and size where the policy has both. As often as the logs
// are looked at for compaction.
io::Task<void> CleanerManager::delete_old_segments() {
  for (LogManager* manager : managers_) {
    const auto apply = [manager] { return manager->apply_compacted_retention(); };
    co_await io::call(shard_, manager->shard(), apply);
  }
}

// What is configured is for all cleanings together.
CleaningOptions CleanerManager::options_for(LogManager& owner) {
  const config::CleanerConfig config = config_.value_or(config::CleanerConfig());
  const std::int64_t threads = std::max(config.threads, 1);
  CleaningOptions options;
  options.map_bytes = static_cast<std::size_t>(
      std::clamp<std::int64_t>(config.dedupe_buffer_bytes / threads, 0, std::numeric_limits<std::int32_t>::max()));
  options.load_factor = config.dedupe_load_factor;
  options.io_buffer_bytes = static_cast<std::size_t>(std::max(config.io_buffer_bytes / threads / 2, kLeastBufferBytes));
  // Also while there is no limit: one may be set before the cleaning has ended.
  options.throttle = [this, &owner](std::int64_t bytes) { return throttle(owner.shard(), bytes); };
  return options;
}

// Called on the log's shard.
io::Task<Instant> CleanerManager::throttle(io::Shard& from, std::int64_t bytes) {
  const auto pay = [this, bytes]() -> io::Task<Instant> {
    const double rate = config_ ? config_->io_max_bytes_per_second : kUnthrottled;
    if (rate >= kUnthrottled) co_return shard_.now();
    const double seconds = std::min(static_cast<double>(bytes) / std::max(rate, 1e-3), 1e6);
    paid_until_ = std::max(paid_until_, shard_.now()) + Duration(static_cast<std::int64_t>(seconds * 1e9));
    co_return paid_until_;
  };
  const Instant when = co_await io::call(from, shard_, pay);
  co_return when;
}

}  // namespace klamm::storage
