// What the simulated machine will do at which time: arrivals, completions, the harness's own actions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "base/time.h"

namespace klamm::io::sim {

class EventQueue {
 public:
  struct Key {
    Instant when;
    std::uint64_t sequence = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  Key add(Instant when, std::function<void()> action) {
    const Key key{when, ++next_sequence_};
    events_.emplace(key, std::move(action));
    return key;
  }
  void cancel(const Key& key) { events_.erase(key); }
  Instant earliest() const { return events_.empty() ? Instant::never() : events_.begin()->first.when; }
  bool empty() const noexcept { return events_.empty(); }
  std::size_t size() const noexcept { return events_.size(); }
  // Runs the first event if it is due.
  bool run_one(Instant now) {
    if (events_.empty() || events_.begin()->first.when > now) return false;
    const std::function<void()> action = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    action();
    return true;
  }

 private:
  std::map<Key, std::function<void()>> events_;
  std::uint64_t next_sequence_ = 0;
};

}  // namespace klamm::io::sim
