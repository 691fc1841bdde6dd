// Lookup of std::string keys by string_view, without a copy.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace klamm::client {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
};

}  // namespace klamm::client
