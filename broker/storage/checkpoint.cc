#include "broker/storage/checkpoint.h"

#include <fmt/format.h>

#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/properties.h"
#include "broker/storage/names.h"

namespace klamm::storage {

namespace {

constexpr std::uint64_t kLimitBytes = 256ULL << 20;  // no checkpoint of a sane node is near this

template <typename Int>
bool parse_number(std::string_view text, Int& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

// Takes the lines of a text one by one, without their ends.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  std::optional<std::string_view> next() {
    if (rest_.empty()) return std::nullopt;
    const std::size_t end = rest_.find('\n');
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number_;
    return line;
  }
  int number() const noexcept { return number_; }

 private:
  std::string_view rest_;
  int number_ = 0;
};

Error bad_line(const Lines& lines, std::string_view what) {
  return Error(Errc::malformed, fmt::format("line {}: {}", lines.number(), what));
}

// Version 0, a count, and as many lines: the frame of both kinds of checkpoint.
template <typename ReadLine>
Result<void> parse_checkpoint(std::string_view text, ReadLine read_line) {
  Lines lines(text);
  const auto version_line = lines.next();
  if (!version_line) return {};
  int version = 0;
  if (!parse_number(*version_line, version)) return fail(bad_line(lines, "no version number"));
  if (version != 0) return fail(bad_line(lines, fmt::format("version {}, only 0 is known", version)));
  const auto count_line = lines.next();
  std::int64_t count = 0;
  if (!count_line || !parse_number(*count_line, count) || count < 0)
    return fail(bad_line(lines, "no number of entries"));
  std::int64_t seen = 0;
  while (const auto line = lines.next()) {
    if (line->empty()) continue;
    if (!read_line(*line)) return fail(bad_line(lines, fmt::format("not an entry: '{}'", line->substr(0, 300))));
    ++seen;
  }
  if (seen != count) return fail(Errc::malformed, fmt::format("{} entries where the head says {}", seen, count));
  return {};
}

// Reads a small file whole; an absent one is empty.
io::Task<Result<std::optional<Slice>>> read_if_there(io::FileSystem& files, std::string path) {
  Result<Slice> content = co_await io::read_file(files, path, kLimitBytes);
  if (!content) {
    if (content.error() == Errc::not_found) co_return std::optional<Slice>();
    co_return fail(std::move(content).error());
  }
  co_return std::optional<Slice>(*std::move(content));
}

// Sat Jan 31 12:00:00 UTC 2026, as Java's Date prints it.
std::string date_text(TimestampMs now_ms) {
  const auto seconds = static_cast<std::time_t>(now_ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const std::size_t size = std::strftime(text, sizeof text, "%a %b %d %H:%M:%S UTC %Y", &parts);
  return std::string(text, size);
}

}  // namespace

std::string format_offset_checkpoint(const OffsetCheckpoint& offsets) {
  std::string text = fmt::format("0\n{}\n", offsets.size());
  for (const auto& [partition, offset] : offsets) {
    text += fmt::format("{} {} {}\n", partition.topic, partition.partition.value(), offset);
  }
  return text;
}

Result<OffsetCheckpoint> parse_offset_checkpoint(std::string_view text) {
  OffsetCheckpoint offsets;
  Result<void> parsed = parse_checkpoint(text, [&](std::string_view line) {
    const std::size_t last_space = line.rfind(' ');
    if (last_space == std::string_view::npos || last_space == 0) return false;
    const std::size_t first_space = line.rfind(' ', last_space - 1);
    if (first_space == std::string_view::npos || first_space == 0) return false;
    std::int32_t partition = 0;
    std::int64_t offset = 0;
    if (!parse_number(line.substr(first_space + 1, last_space - first_space - 1), partition)) return false;
    if (!parse_number(line.substr(last_space + 1), offset)) return false;
    return offsets
        .emplace(
            protocol::TopicPartition{std::string(line.substr(0, first_space)), protocol::PartitionIndex(partition)},
            offset)
        .second;
  });
  KLAMM_TRY(parsed);
  return offsets;
}

io::Task<Result<OffsetCheckpoint>> load_offset_checkpoint(io::FileSystem& files, std::string path) {
  Result<std::optional<Slice>> content = co_await read_if_there(files, path);
  KLAMM_CO_TRY(content);
  if (!content->has_value()) co_return OffsetCheckpoint();
  Result<OffsetCheckpoint> offsets = parse_offset_checkpoint((*content)->text());
  if (!offsets) co_return fail(std::move(offsets).error().in(path));
  co_return offsets;
}

io::Task<Result<void>> save_offset_checkpoint(io::FileSystem& files, std::string path, OffsetCheckpoint offsets) {
  Result<void> written =
      co_await io::write_file_atomically(files, std::move(path), Slice::copy(format_offset_checkpoint(offsets)));
  co_return written;
}

std::string format_epoch_checkpoint(const std::vector<EpochEntry>& entries) {
  std::string text = fmt::format("0\n{}\n", entries.size());
  for (const EpochEntry& entry : entries) {
    text += fmt::format("{} {}\n", entry.epoch, entry.start_offset);
  }
  return text;
}

Result<std::vector<EpochEntry>> parse_epoch_checkpoint(std::string_view text) {
  std::vector<EpochEntry> entries;
  Result<void> parsed = parse_checkpoint(text, [&](std::string_view line) {
    const std::size_t space = line.find(' ');
    EpochEntry entry;
    if (space == std::string_view::npos || !parse_number(line.substr(0, space), entry.epoch) ||
        !parse_number(line.substr(space + 1), entry.start_offset)) {
      return false;
    }
    entries.push_back(entry);
    return true;
  });
  KLAMM_TRY(parsed);
  return entries;
}

io::Task<Result<std::vector<EpochEntry>>> load_epoch_checkpoint(io::FileSystem& files, std::string path) {
  Result<std::optional<Slice>> content = co_await read_if_there(files, path);
  KLAMM_CO_TRY(content);
  if (!content->has_value()) co_return std::vector<EpochEntry>();
  Result<std::vector<EpochEntry>> entries = parse_epoch_checkpoint((*content)->text());
  if (!entries) co_return fail(std::move(entries).error().in(path));
  co_return entries;
}

io::Task<Result<void>> save_epoch_checkpoint(io::FileSystem& files, std::string path, std::vector<EpochEntry> entries) {
  Result<void> written =
      co_await io::write_file_atomically(files, std::move(path), Slice::copy(format_epoch_checkpoint(entries)));
  co_return written;
}

std::string format_partition_metadata(const Uuid& topic_id) { return "version: 0\ntopic_id: " + topic_id.text(); }

Result<Uuid> parse_partition_metadata(std::string_view text) {
  Lines lines(text);
  const auto version = lines.next();
  if (!version || *version != "version: 0") return fail(bad_line(lines, "expected 'version: 0'"));
  constexpr std::string_view kKey = "topic_id: ";
  const auto id_line = lines.next();
  if (!id_line || !id_line->starts_with(kKey)) return fail(bad_line(lines, "expected 'topic_id: '"));
  const std::optional<Uuid> id = Uuid::parse(id_line->substr(kKey.size()));
  if (!id) return fail(bad_line(lines, "topic id is no uuid"));
  if (id->is_zero()) return fail(bad_line(lines, "topic id is zero"));
  return *id;
}

io::Task<Result<std::optional<Uuid>>> load_partition_metadata(io::FileSystem& files, std::string directory) {
  std::string path = io::join_path(directory, kPartitionMetadataFile);
  Result<std::optional<Slice>> content = co_await read_if_there(files, path);
  KLAMM_CO_TRY(content);
  if (!content->has_value()) co_return std::optional<Uuid>();
  Result<Uuid> id = parse_partition_metadata((*content)->text());
  if (!id) co_return fail(std::move(id).error().in(path));
  co_return std::optional<Uuid>(*id);
}

io::Task<Result<void>> save_partition_metadata(io::FileSystem& files, std::string directory, Uuid topic_id) {
  Result<void> written = co_await io::write_file_atomically(files, io::join_path(directory, kPartitionMetadataFile),
                                                            Slice::copy(format_partition_metadata(topic_id)));
  co_return written;
}

std::string format_clean_shutdown(std::int64_t broker_epoch) {
  return fmt::format(R"({{"version":0,"brokerEpoch":{}}})", broker_epoch);
}

Result<std::int64_t> parse_clean_shutdown(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) return fail(Errc::malformed, "not a JSON object");
  const auto epoch = json.find("brokerEpoch");
  if (epoch == json.end()) return std::int64_t{-1};
  if (!epoch->is_number_integer()) return fail(Errc::malformed, "brokerEpoch is no integer");
  return epoch->get<std::int64_t>();
}

io::Task<Result<std::optional<std::int64_t>>> load_clean_shutdown(io::FileSystem& files, std::string directory) {
  Result<std::optional<Slice>> content = co_await read_if_there(files, io::join_path(directory, kCleanShutdownFile));
  KLAMM_CO_TRY(content);
  if (!content->has_value()) co_return std::optional<std::int64_t>();
  // Old brokers left an empty file: a clean stop all the same.
  Result<std::int64_t> epoch = parse_clean_shutdown((*content)->text());
  co_return std::optional<std::int64_t>(epoch ? *epoch : -1);
}

io::Task<Result<void>> save_clean_shutdown(io::FileSystem& files, std::string directory, std::int64_t broker_epoch) {
  Result<void> written = co_await io::write_file_atomically(files, io::join_path(directory, kCleanShutdownFile),
                                                            Slice::copy(format_clean_shutdown(broker_epoch)));
  co_return written;
}

std::string format_meta_properties(const MetaProperties& meta, TimestampMs now_ms) {
  Properties properties;
  properties.set("node.id", std::to_string(meta.node_id));
  if (!meta.directory_id.is_zero()) properties.set("directory.id", meta.directory_id.text());
  properties.set("version", "1");
  properties.set("cluster.id", meta.cluster_id);
  const std::string comments[] = {"", date_text(now_ms)};
  return properties.text(comments);
}

Result<MetaProperties> parse_meta_properties(std::string_view text) {
  Result<Properties> properties = Properties::parse(text);
  KLAMM_TRY(properties);
  const auto version = properties->get("version");
  if (!version) return fail(Errc::malformed, "version is missing");
  if (*version != "1") {
    return fail(Errc::unsupported, fmt::format("version {}; only 1 (KRaft) is served", *version));
  }
  MetaProperties meta;
  const auto cluster_id = properties->get("cluster.id");
  if (!cluster_id || cluster_id->empty()) return fail(Errc::malformed, "cluster.id is missing");
  meta.cluster_id = *cluster_id;
  const auto node_id = properties->get("node.id");
  if (!node_id || !parse_number(*node_id, meta.node_id) || meta.node_id < 0) {
    return fail(Errc::malformed, "node.id is missing or no number from 0");
  }
  if (const auto directory_id = properties->get("directory.id")) {
    const std::optional<Uuid> id = Uuid::parse(*directory_id);
    if (!id) return fail(Errc::malformed, fmt::format("directory.id '{}' is no uuid", *directory_id));
    meta.directory_id = *id;
  }
  return meta;
}

io::Task<Result<std::optional<MetaProperties>>> load_meta_properties(io::FileSystem& files, std::string directory) {
  std::string path = io::join_path(directory, kMetaPropertiesFile);
  Result<std::optional<Slice>> content = co_await read_if_there(files, path);
  KLAMM_CO_TRY(content);
  if (!content->has_value()) co_return std::optional<MetaProperties>();
  Result<MetaProperties> meta = parse_meta_properties((*content)->text());
  if (!meta) co_return fail(std::move(meta).error().in(path));
  co_return std::optional<MetaProperties>(*std::move(meta));
}

io::Task<Result<void>> save_meta_properties(io::FileSystem& files, std::string directory, MetaProperties meta,
                                            TimestampMs now_ms) {
  Result<void> written = co_await io::write_file_atomically(files, io::join_path(directory, kMetaPropertiesFile),
                                                            Slice::copy(format_meta_properties(meta, now_ms)));
  co_return written;
}

}  // namespace klamm::storage
