// What a simulated run did, as a hash: equal seeds give equal hashes, or something in the code under test depends on
// more than its seed (an address, a real clock). Optionally as text, for people.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"

namespace klamm::io::sim {

class Trace {
 public:
  using Sink = std::function<void(std::string_view line)>;
  explicit Trace(Sink sink) : sink_(std::move(sink)) {}

  // One event: `what` must outlive the run (a literal). `where` names a node and shard or a connection.
  void note(Instant now, std::string_view what, std::uint64_t where, std::uint64_t a = 0, std::uint64_t b = 0,
            std::string_view detail = {});
  void add(std::uint64_t number) noexcept;
  void add(Bytes bytes) noexcept;
  std::uint64_t hash() const noexcept { return hash_; }
  std::uint64_t events() const noexcept { return events_; }
  bool has_sink() const noexcept { return sink_ != nullptr; }
  void line(Instant now, std::string_view text) const;

 private:
  Sink sink_;
  std::uint64_t hash_ = 0x9E3779B97F4A7C15ULL;
  std::uint64_t events_ = 0;
};

}  // namespace klamm::io::sim
