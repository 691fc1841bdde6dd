// When to tell again of a trouble that lasts: at once when it begins or becomes another one, then after 10 s, 20 s, 40
// s and so on, at last every 5 minutes. Pure: it is told the time.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace klamm::client {

class RepeatedWarning {
 public:
  // The trouble is there (still). True if it should be told now.
  bool due(std::string_view trouble, Instant now) {
    if (!trouble_ || *trouble_ != trouble) {
      trouble_ = trouble;
      interval_ = kFirst;
    } else if (now < again_at_) {
      return false;
    }
    again_at_ = now + interval_;
    interval_ = std::min(interval_ * 2, kMost);
    return true;
  }
  // All is well: the next trouble is told at once.
  void over() noexcept { trouble_.reset(); }

 private:
  static constexpr Duration kFirst = 10s;
  static constexpr Duration kMost = 5min;

  std::optional<std::string> trouble_;
  Duration interval_ = kFirst;
  Instant again_at_;
};

}  // namespace klamm::client
