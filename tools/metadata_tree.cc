#include "tools/metadata_tree.h"

#include <re2/re2.h>

#include <ctime>

#include "broker/metadata/delta.h"
#include "broker/metadata/record.h"
#include "protocol/record/batch.h"
#include "protocol/record/record.h"
#include "tools/batch_reader.h"
#include "tools/output.h"
#include "tools/version_mapping.h"

namespace klamm::tools {
namespace {

constexpr std::size_t kMostPlainBytes = std::size_t{64} << 20;

// ---- reading

class MetadataFile {
 public:
  Result<metadata::ImageRef> load(const std::string& path);

 private:
  Result<void> take(const record::BatchView& batch);
  Result<void> take_record(metadata::Record record);

  metadata::MetadataDelta delta_{metadata::MetadataImage::none()};
  metadata::Provenance provenance_;
  bool in_transaction_ = false;
  metadata::Records held_;  // of an open transaction
  compress::Codecs codecs_;
};

Result<metadata::ImageRef> MetadataFile::load(const std::string& path) {
  Result<BatchReader> reader = BatchReader::open(path);
  KLAMM_TRY(reader);
  bool some = false;
  while (reader->next()) {
    Result<record::BatchView> batch = record::BatchView::parse(reader->entry());
    if (!batch) return fail(std::move(batch.error()).in(path));
    some = true;
    if (batch->is_control()) continue;
    Result<void> taken = take(*batch);
    if (!taken) return fail(std::move(taken.error()).in(path));
  }
  if (!some && reader->file_bytes() > 0) return fail(Errc::corrupt, path + " is no metadata log or snapshot");
  return delta_.apply(provenance_);
}

Result<void> MetadataFile::take(const record::BatchView& batch) {
  if (!batch.crc_fits())
    return fail(Errc::corrupt, fmt::format("the batch at offset {} is damaged", batch.base_offset()));
  Result<Slice> plain = record::plain_records(batch, codecs_, kMostPlainBytes);
  KLAMM_TRY(plain);
  record::RecordIterator records(batch, plain->bytes());
  for (record::RecordView view; records.next(view);) {
    Result<metadata::Record> decoded = metadata::decode_record(Slice::copy(view.value.bytes()));
    KLAMM_TRY(decoded);
    Result<void> taken = take_record(std::move(*decoded));
    KLAMM_TRY(taken);
  }
  provenance_.last_offset = batch.last_offset();
  provenance_.last_epoch = batch.leader_epoch();
  provenance_.last_timestamp_ms = batch.max_timestamp();
  return records.status();
}

Result<void> MetadataFile::take_record(metadata::Record record) {
  if (std::holds_alternative<metadata::messages::BeginTransactionRecord>(record.message)) {
    in_transaction_ = true;
    held_.clear();
    return {};
  }
  if (std::holds_alternative<metadata::messages::AbortTransactionRecord>(record.message)) {
    in_transaction_ = false;
    held_.clear();
    return {};
  }
  if (std::holds_alternative<metadata::messages::EndTransactionRecord>(record.message)) {
    in_transaction_ = false;
    for (const metadata::Record& one : std::exchange(held_, {})) {
      Result<void> replayed = delta_.replay(one);
      KLAMM_TRY(replayed);
    }
    return {};
  }
  if (!in_transaction_) return delta_.replay(record);
  held_.push_back(std::move(record));
  return {};
}

// ---- texts, as Kafka's classes show themselves

template <typename Range>
std::string list_text(const Range& range) {
  return "[" + joined(range, ", ") + "]";
}

std::string ids_text(const std::vector<Uuid>& ids) {
  std::vector<std::string> texts;
  texts.reserve(ids.size());
  for (const Uuid& id : ids) texts.push_back(id.text());
  return list_text(texts);
}

std::string partition_text(const metadata::PartitionRegistration& one) {
  return fmt::format(
      "PartitionRegistration(replicas={}, directories={}, isr={}, removingReplicas={}, addingReplicas={}, elr={}, "
      "lastKnownElr={}, leader={}, leaderRecoveryState={}, leaderEpoch={}, partitionEpoch={})",
      list_text(one.replicas), ids_text(one.directories), list_text(one.isr), list_text(one.removing_replicas),
      list_text(one.adding_replicas), list_text(one.elr), list_text(one.last_known_elr), one.leader,
      one.recovery_state == metadata::LeaderRecoveryState::recovered ? "RECOVERED" : "RECOVERING", one.leader_epoch,
      one.partition_epoch);
}

std::string listeners_text(const std::vector<metadata::ListenerEndpoint>& listeners) {
  constexpr std::string_view kProtocols[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
  std::map<std::string, std::string> texts;
  for (const metadata::ListenerEndpoint& one : listeners) {
    const auto number = static_cast<std::size_t>(one.security_protocol);
    texts[one.name] = fmt::format("Endpoint(listenerName='{}', securityProtocol={}, host='{}', port={})", one.name,
                                  number < std::size(kProtocols) ? kProtocols[number] : "UNKNOWN", one.host, one.port);
  }
  std::vector<std::string> ordered;
  ordered.reserve(texts.size());
  for (const auto& [name, text] : texts) ordered.push_back(text);
  return list_text(ordered);
}

std::string features_text(const metadata::FeatureRanges& ranges) {
  std::vector<std::string> texts;
  texts.reserve(ranges.size());
  for (const auto& [name, range] : ranges)
    texts.push_back(range.min == range.max ? fmt::format("{}: {}", name, range.min)
                                           : fmt::format("{}: {}-{}", name, range.min, range.max));
  return "{" + joined(texts, ", ") + "}";
}

std::string broker_text(const metadata::BrokerRegistration& one) {
  return fmt::format(
      "BrokerRegistration(id={}, epoch={}, incarnationId={}, listeners={}, supportedFeatures={}, rack={}, fenced={}, "
      "inControlledShutdown={}, isMigratingZkBroker={}, directories={}, cordonedDirectories={})",
      one.id, one.epoch, one.incarnation_id.text(), listeners_text(one.listeners), features_text(one.features),
      one.rack ? "Optional[" + *one.rack + "]" : "Optional.empty", one.fenced, one.in_controlled_shutdown,
      one.is_migrating_zk_broker, ids_text(one.directories),
      ids_text(one.cordoned_directories.value_or(std::vector<Uuid>())));
}

std::string controller_text(const metadata::ControllerRegistration& one) {
  return fmt::format(
      "ControllerRegistration(id={}, incarnationId={}, zkMigrationReady={}, listeners={}, supportedFeatures={})",
      one.id, one.incarnation_id.text(), one.zk_migration_ready, listeners_text(one.listeners),
      features_text(one.features));
}

// 1024.0 and 1.5, as Java shows a double of everyday size.
std::string double_text(double value) {
  const std::string text = fmt::format("{}", value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string provenance_text(const metadata::Provenance& from) {
  const std::time_t seconds = from.last_timestamp_ms / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  const std::string fraction =
      from.last_timestamp_ms % 1000 == 0 ? "" : fmt::format(".{:03}", from.last_timestamp_ms % 1000);
  return fmt::format("offset {}, epoch {}, time {:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}Z[UTC]", from.last_offset,
                     from.last_epoch, parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                     parts.tm_min, parts.tm_sec, fraction);
}

std::string quota_name(const metadata::QuotaEntity& entity) {
  const std::pair<const char*, const char*> kinds[] = {{"client-id", "clientId"}, {"ip", "ip"}, {"user", "user"}};
  std::string text;
  for (const auto& [type, shown] : kinds) {
    const auto found = entity.find(type);
    if (found == entity.end()) continue;
    if (!text.empty()) text += '_';
    text.append(shown).append("(");
    for (const char letter : found->second.value_or("")) {
      if (letter == '\\' || letter == '(' || letter == ')') text += '\\';
      text += letter;
    }
    text += ')';
  }
  return text;
}

std::string_view config_type_name(metadata::ConfigResourceType type) {
  switch (type) {
    case metadata::ConfigResourceType::topic: return "TOPIC";
    case metadata::ConfigResourceType::broker: return "BROKER";
    case metadata::ConfigResourceType::broker_logger: return "BROKER_LOGGER";
    case metadata::ConfigResourceType::client_metrics: return "CLIENT_METRICS";
    case metadata::ConfigResourceType::group: return "GROUP";
    case metadata::ConfigResourceType::unknown: break;
  }
  return "UNKNOWN";
}

void add_topics(MetadataNode& topics, const metadata::TopicsImage& image) {
  MetadataNode& by_id = topics.folder("byId");
  MetadataNode& by_name = topics.folder("byName");
  for (const auto& [name, topic] : image.by_name()) {
    MetadataNode node;
    node.leaf("name", name);
    node.leaf("id", topic->id.text());
    for (std::int32_t index = 0; index < topic->partition_count(); ++index) {
      if (const metadata::PartitionRegistration* partition = topic->partition(index))
        node.leaf(std::to_string(index), partition_text(*partition));
    }
    by_id.children[topic->id.text()] = node;
    by_name.children[name] = std::move(node);
  }
}

void add_security(MetadataNode& image_node, const metadata::MetadataImage& image) {
  MetadataNode& acls = image_node.folder("acls").folder("byId");
  for (const auto& [id, acl] : image.acls) {
    acls.leaf(id.text(),
              fmt::format("StandardAcl[resourceType={}, resourceName={}, patternType={}, principal={}, host={}, "
                          "operation={}, permissionType={}]",
                          acl.resource_type, acl.resource_name, acl.pattern_type, acl.principal, acl.host,
                          acl.operation, acl.permission_type));
  }
  MetadataNode& scram = image_node.folder("scram");
  const char* const mechanisms[] = {"SCRAM-SHA-256", "SCRAM-SHA-512"};
  for (const char* mechanism : mechanisms) scram.folder(mechanism);
  for (const auto& [key, credential] : image.scram) {
    if (key.mechanism < 1 || key.mechanism > 2) continue;
    // What can be used to log in is not shown.
    scram.folder(mechanisms[key.mechanism - 1])
        .leaf(key.user, fmt::format("ScramCredentialData(salt=[redacted], storedKey=[redacted], serverKey=[redacted], "
                                    "iterations={})",
                                    credential.iterations));
  }
  MetadataNode& tokens = image_node.folder("delegationToken");
  for (const auto& [id, token] : image.tokens) {
    tokens.leaf(id, fmt::format("DelegationTokenData(owner={}, tokenRequester={}, renewers={}, issueTimestamp={}, "
                                "maxTimestamp={}, expiryTimestamp={}, tokenId=[redacted])",
                                token.owner, token.requester, list_text(token.renewers), token.issue_ms, token.max_ms,
                                token.expiry_ms));
  }
}

// "a*", "b?", "{x,y}" to a regular expression of a whole name; nothing if the word has no such sign.
Result<std::optional<std::string>> pattern_of(std::string_view word) {
  std::string pattern;
  bool special = false;
  bool in_group = false;
  for (const char sign : word) {
    if (sign == '*') {
      pattern += ".*";
    } else if (sign == '?') {
      pattern += '.';
    } else if (sign == '{') {
      if (in_group) return fail(Errc::invalid_argument, "Can't nest glob groups.");
      in_group = true;
      pattern += "(?:";
    } else if (sign == ',' && in_group) {
      pattern += '|';
    } else if (sign == '}' && in_group) {
      in_group = false;
      pattern += ')';
    } else {
      pattern += RE2::QuoteMeta(std::string_view(&sign, 1));
      continue;
    }
    special = true;
  }
  if (in_group) return fail(Errc::invalid_argument, "Unterminated glob group.");
  return special ? std::optional<std::string>(pattern) : std::nullopt;
}

Result<void> find_below(const MetadataNode& node, const std::vector<std::string>& words, std::size_t at,
                        const std::string& name, std::vector<FoundNode>& found) {
  if (at == words.size()) {
    found.push_back({name, &node});
    return {};
  }
  const auto child_name = [&](const std::string& child) {
    return name.empty() || name == "/" ? name + child : name + "/" + child;
  };
  Result<std::optional<std::string>> pattern = pattern_of(words[at]);
  KLAMM_TRY(pattern);
  if (!*pattern) {
    const auto child = node.children.find(words[at]);
    if (child == node.children.end()) return {};
    return find_below(child->second, words, at + 1, child_name(child->first), found);
  }
  const RE2 expression(**pattern, RE2::Quiet);
  for (const auto& [child, below] : node.children) {
    if (!RE2::FullMatch(child, expression)) continue;
    Result<void> deeper = find_below(below, words, at + 1, child_name(child), found);
    KLAMM_TRY(deeper);
  }
  return {};
}

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace

void MetadataNode::leaf(const std::string& name, std::string content) {
  MetadataNode& node = children[name];
  node.directory = false;
  node.text = std::move(content);
}

Result<metadata::ImageRef> load_metadata(const std::string& path) { return MetadataFile().load(path); }

MetadataNode metadata_tree(const metadata::MetadataImage& image) {
  MetadataNode root;
  MetadataNode& local = root.folder("local");
  local.leaf("version", KLAMM_VERSION);
  local.leaf("commitId", "klamm");
  MetadataNode& node = root.folder("image");
  node.leaf("provenance", provenance_text(image.provenance));
  MetadataNode& features = node.folder("features");
  const std::optional<metadata::MetadataVersion> version = image.metadata_version();
  features.leaf(
      "metadataVersion",
      version ? "Optional[" + level_text(metadata::kMetadataVersionFeature, version->level) + "]" : "Optional.empty");
  for (const auto& [name, level] : image.features) {
    if (name != metadata::kMetadataVersionFeature) features.leaf("finalized_" + name, std::to_string(level));
  }
  MetadataNode& brokers = node.folder("cluster").folder("brokers");
  for (const auto& [id, broker] : image.cluster.brokers) brokers.leaf(std::to_string(id), broker_text(*broker));
  MetadataNode& controllers = node.folder("cluster").folder("controllers");
  for (const auto& [id, one] : image.cluster.controllers) controllers.leaf(std::to_string(id), controller_text(*one));
  add_topics(node.folder("topics"), image.topics);
  MetadataNode& configs = node.folder("configs");
  for (const auto& [resource, values] : image.configs.resources) {
    std::string name(config_type_name(resource.type));
    if (!resource.name.empty()) name += ":" + resource.name;
    for (const auto& [key, value] : *values) configs.folder(name).leaf(key, value);
  }
  MetadataNode& quotas = node.folder("clientQuotas");
  for (const auto& [entity, values] : image.client_quotas) {
    for (const auto& [key, value] : *values) quotas.folder(quota_name(entity)).leaf(key, double_text(value));
  }
  node.folder("producerIds").leaf("nextProducerId", std::to_string(image.next_producer_id));
  add_security(node, image);
  return root;
}

std::vector<std::string> resolve_path(const std::vector<std::string>& folder, std::string_view word) {
  std::vector<std::string> path = word.starts_with('/') ? std::vector<std::string>() : folder;
  for (std::string& part : parts_of(word)) {
    if (part != "..") {
      path.push_back(std::move(part));
    } else if (!path.empty()) {
      path.pop_back();
    }
  }
  return path;
}

Result<std::vector<FoundNode>> find_nodes(const MetadataNode& root, const std::vector<std::string>& folder,
                                          std::string_view word) {
  std::vector<FoundNode> found;
  const bool absolute = word.starts_with('/');
  const bool goes_up = word.find("..") != std::string_view::npos;
  if (absolute || goes_up) {
    // Names from the root on: where ".." led is not what was typed.
    Result<void> done = find_below(root, resolve_path(folder, word), 0, "/", found);
    KLAMM_TRY(done);
    return found;
  }
  const MetadataNode* start = &root;
  for (const std::string& part : folder) start = &start->children.at(part);
  Result<void> done = find_below(*start, parts_of(word), 0, "", found);
  KLAMM_TRY(done);
  return found;
}

}  // namespace klamm::tools
