// C++ text under construction.
#pragma once

#include <string>

namespace klamm::schema {

class Code {
 public:
  // One line at the current depth; an empty one without spaces.
  void line(const std::string& text = {}) {
    if (!text.empty()) text_ += std::string(2 * static_cast<std::size_t>(depth_), ' ') + text;
    text_ += '\n';
  }
  // A line that opens a block ("if (...)" becomes "if (...) {"), and the end of one.
  void open(const std::string& head) {
    line(head + " {");
    ++depth_;
  }
  void close(const std::string& tail = {}) {
    --depth_;
    line("}" + tail);
  }
  void indent() { ++depth_; }
  void outdent() { --depth_; }
  // Other code at its own depth.
  void add(const Code& other) { text_ += other.text_; }

  const std::string& text() const { return text_; }
  // True if `word` occurs as a whole word.
  bool mentions(const std::string& word) const;

 private:
  std::string text_;
  int depth_ = 0;
};

}  // namespace klamm::schema
