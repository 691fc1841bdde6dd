// Invariants: KLAMM_CHECK is on in release builds; a broken invariant ends the process with file, line and text.
#pragma once

#include <string_view>

namespace klamm {

// Prints "file:line: check failed: expression: detail" to stderr and aborts. Never returns.
[[noreturn]] void check_failed(const char* file, int line, const char* expression, std::string_view detail = {});

}  // namespace klamm

#define KLAMM_CHECK(condition, ...)                                                     \
  do {                                                                                  \
    if (!(condition)) [[unlikely]]                                                      \
      ::klamm::check_failed(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)
