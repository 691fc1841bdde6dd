// The words for a result in a test's message. doctest evaluates them for checks that pass, too (-s), and a good result
// has no error to ask: `REQUIRE_MESSAGE(log, why_of(log));`
#pragma once

#include <string>

#include "base/result.h"

namespace klamm {

template <typename T>
std::string why_of(const Result<T>& result) {
  return result ? std::string() : result.error().message();
}

}  // namespace klamm
