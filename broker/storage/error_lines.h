// Bounds what a shard's logs write about disks that fail: on a full one every append of every partition does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/time.h"

namespace klamm::storage {

class ErrorLines {
 public:
  static constexpr int kMost = 10;  // in each window
  static constexpr Duration kWindow = 10s;

  // What to put behind the next line: how many were left out before it, if any were. Empty: leave it out, too.
  std::optional<std::string> admit(Instant now) {
    if (!begin_ || now - *begin_ >= kWindow) {
      begin_ = now;
      written_ = 0;
    }
    if (written_ == kMost) {
      ++left_out_;
      return std::nullopt;
    }
    ++written_;
    const std::uint64_t left_out = std::exchange(left_out_, 0);
    return left_out == 0 ? std::string() : fmt::format(" ({} such lines were left out before)", left_out);
  }

 private:
  std::optional<Instant> begin_;  // of the window
  int written_ = 0;               // in it
  std::uint64_t left_out_ = 0;    // since the last one that was written
};

}  // namespace klamm::storage
