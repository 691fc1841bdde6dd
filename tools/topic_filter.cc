#include "tools/topic_filter.h"

#include <re2/re2.h>

#include <algorithm>

#include "tools/output.h"

namespace klamm::tools {

Result<TopicFilter> TopicFilter::create(std::string_view pattern) {
  std::string text(trimmed(pattern));
  std::replace(text.begin(), text.end(), ',', '|');
  std::erase(text, ' ');
  const auto is_quote = [](char letter) { return letter == '"' || letter == '\''; };
  while (!text.empty() && is_quote(text.front())) text.erase(0, 1);
  while (!text.empty() && is_quote(text.back())) text.pop_back();
  re2::RE2::Options options;
  options.set_log_errors(false);
  TopicFilter filter;
  auto regex = std::make_shared<re2::RE2>(text, options);
  if (!regex->ok()) return fail(Errc::invalid_argument, text + " is an invalid regex: " + regex->error());
  filter.regex_ = std::move(regex);
  return filter;
}

bool TopicFilter::matches(std::string_view topic) const {
  return re2::RE2::FullMatch(re2::StringPiece(topic.data(), topic.size()), *regex_);
}

bool is_internal_topic(std::string_view topic) {
  return topic == "__consumer_offsets" || topic == "__transaction_state" || topic == "__share_group_state";
}

}  // namespace klamm::tools
