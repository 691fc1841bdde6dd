#include "broker/replica/fetch_wait.h"

namespace klamm::replica {

// Listens on one shard and wakes the home shard once. A wake posted before stop() is answered reaches home before that
// answer: posts from one shard to another keep their order.
class FetchWait::Listener final : public MoveListener {
 public:
  Listener(FetchWait& wait, io::Shard& there) : there_(there), wait_(wait) {}
  io::Shard& shard() const { return there_; }

  void start(std::vector<Watched> watched) {
    watched_ = std::move(watched);
    bool moved = false;
    for (Watched& each : watched_) {
      each.partition->listen(*this, each.move);
      moved |= each.partition->moves(each.move) != each.moves_seen;
    }
    if (moved) partition_moved();
  }
  void stop() {
    for (Watched& each : watched_) each.partition->unlisten(*this, each.move);
    watched_.clear();
  }
  void partition_moved() override {
    if (woken_) return;
    woken_ = true;
    if (&there_ == &wait_.home_) {
      wait_.wake();  // a post could come after the end of the wait
      return;
    }
    wait_.home_.post([](void* wait) { static_cast<FetchWait*>(wait)->wake(); }, &wait_);
  }

 private:
  io::Shard& there_;
  FetchWait& wait_;
  std::vector<Watched> watched_;
  bool woken_ = false;
};

FetchWait::FetchWait(io::Shard& home) : home_(home), moved_(home) {}
FetchWait::~FetchWait() { KLAMM_CHECK(listeners_.empty(), "fetch ended while it listens"); }

io::Task<void> FetchWait::watch(io::Shard& there, std::vector<Watched>& watched) {
  listeners_.push_back(std::make_unique<Listener>(*this, there));
  Listener* listener = listeners_.back().get();
  auto start = [listener, &watched]() -> io::Task<void> {
    listener->start(std::move(watched));
    co_return;
  };
  co_await io::call(home_, there, start);
}

io::Task<bool> FetchWait::until(Instant deadline) {
  while (!awake_) {
    const bool notified = co_await moved_.wait_until(deadline);
    if (!notified) break;
  }
  co_return awake_;
}

io::Task<void> FetchWait::stop() {
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    auto stop = [each = listener.get()]() -> io::Task<void> {
      each->stop();
      co_return;
    };
    co_await io::call(home_, listener->shard(), stop);
  }
  listeners_.clear();
}

void FetchWait::wake() {
  awake_ = true;
  moved_.notify_all();
}

}  // namespace klamm::replica
