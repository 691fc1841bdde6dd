#include "broker/raft/quorum_state.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace klamm::raft {
namespace {

using Json = nlohmann::json;

std::optional<std::int32_t> number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  const std::int64_t value = found->get<std::int64_t>();
  if (value < INT32_MIN || value > INT32_MAX) return std::nullopt;
  return static_cast<std::int32_t>(value);
}

tl::unexpected<Error> bad(std::string_view what) { return fail(Errc::malformed, "quorum-state: " + std::string(what)); }

}  // namespace

std::string format_quorum_state(const QuorumState& state) {
  const std::int32_t voted_id = state.voted ? state.voted->id : -1;
  if (state.data_version >= 1) {
    const Uuid voted_directory = state.voted ? state.voted->directory_id : Uuid();
    return fmt::format(R"({{"leaderId":{},"leaderEpoch":{},"votedId":{},"votedDirectoryId":"{}","data_version":1}})",
                       state.leader_id, state.leader_epoch, voted_id, voted_directory.text());
  }
  std::string voters;
  for (const std::int32_t voter : state.static_voters) {
    voters += fmt::format(R"({}{{"voterId":{}}})", voters.empty() ? "" : ",", voter);
  }
  return fmt::format(R"({{"clusterId":"","leaderId":{},"leaderEpoch":{},"votedId":{},"appliedOffset":0,)"
                     R"("currentVoters":[{}],"data_version":0}})",
                     state.leader_id, state.leader_epoch, voted_id, voters);
}

Result<QuorumState> parse_quorum_state(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return bad("not a JSON object");
  const std::optional<std::int32_t> version = number(json, "data_version");
  if (!version) return bad("no data_version");
  if (*version != 0 && *version != 1) {
    return fail(Errc::unsupported, fmt::format("quorum-state: data_version {} is not known", *version));
  }
  const std::optional<std::int32_t> leader = number(json, "leaderId");
  const std::optional<std::int32_t> epoch = number(json, "leaderEpoch");
  const std::optional<std::int32_t> voted = number(json, "votedId");
  if (!leader || !epoch || !voted || *leader < -1 || *voted < -1 || *epoch < -1) {
    return bad("leaderId, leaderEpoch or votedId is missing or out of range");
  }
  QuorumState state;
  state.data_version = static_cast<std::int16_t>(*version);
  state.leader_id = *leader;
  state.leader_epoch = std::max(*epoch, 0);
  if (*voted >= 0) state.voted = ReplicaKey{*voted, {}};
  if (*version == 1) {
    const auto directory = json.find("votedDirectoryId");
    if (directory == json.end() || !directory->is_string()) return bad("no votedDirectoryId");
    const std::optional<Uuid> id = Uuid::parse(directory->get<std::string>());
    if (!id) return bad("votedDirectoryId is no uuid");
    if (state.voted) state.voted->directory_id = *id;
    return state;
  }
  const auto voters = json.find("currentVoters");
  if (voters != json.end() && voters->is_array()) {
    for (const Json& voter : *voters) {
      const std::optional<std::int32_t> id = voter.is_object() ? number(voter, "voterId") : std::nullopt;
      if (!id) return bad("an entry of currentVoters has no voterId");
      state.static_voters.push_back(*id);
    }
  }
  return state;
}

io::Task<Result<std::optional<QuorumState>>> load_quorum_state(io::FileSystem& files, std::string directory) {
  Result<Slice> content = co_await io::read_file(files, io::join_path(directory, kQuorumStateFile), 1U << 20);
  if (!content) {
    if (content.error() == Errc::not_found) co_return std::nullopt;
    co_return fail(std::move(content).error());
  }
  if (content->empty()) co_return std::nullopt;
  Result<QuorumState> state = parse_quorum_state(content->text());
  if (!state) co_return fail(std::move(state).error().in(directory));
  co_return std::optional<QuorumState>(std::move(*state));
}

io::Task<Result<void>> save_quorum_state(io::FileSystem& files, std::string directory, QuorumState state) {
  const std::string text = format_quorum_state(state);
  std::string path = io::join_path(directory, kQuorumStateFile);
  Result<void> saved = co_await io::write_file_atomically(files, std::move(path), Slice::copy(text));
  co_return saved;
}

}  // namespace klamm::raft
