#include <nlohmann/json.hpp>

#include <set>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("delete-records", "Deletes the records of partitions that lie before an offset.");
  options.admin_client();
  options.text("--offset-json-file", "file",
               "The offsets: {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1, \"offset\": 1}], \"version\": "
               "1}; offset -1 is the high "
               "watermark.");
  options.require("offset-json-file");
  return options;
}

Result<std::vector<std::pair<TopicPartition, std::int64_t>>> read_offsets(const std::string& path) {
  Result<std::string> content = file_content(path);
  KLAMM_TRY(content);
  const auto bad = [&](std::string_view what) {
    return fail(Errc::invalid_argument, fmt::format("{}: {}", path, what));
  };
  const nlohmann::json json = nlohmann::json::parse(*content, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return bad("The input string is not a valid JSON");
  if (json.contains("version") && (!json["version"].is_number_integer() || json["version"].get<std::int64_t>() != 1)) {
    return bad("Not supported version field value " + json["version"].dump());
  }
  if (!json.contains("partitions") || !json["partitions"].is_array()) return bad("Missing partitions field");
  std::vector<std::pair<TopicPartition, std::int64_t>> offsets;
  std::set<TopicPartition> seen;
  std::vector<std::string> twice;
  for (const nlohmann::json& one : json["partitions"]) {
    if (!one.is_object() || !one.contains("topic") || !one["topic"].is_string() || !one.contains("partition") ||
        !one["partition"].is_number_integer() || !one.contains("offset") || !one["offset"].is_number_integer()) {
      return bad("each element of partitions must have a topic, a partition and an offset");
    }
    TopicPartition partition{one["topic"].get<std::string>(), one["partition"].get<std::int32_t>()};
    if (!seen.insert(partition).second) twice.push_back(partition.text());
    offsets.emplace_back(std::move(partition), one["offset"].get<std::int64_t>());
  }
  if (!twice.empty()) return bad("Offset json file contains duplicate topic partitions: " + joined(twice, ","));
  return offsets;
}

}  // namespace

int run_delete_records(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  Result<std::vector<std::pair<TopicPartition, std::int64_t>>> offsets =
      read_offsets(*options.text_of("offset-json-file"));
  if (!offsets) return fail_text(reason_of(offsets.error()));
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  print("Executing records delete operation\n");
  DeleteRecords request;
  std::vector<TopicPartition> asked;
  for (const auto& [partition, offset] : *offsets) {
    request.before.emplace(partition, offset);
    asked.push_back(partition);
  }
  Result<DeleteRecords::Outcome> done = admin->delete_records(std::move(request));
  if (!done) return fail_text(reason_of(done.error()));
  print("Records delete operation completed:\n");
  for (const TopicPartition& partition : asked) {
    const auto found = done->find(partition);
    if (found == done->end()) continue;
    const Result<std::int64_t>& low_watermark = found->second;
    if (low_watermark) {
      print("partition: {}\tlow_watermark: {}\n", partition.text(), *low_watermark);
    } else {
      print("partition: {}\terror: org.apache.kafka.common.errors.{}: {}\n", partition.text(),
            exception_of(low_watermark.error()), reason_of(low_watermark.error(), partition.text()));
    }
  }
  return 0;
}

}  // namespace klamm::tools
