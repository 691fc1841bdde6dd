#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <set>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"
#include "tools/topic_filter.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("get-offsets", "Prints offsets of partitions, as topic:partition:offset.");
  options.admin_client();
  options.text("--topic", "pattern", "Only topics whose name the regular expression matches.");
  options.text("--partitions", "0,1,...", "Only these partitions.");
  options.text("--topic-partitions", "topic1:1,topic2:0-3,...",
               "Only these: a pattern for topics and after ':' a partition, a range (its end not included), or one end "
               "of a range.");
  options.text("--time", "time",
               "latest (-1, the default), earliest (-2), max-timestamp (-3), earliest-local (-4), latest-tiered (-5), "
               "earliest-pending-upload (-6), or a time in ms since 1970: the first record at or after it.");
  options.flag("--exclude-internal-topics", "Leave internal topics out.");
  return options;
}

int failed(std::string_view sentence) { return fail_with("Error occurred: {}", sentence); }

Result<std::int64_t> parse_time(const std::string& text) {
  static constexpr std::pair<std::string_view, std::int64_t> kNames[] = {
      {"latest", kLatestOffset},
      {"earliest", kEarliestOffset},
      {"max-timestamp", kMaxTimestampOffset},
      {"earliest-local", kEarliestLocalOffset},
      {"latest-tiered", kLatestTieredOffset},
      {"earliest-pending-upload", kEarliestPendingUploadOffset},
  };
  for (const auto& [name, value] : kNames) {
    if (name == text) return value;
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  return fail(
      Errc::invalid_argument,
      fmt::format(
          "Malformed time argument {}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or "
          "earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload, or a specified long format timestamp",
          text));
}

// One of the rules of --topic-partitions; partitions from `first` up to, not including, `end`.
struct Rule {
  TopicFilter topics;
  std::int64_t first = 0;
  std::int64_t end = std::numeric_limits<std::int64_t>::max();
};

class PartitionFilter {
 public:
  static Result<PartitionFilter> create(const Options& options);
  bool matches(std::string_view topic, std::int32_t partition) const;
  bool matches(std::string_view topic) const;

 private:
  static Result<Rule> parse_rule(const std::string& text);
  std::vector<Rule> rules_;
  std::optional<std::set<std::int32_t>> partitions_;
};

Result<Rule> PartitionFilter::parse_rule(const std::string& text) {
  static const re2::RE2 pattern("([^:,]*)(?::(?:([0-9]*)|(?:([0-9]*)-([0-9]*))))?");
  std::string topic;
  std::string only;
  std::string first;
  std::string end;
  if (!re2::RE2::FullMatch(text, pattern, &topic, &only, &first, &end))
    return fail(Errc::invalid_argument, "Invalid rule specification: " + text);
  Result<TopicFilter> filter = TopicFilter::create(topic.empty() ? ".*" : topic);
  KLAMM_TRY(filter);
  Rule rule{std::move(*filter)};
  const auto number = [](const std::string& digits, std::int64_t otherwise) {
    std::int64_t value = otherwise;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  };
  if (!only.empty()) {
    rule.first = number(only, 0);
    rule.end = rule.first + 1;
  } else {
    rule.first = number(first, rule.first);
    rule.end = number(end, rule.end);
  }
  return rule;
}

Result<PartitionFilter> PartitionFilter::create(const Options& options) {
  PartitionFilter filter;
  if (const auto text = options.text_of("topic-partitions")) {
    for (const std::string& one : split(*text, ',')) {
      Result<Rule> rule = parse_rule(one);
      KLAMM_TRY(rule);
      filter.rules_.push_back(std::move(*rule));
    }
    return filter;
  }
  Result<TopicFilter> topics = TopicFilter::create(options.text_or("topic", ".*"));
  KLAMM_TRY(topics);
  filter.rules_.push_back({std::move(*topics)});
  if (const auto text = options.text_of("partitions")) {
    filter.partitions_.emplace();
    for (const std::string& one : split(*text, ',')) {
      std::int32_t id = 0;
      const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), id);
      if (error != std::errc() || end != one.data() + one.size()) {
        return fail(Errc::invalid_argument,
                    "--partitions expects a comma separated list of numeric partition ids, but received: " + *text);
      }
      filter.partitions_->insert(id);
    }
  }
  return filter;
}

bool PartitionFilter::matches(std::string_view topic) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](const Rule& rule) { return rule.topics.matches(topic); });
}

bool PartitionFilter::matches(std::string_view topic, std::int32_t partition) const {
  if (partitions_ && !partitions_->contains(partition)) return false;
  return std::any_of(rules_.begin(), rules_.end(), [&](const Rule& rule) {
    return rule.first <= partition && partition < rule.end && rule.topics.matches(topic);
  });
}

Result<std::vector<TopicPartition>> find_partitions(blocking::Admin& admin, const PartitionFilter& filter,
                                                    bool internal) {
  Result<ListTopics::Outcome> listed = admin.list_topics({.internal = internal});
  KLAMM_TRY(listed);
  std::vector<std::string> names;
  for (const TopicListing& topic : *listed) {
    if (!internal && (topic.internal || is_internal_topic(topic.name))) continue;
    if (filter.matches(topic.name)) names.push_back(topic.name);
  }
  std::vector<TopicPartition> found;
  if (names.empty()) return found;
  Result<DescribeTopics::Outcome> described = admin.describe_topics({.names = names});
  KLAMM_TRY(described);
  for (const auto& [name, topic] : *described) {
    KLAMM_TRY(topic);
    for (const PartitionDescription& partition : topic->partitions) {
      if (filter.matches(name, partition.partition)) found.push_back({name, partition.partition});
    }
  }
  return found;
}

}  // namespace

int run_get_offsets(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.has("topic-partitions") && (options.has("topic") || options.has("partitions"))) {
    return failed("--topic-partitions cannot be used with --topic or --partitions");
  }
  Result<PartitionFilter> filter = PartitionFilter::create(options);
  if (!filter) return failed(filter.error().context());
  Result<std::int64_t> time = parse_time(options.text_or("time", "latest"));
  if (!time) return failed(time.error().context());
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  Result<std::vector<TopicPartition>> partitions =
      find_partitions(*admin, *filter, !options.has("exclude-internal-topics"));
  if (!partitions) return failed(reason_of(partitions.error()));
  if (partitions->empty()) return failed("Could not match any topic-partitions with the specified filters");
  ListOffsets request;
  for (const TopicPartition& partition : *partitions) request.specs.emplace(partition, *time);
  Result<ListOffsets::Outcome> listed = admin->list_offsets(std::move(request));
  if (!listed) return failed(reason_of(listed.error()));
  for (const auto& [partition, offset] : *listed) {
    if (!offset) {
      fmt::print(stderr, "Skip getting offsets for topic-partition {} due to error: {}\n", partition.text(),
                 reason_of(offset.error(), partition.text()));
    } else if (offset->offset >= 0) {
      print("{}:{}:{}\n", partition.topic, partition.partition, offset->offset);
    }
  }
  return 0;
}

}  // namespace klamm::tools
