#include "tests/unit/broker/raft/core_network.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/raft/control_records.h"
#include "broker/raft/snapshot.h"
#include "protocol/record/batch.h"

namespace klamm::raft::testing {
namespace {

constexpr Duration kTimeout = 2s;
constexpr Duration kAppendEvery = 40ms;

Uuid directory_of(int id) { return Uuid{100, static_cast<std::uint64_t>(id) + 1}; }

}  // namespace

CoreNetwork::CoreNetwork(std::uint64_t seed, NetworkOptions options) : options_(options), random_(seed) {
  for (int id = 0; id < options_.nodes + options_.observers; ++id) {
    nodes_.emplace_back().id = id;
    Disk& disk = nodes_.back().disk;
    disk.fresh = !options_.dynamic;
    if (options_.dynamic) disk.snapshots[kBootstrapSnapshotId] = Slice();
  }
  for (int id = 0; id < count(); ++id) restart(id);
}

Voter CoreNetwork::voter_of(int id) const {
  Voter voter;
  voter.key = {id, options_.dynamic ? directory_of(id) : Uuid()};
  voter.endpoints = {{"CONTROLLER", "node", static_cast<std::uint16_t>(9000 + id)}};
  return voter;
}

RaftConfig CoreNetwork::config_of(int id) {
  RaftConfig config;
  config.self = {id, directory_of(id)};
  config.endpoints = voter_of(id).endpoints;
  config.listener = "CONTROLLER";
  for (int other = 0; other < options_.nodes; ++other) config.bootstrap.push_back(voter_of(other).endpoints.front());
  config.auto_join = options_.auto_join;
  config.seed = random_.next();
  return config;
}

LocalState CoreNetwork::local_state(Node& node) {
  LocalState local;
  local.quorum_state = node.disk.state;
  if (options_.bug == PlantedBug::forget_vote && local.quorum_state) local.quorum_state->voted.reset();
  local.log.start = local.log.end = node.disk.start;
  for (const Stored& stored : node.disk.log) local.log.append(stored.epoch, stored.base, stored.last);
  for (const auto& [id, bytes] : node.disk.snapshots) local.log.snapshots.insert(id);
  std::vector<Voter> voters;
  for (int id = 0; id < options_.nodes; ++id) voters.push_back(voter_of(id));
  VotersAt first{-1, static_cast<std::int16_t>(options_.dynamic ? 1 : 0), VoterSet(std::move(voters)), false};
  first.from_bootstrap = options_.dynamic && !local.log.latest_snapshot();
  local.voters = {first};
  for (const Stored& stored : node.disk.log) {
    const record::BatchView view = record::BatchView::parse(stored.bytes).value();
    if (!view.is_control()) continue;
    const ControlFacts facts = read_control_batch(view).value();
    if (facts.voters) local.voters.push_back({stored.base, 1, *facts.voters, false});
  }
  local.fresh = node.disk.fresh;
  return local;
}

void CoreNetwork::restart(int id) {
  Node& one = node(id);
  if (one.core) return;
  ++one.life;
  one.core = std::make_unique<RaftCore>(config_of(id));
  one.core->start(now(), local_state(one));
  after_call(one);
}

// What was not flushed is gone, or a part of it.
void CoreNetwork::crash(int id) {
  Node& one = node(id);
  if (!one.core) return;
  ++one.life;
  one.core.reset();
  one.steps.clear();
  one.parts.clear();
  one.busy = false;
  one.woken_at = Duration::max();
  const std::size_t unflushed = one.disk.log.size() - one.disk.flushed;
  one.disk.log.resize(one.disk.flushed + static_cast<std::size_t>(random_.below(unflushed + 1)));
  one.disk.flushed = one.disk.log.size();
}

void CoreNetwork::wipe(int id) {
  crash(id);
  node(id).disk = Disk();
  node(id).disk.fresh = !options_.dynamic;
}

void CoreNetwork::isolate(int id) {
  for (int other = 0; other < count(); ++other) {
    if (other == id) continue;
    cut(id, other);
    cut(other, id);
  }
}

void CoreNetwork::disturb() {
  const int id = static_cast<int>(random_.below(static_cast<std::uint64_t>(options_.nodes)));
  switch (random_.below(7)) {
    case 0:
    case 1: crash(id); break;
    case 2: isolate(id); break;
    case 3: cut(id, static_cast<int>(random_.below(static_cast<std::uint64_t>(count())))); break;
    case 4: heal(); break;
    default:
      for (int other = 0; other < count(); ++other) restart(other);
      break;
  }
}

void CoreNetwork::restore_all() {
  heal();
  options_.loss = 0;
  for (int id = 0; id < count(); ++id) restart(id);
}

int CoreNetwork::leader() const {
  int best = -1;
  for (const Node& one : nodes_) {
    if (!one.core || !one.core->is_leader()) continue;
    if (best < 0 || one.core->epoch() > nodes_[static_cast<std::size_t>(best)].core->epoch()) best = one.id;
  }
  return best;
}

void CoreNetwork::call(int id, const std::function<void(RaftCore&)>& function) {
  Node& one = node(id);
  if (!one.core) return;
  function(*one.core);
  after_call(one);
}

void CoreNetwork::append(int id) {
  call(id, [this](RaftCore& leader) {
    const std::vector<Slice> values{Slice::copy(fmt::format("record {}", appended_))};
    if (leader.append(now(), leader.epoch(), values)) ++appended_;
  });
}

void CoreNetwork::run(Duration duration) {
  run_until([] { return false; }, duration);
}

bool CoreNetwork::run_until(const std::function<bool()>& done, Duration limit) {
  const Duration end = now_ + limit;
  Duration next_append = now_;
  while (violation_.empty()) {
    if (done()) return true;
    const Duration next = events_.empty() ? end : std::min(events_.top().at, end);
    if (next_append <= next) {
      now_ = std::max(now_, next_append);
      next_append = now_ + kAppendEvery / 2 + draw(kAppendEvery);
      // All that think they lead, those who do not know that they are deposed among them.
      for (Node& one : nodes_) {
        if (one.core && one.core->is_leader()) append(one.id);
      }
      if (options_.snapshots && random_.chance(0.05)) {
        maybe_snapshot(node(static_cast<int>(random_.below(static_cast<std::uint64_t>(count())))));
      }
    } else if (next >= end) {
      now_ = end;
      break;
    } else {
      step();
    }
  }
  return violation_.empty() && done();
}

void CoreNetwork::step() {
  Event event = events_.top();
  events_.pop();
  now_ = event.at;
  event.action();
}

// What the core wants after a call stands in line behind what it wanted before.
void CoreNetwork::after_call(Node& one) {
  for (Action& action : one.core->take_actions()) one.steps.emplace_back(std::move(action));
  wake(one);
  if (!one.busy && !one.steps.empty()) {
    one.busy = true;
    at(draw(1ms), [this, &one, life = one.life] {
      if (one.life == life) work(one);
    });
  }
}

void CoreNetwork::wake(Node& one) {
  const Instant deadline = one.core->next_deadline();
  if (deadline == Instant::never()) return;
  const Duration when = std::max(deadline.since_start, now_ + 100us);
  if (one.woken_at > now_ && one.woken_at <= when) return;
  one.woken_at = when;
  at(when - now_, [this, &one, life = one.life] {
    if (one.life != life) return;
    one.woken_at = Duration::max();
    one.core->tick(now());
    after_call(one);
  });
}

void CoreNetwork::work(Node& one) {
  one.busy = false;
  if (one.steps.empty()) {
    one.core->tick(now());
    after_call(one);
    return;
  }
  Step next = std::move(one.steps.front());
  one.steps.pop_front();
  if (auto* function = std::get_if<std::function<void()>>(&next)) {
    (*function)();
  } else {
    perform(one, std::get<Action>(next));
  }
  if (!one.core) return;
  for (Action& action : one.core->take_actions()) one.steps.emplace_back(std::move(action));
  one.busy = true;
  // A disk is slow now and then.
  const Duration took = random_.chance(0.02) ? draw(200ms) : draw(2ms);
  at(took, [this, &one, life = one.life] {
    if (one.life == life) work(one);
  });
}

void CoreNetwork::perform(Node& one, Action& action) {
  Disk& disk = one.disk;
  if (auto* persist = std::get_if<PersistQuorumState>(&action)) {
    disk.state = parse_quorum_state(format_quorum_state(persist->state)).value();
  } else if (auto* append = std::get_if<AppendBatch>(&action)) {
    const record::BatchView view = record::BatchView::parse(append->batch).value();
    if (append->base_offset != end_of(one)) break_invariant("a leader appends elsewhere than at its log's end");
    disk.log.push_back({append->batch, append->base_offset, append->last_offset, view.leader_epoch()});
    one.core->written(append->last_offset + 1);
  } else if (auto* fetched = std::get_if<AppendFetched>(&action)) {
    record::BatchCursor cursor(fetched->records);
    while (cursor.next()) {
      const record::BatchView view = cursor.batch().value();
      if (view.base_offset() != end_of(one)) break_invariant("a follower appends elsewhere than at its log's end");
      disk.log.push_back({cursor.entry(), view.base_offset(), view.last_offset(), view.leader_epoch()});
    }
    one.core->written(end_of(one));
  } else if (std::holds_alternative<FlushLog>(action)) {
    disk.flushed = disk.log.size();
    one.core->flushed(end_of(one));
  } else if (auto* truncate = std::get_if<TruncateLog>(&action)) {
    ++truncations_;
    while (!disk.log.empty() && disk.log.back().last >= truncate->end_offset) disk.log.pop_back();
    disk.flushed = std::min(disk.flushed, disk.log.size());
    one.core->truncated(truncate->end_offset);
  } else if (auto* part = std::get_if<WriteSnapshotPart>(&action)) {
    std::string& content = one.parts[part->id];
    content.resize(static_cast<std::size_t>(part->position));
    content += part->bytes.text();
  } else if (auto* install = std::get_if<InstallSnapshot>(&action)) {
    ++installs_;
    const Slice bytes = Slice::copy(one.parts[install->id]);
    one.parts.clear();
    SnapshotReader reader(install->id, bytes);
    const ControlFacts facts = reader.next().value()->control_facts;
    disk.snapshots = {{install->id, bytes}};
    disk.log.clear();
    disk.flushed = 0;
    disk.start = install->id.end_offset;
    one.core->installed(install->id, facts.voters, facts.kraft_version.value_or(0));
  } else if (auto* changed = std::get_if<LeaderChanged>(&action)) {
    told(one, *changed);
  } else if (auto* committed = std::get_if<Committed>(&action)) {
    check_committed(one, committed->high_watermark);
  } else if (std::holds_alternative<CaughtUp>(action)) {
    disk.fresh = false;
  } else if (auto* fault = std::get_if<Fail>(&action)) {
    break_invariant(fmt::format("node {} fails: {}", one.id, fault->error.message()));
  } else if (auto* vote = std::get_if<SendVote>(&action)) {
    send<SendVote, VoteAnswer>(
        one, *vote,
        [this, ask = vote->ask](Node& to, std::function<void(VoteAnswer)> reply) {
          const VoteAnswer answer = to.core->on_vote(now(), ask);
          // Behind what is to be persisted first.
          for (Action& next : to.core->take_actions()) to.steps.emplace_back(std::move(next));
          to.steps.emplace_back([reply, answer] { reply(answer); });
        },
        [this, sent = *vote](RaftCore& core, const VoteAnswer& answer) {
          SendVote asked = sent;
          if (options_.bug == PlantedBug::count_stale_epoch) asked.ask.epoch = core.epoch();
          core.on_vote_answer(now(), asked, answer);
        });
  } else if (auto* begin = std::get_if<SendBeginEpoch>(&action)) {
    send<SendBeginEpoch, Answer>(
        one, *begin,
        [this, ask = begin->ask](Node& to, std::function<void(Answer)> reply) {
          reply(to.core->on_begin_epoch(now(), ask));
        },
        [this, to = begin->to](RaftCore& core, const Answer& answer) { core.on_epoch_answer(now(), to, answer); });
  } else if (auto* end = std::get_if<SendEndEpoch>(&action)) {
    send<SendEndEpoch, Answer>(
        one, *end,
        [this, ask = end->ask](Node& to, std::function<void(Answer)> reply) {
          reply(to.core->on_end_epoch(now(), ask));
        },
        [this, to = end->to](RaftCore& core, const Answer& answer) { core.on_epoch_answer(now(), to, answer); });
  } else if (auto* fetch = std::get_if<SendFetch>(&action)) {
    send<SendFetch, FetchAnswer>(
        one, *fetch,
        [this, ask = fetch->ask](Node& to, std::function<void(FetchAnswer)> reply) {
          serve_fetch(to, ask, now_ + milliseconds(ask.max_wait_ms), false, std::move(reply));
        },
        [this, sent = *fetch](RaftCore& core, const FetchAnswer& answer) {
          core.on_fetch_answer(now(), sent, answer);
        });
  } else if (auto* snapshot = std::get_if<SendFetchSnapshot>(&action)) {
    send<SendFetchSnapshot, FetchSnapshotAnswer>(
        one, *snapshot,
        [this, ask = snapshot->ask](Node& to, std::function<void(FetchSnapshotAnswer)> reply) {
          FetchSnapshotAnswer answer = to.core->on_fetch_snapshot(now(), ask);
          if (answer.error == ErrorCode::none) {
            const Slice& whole = to.disk.snapshots.at(ask.id);
            answer.size = static_cast<std::int64_t>(whole.size());
            const auto from = static_cast<std::size_t>(ask.position);
            answer.bytes = whole.part(from, std::min<std::size_t>(200, whole.size() - from));
          }
          reply(answer);
        },
        [this, sent = *snapshot](RaftCore& core, const FetchSnapshotAnswer& answer) {
          core.on_fetch_snapshot_answer(now(), sent, answer);
        });
  } else if (auto* add = std::get_if<SendAddVoter>(&action)) {
    send<SendAddVoter, Answer>(
        one, *add,
        [this, voter = add->voter](Node& to, std::function<void(Answer)> reply) {
          const Result<std::int64_t> done = to.core->add_voter(now(), voter);
          Answer answer;
          answer.error = done ? ErrorCode::none : protocol::code_of(done.error());
          reply(answer);
        },
        [this](RaftCore& core, const Answer& answer) { core.on_update_voter_answer(now(), answer); });
  } else if (auto* update = std::get_if<SendUpdateVoter>(&action)) {
    send<SendUpdateVoter, Answer>(
        one, *update,
        [this, ask = update->ask](Node& to, std::function<void(Answer)> reply) {
          const Result<std::int64_t> done = to.core->update_voter(now(), ask);
          Answer answer;
          answer.error = done ? ErrorCode::none : protocol::code_of(done.error());
          answer.leader = to.core->leader();
          reply(answer);
        },
        [this](RaftCore& core, const Answer& answer) { core.on_update_voter_answer(now(), answer); });
  }
}

template <typename Send, typename A>
void CoreNetwork::send(Node& from, const Send& sent, std::function<void(Node&, std::function<void(A)>)> serve,
                       std::function<void(RaftCore&, const A&)> take) {
  const int to_id = id_at(sent.to.address);
  const int from_id = from.id;
  auto taken = std::make_shared<bool>(false);
  // Gets the answer, or none after a while.
  auto deliver = [this, &from, life = from.life, taken, take](const A& answer) {
    if (*taken || from.life != life || !from.core) return;
    *taken = true;
    take(*from.core, answer);
    after_call(from);
  };
  A nothing;
  nothing.error = ErrorCode::network_exception;
  const bool dead = !alive(to_id);
  at(dead ? draw(20ms) : kTimeout, [deliver, nothing] { deliver(nothing); });
  if (dead || cuts_.contains({from_id, to_id}) || random_.chance(options_.loss)) return;
  const Duration there = options_.loss > 0 && random_.chance(0.02) ? draw(3s) : draw(20ms);
  at(there, [this, from_id, to_id, serve = std::move(serve), deliver] {
    Node& to = node(to_id);
    if (!to.core) return;
    auto reply = [this, from_id, to_id, deliver](const A& answer) {
      if (cuts_.contains({to_id, from_id}) || random_.chance(options_.loss)) return;
      at(options_.loss > 0 && random_.chance(0.02) ? draw(3s) : draw(20ms), [deliver, answer] { deliver(answer); });
    };
    serve(to, reply);
    if (to.core) after_call(to);
  });
}

Slice CoreNetwork::records_from(const Node& one, std::int64_t offset) const {
  std::string bytes;
  for (const Stored& stored : one.disk.log) {
    if (stored.last >= offset && bytes.size() < 2000) bytes += stored.bytes.text();
  }
  return Slice::copy(bytes);
}

void CoreNetwork::serve_fetch(Node& one, FetchAsk ask, Duration deadline, bool again,
                              std::function<void(FetchAnswer)> reply) {
  if (options_.bug == PlantedBug::count_stale_epoch && one.core->is_leader()) ask.epoch = one.core->epoch();
  FetchAnswer answer = one.core->on_fetch(now(), ask, again);
  if (options_.bug == PlantedBug::skip_truncation && answer.diverging && ask.offset <= end_of(one)) {
    FetchAsk other = ask;
    const std::optional<std::int32_t> epoch = one.core->log().epochs.epoch_at(ask.offset - 1);
    other.last_epoch = epoch.value_or(ask.last_epoch);
    answer = one.core->on_fetch(now(), other, again);
  }
  if (answer.valid()) {
    answer.records = records_from(one, ask.offset);
    const bool wait = answer.records.empty() && ask.high_watermark >= answer.high_watermark && now_ < deadline;
    if (wait) {
      at(5ms, [this, &one, life = one.life, ask, deadline, reply = std::move(reply)] {
        if (one.life != life || !one.core) return;
        serve_fetch(one, ask, deadline, true, reply);
        after_call(one);
      });
      return;
    }
  }
  reply(answer);
}

void CoreNetwork::told(Node& one, const LeaderChanged& changed) {
  if (changed.leader.leader_id != one.id) return;
  const auto [found, first] = leaders_.try_emplace(changed.leader.epoch, one.id);
  if (!first && found->second != one.id) {
    break_invariant(fmt::format("nodes {} and {} both led epoch {}", found->second, one.id, changed.leader.epoch));
  }
  if (!first && found->second == one.id) {
    break_invariant(fmt::format("node {} led epoch {} twice", one.id, changed.leader.epoch));
  }
}

void CoreNetwork::check_committed(Node& one, std::int64_t high_watermark) {
  if (end_of(one) < high_watermark) break_invariant("a high watermark beyond the log's end");
  for (const Stored& stored : one.disk.log) {
    if (stored.last >= high_watermark) break;
    const auto [found, first] = committed_.try_emplace(stored.base, Fact{stored.last, stored.epoch, stored.bytes});
    const Fact& fact = found->second;
    if (fact.last != stored.last || fact.epoch != stored.epoch || !(fact.bytes == stored.bytes)) {
      break_invariant(fmt::format("node {} has another record at offset {} than was committed", one.id, stored.base));
    }
    if (first && stored.base < committed_end_) {
      break_invariant(fmt::format("node {} commits at {}, below what was committed", one.id, stored.base));
    }
  }
  committed_end_ = std::max(committed_end_, high_watermark);
}

// Replaces all below the high watermark by a snapshot.
void CoreNetwork::maybe_snapshot(Node& one) {
  if (!one.core || one.busy || one.core->high_watermark() <= one.disk.start) return;
  const std::int64_t end = one.core->high_watermark();
  SnapshotId id{end, 0};
  for (const Stored& stored : one.disk.log) {
    if (stored.last < end) id.epoch = stored.epoch;
    if (stored.last < end && stored.last + 1 > end) return;
  }
  if (id.epoch == 0) return;
  SnapshotBuilder::Options options;
  options.epoch = id.epoch;
  const VotersAt& voters = one.core->voters_below(end);
  options.voters = voters.kraft_version >= 1 ? &voters.voters : nullptr;
  SnapshotBuilder builder(options);
  const std::vector<Slice> values{Slice::copy(std::string(500, 's'))};
  builder.append(values);
  builder.finish();
  std::string bytes;
  for (const Slice& batch : builder.take()) bytes += batch.text();
  one.disk.snapshots = {{id, Slice::copy(bytes)}};
  std::size_t gone = 0;
  while (gone < one.disk.log.size() && one.disk.log[gone].last < end) ++gone;
  one.disk.log.erase(one.disk.log.begin(), one.disk.log.begin() + static_cast<std::ptrdiff_t>(gone));
  one.disk.flushed -= std::min(one.disk.flushed, gone);
  one.disk.start = end;
  one.core->log_changed(end, {id});
}

bool CoreNetwork::all_follow(std::int64_t end_offset) const {
  const int leads = leader();
  if (leads < 0) return false;
  for (const Node& one : nodes_) {
    const RaftCore& led_by = *nodes_[static_cast<std::size_t>(leads)].core;
    if (!one.core || one.core->leader() != led_by.leader()) return false;
    if (one.core->high_watermark() < end_offset) return false;
  }
  return true;
}

}  // namespace klamm::raft::testing
