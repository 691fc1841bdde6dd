// Letters without regard to their case. ASCII only: names of configurations, listeners, hosts and protocols.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace klamm {

constexpr char lower_case(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}
constexpr char upper_case(char letter) {
  return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
}
inline std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& letter : lower) letter = lower_case(letter);
  return lower;
}
inline std::string upper_case(std::string_view text) {
  std::string upper(text);
  for (char& letter : upper) letter = upper_case(letter);
  return upper;
}
inline bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return lower_case(a) == lower_case(b); });
}

}  // namespace klamm
