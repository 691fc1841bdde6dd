// Which topics a tool's pattern means. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace re2 {
class RE2;
}

namespace klamm::tools {

// A pattern as Kafka's tools take it for topics: a regular expression for the whole name; a comma means "or".
class TopicFilter {
 public:
  // Fails with the pattern and what is wrong with it.
  static Result<TopicFilter> create(std::string_view pattern);
  bool matches(std::string_view topic) const;

 private:
  std::shared_ptr<const re2::RE2> regex_;
};

// __consumer_offsets and the others that brokers make for themselves.
bool is_internal_topic(std::string_view topic);

}  // namespace klamm::tools
