// UTF-8, a code point at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace klamm {

constexpr char32_t kReplacementCharacter = 0xFFFD;

// Decodes one code point at `at` and moves behind it; kReplacementCharacter and one byte for bytes that are not UTF-8.
// Sets `valid` to false in that case, and leaves it alone else.
char32_t next_code_point(std::string_view text, std::size_t& at, bool& valid);
bool is_utf8(std::string_view text);
void append_utf8(std::string& out, char32_t code);

}  // namespace klamm
