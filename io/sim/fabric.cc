#include "io/sim/fabric.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io/sim/file_system.h"

namespace klamm::io::sim {

// ---------------------------------------------------------------------------------------------------------- links

Fabric::Link Fabric::link_of(const Connection& connection, int side) {
  return {connection.ends[side].process->node().index(), connection.ends[1 - side].process->node().index()};
}

Duration Fabric::latency(std::uint32_t from, std::uint32_t to) {
  if (from == to) return options_.loopback_latency.draw(random_);
  Duration drawn = options_.latency.draw(random_);
  const auto extra = extra_delay_.find({from, to});
  if (extra != extra_delay_.end()) drawn += extra->second;
  return drawn;
}

void Fabric::set_extra_delay(Link link, Duration extra) {
  if (extra == Duration(0)) {
    extra_delay_.erase(link);
  } else {
    extra_delay_[link] = extra;
  }
}

void Fabric::allow(Link link) {
  if (blocked_.erase(link) == 0) return;
  resume_stalled([link](Link candidate) { return candidate == link; });
}

void Fabric::allow_all() {
  blocked_.clear();
  resume_stalled([](Link) { return true; });
}

// What could not arrive is sent again.
void Fabric::resume_stalled(const std::function<bool(Link)>& matches) {
  for (const auto& [id, connection] : connections_) {
    for (int side = 0; side < 2; ++side) {
      End& from = connection->ends[side];
      if (!from.stalled || !matches(link_of(*connection, side))) continue;
      from.stalled = false;
      if (from.outgoing.empty()) continue;
      from.outgoing.front().arrival = simulation_.now() + options_.heal_delay.draw(random_);
      schedule_arrival(connection, side);
    }
  }
}

std::vector<ConnectionRef> Fabric::between(std::uint32_t left, std::uint32_t right) const {
  std::vector<ConnectionRef> found;
  for (const auto& [id, connection] : connections_) {
    const Link link = link_of(*connection, 0);
    if (link == Link{left, right} || link == Link{right, left}) found.push_back(connection);
  }
  return found;
}

std::vector<ConnectionRef> Fabric::of(std::uint32_t node) const {
  std::vector<ConnectionRef> found;
  for (const auto& [id, connection] : connections_) {
    const Link link = link_of(*connection, 0);
    if (link.first == node || link.second == node) found.push_back(connection);
  }
  return found;
}

// ---------------------------------------------------------------------------------------------------------- an end

std::optional<Error> Fabric::broken(const End& end) const {
  if (end.closed || end.process->dead()) return Error(Errc::cancelled, "connection to " + end.peer.text());
  if (end.error_number != 0) return system_error(end.error_number, "connection to " + end.peer.text());
  return std::nullopt;
}

std::size_t Fabric::room(const End& end) const {
  return end.unread_by_peer >= options_.socket_buffer_bytes ? 0 : options_.socket_buffer_bytes - end.unread_by_peer;
}

void Fabric::wake(End& end) {
  if (end.shard == nullptr) return;
  end.shard->enqueue(end.reader);
  end.shard->enqueue(end.writer);
}

void Fabric::break_end(End& end, int error_number) {
  if (end.closed || end.error_number != 0) return;
  end.error_number = error_number;
  end.received.clear();
  end.received_bytes = 0;
  end.outgoing.clear();
  wake(end);
}

Result<std::size_t> Fabric::read(const ConnectionRef& connection, int side, MutableBytes into) {
  End& end = connection->ends[side];
  End& other = connection->ends[1 - side];
  std::optional<Error> failed = broken(end);
  if (failed) return fail(std::move(*failed));
  if (end.received.empty()) return fail(end.end_received ? Errc::end_of_stream : Errc::would_block);
  std::size_t wanted = std::min<std::uint64_t>(into.size(), end.received_bytes);
  if (wanted > 1 && random_.chance(options_.partial_chance)) wanted = 1 + random_.below(wanted);
  for (std::size_t done = 0; done < wanted;) {
    Slice& front = end.received.front();
    const std::size_t size = std::min(front.size(), wanted - done);
    std::memcpy(into.data() + done, front.data(), size);
    done += size;
    front.remove_prefix(size);
    if (front.empty()) end.received.pop_front();
  }
  end.received_bytes -= wanted;
  other.unread_by_peer -= std::min<std::uint64_t>(wanted, other.unread_by_peer);
  if (other.writer.waiting()) {  // it learns of the room a latency later
    const Link back = link_of(*connection, side);
    simulation_.events().add(simulation_.now() + latency(back.first, back.second), [connection, side] {
      End& writer = connection->ends[1 - side];
      if (writer.shard != nullptr) writer.shard->enqueue(writer.writer);
    });
  }
  return wanted;
}

// Copies a prefix of the pieces into `into`. Stops before a file region that is not in memory.
Result<std::size_t> Fabric::gather(End& end, std::span<const Piece> pieces, MutableBytes into) {
  std::size_t done = 0;
  for (const Piece& piece : pieces) {
    if (done == into.size()) break;
    const std::size_t size = std::min<std::uint64_t>(size_of(piece), into.size() - done);
    if (size == 0) continue;
    if (const auto* slice = std::get_if<Slice>(&piece)) {
      std::memcpy(into.data() + done, slice->data(), size);
      done += size;
      continue;
    }
    const FileRegion& region = std::get<FileRegion>(piece);
    const MutableBytes rest = into.subspan(done, size);
    Result<std::size_t> got =
        end.cold ? read_now(*region.file, region.offset, rest) : region.file->try_read(region.offset, rest);
    if (!got && got.error() == Errc::would_block && done == 0) end.cold = region;
    if (!got && done == 0) return fail(std::move(got).error());
    if (!got) return done;
    if (*got < size && done + *got == 0)
      return fail(Errc::corrupt, region.file->path() + " is shorter than the region to send");
    done += *got;
    end.cold.reset();
    if (*got < size) break;
  }
  return done;
}

Result<std::size_t> Fabric::write(const ConnectionRef& connection, int side, std::span<const Piece> pieces) {
  End& end = connection->ends[side];
  std::optional<Error> failed = broken(end);
  if (failed) return fail(std::move(*failed));
  if (end.shut) return fail(system_error(EPIPE, "connection to " + end.peer.text()));
  std::uint64_t total = 0;
  for (const Piece& piece : pieces) total += size_of(piece);
  if (total == 0) return std::size_t{0};
  std::size_t wanted = std::min<std::uint64_t>(total, room(end));
  if (wanted == 0) return fail(Errc::would_block);
  if (wanted > 1 && random_.chance(options_.partial_chance)) wanted = 1 + random_.below(wanted);
  Buffer::Ref buffer = Buffer::allocate(wanted);
  Result<std::size_t> gathered = gather(end, pieces, MutableBytes(buffer->data(), wanted));
  KLAMM_TRY(gathered);
  send(connection, side, Slice(std::move(buffer), *gathered));
  return *gathered;
}

void Fabric::wait(const ConnectionRef& connection, int side, Direction direction, std::coroutine_handle<> handle) {
  End& end = connection->ends[side];
  Wakeup& wakeup = direction == Direction::read ? end.reader : end.writer;
  KLAMM_CHECK(!wakeup.waiting(), "two coroutines wait for one direction of a stream");
  wakeup.set(handle);
  const bool over = end.closed || end.process->dead() || end.error_number != 0;
  if (direction == Direction::write && end.cold && !over) {
    const Duration delay = end.process->node().disk().draw_latency(DiskOperation::read);
    simulation_.events().add(simulation_.now() + delay, [connection, side] {
      End& writer = connection->ends[side];
      writer.shard->enqueue(writer.writer);
    });
    return;
  }
  const bool possible =
      direction == Direction::read ? !end.received.empty() || end.end_received : room(end) > 0 || end.shut;
  if (over || possible) end.shard->enqueue(wakeup);
}

void Fabric::shutdown_write(const ConnectionRef& connection, int side) {
  End& end = connection->ends[side];
  if (end.shut || broken(end)) return;
  end.shut = true;
  send(connection, side, Slice());
  if (end.shard != nullptr) end.shard->enqueue(end.writer);
}

void Fabric::close(const ConnectionRef& connection, int side) {
  End& end = connection->ends[side];
  if (end.closed) return;
  const bool was_broken = broken(end).has_value();
  const bool unread = !end.received.empty();
  const bool finished = std::exchange(end.shut, true);
  end.closed = true;
  end.cold.reset();
  wake(end);
  if (!was_broken) {
    if (unread) {  // as the kernel does: the peer learns that its bytes were thrown away
      end.outgoing.clear();
      send_reset(connection, 1 - side);
    } else if (!finished) {
      send(connection, side, Slice());
    }
  }
  forget_if_over(*connection);
}

// ---------------------------------------------------------------------------------------------------------- the way

void Fabric::note(std::string_view what, const Connection& connection, int side, std::uint64_t size) {
  const Link link = link_of(connection, side);
  simulation_.trace().note(simulation_.now(), what, (std::uint64_t{link.first} << 32) | link.second,
                           connection.id * 2 + static_cast<std::uint64_t>(side), size);
}

void Fabric::send(const ConnectionRef& connection, int side, Slice bytes) {
  End& end = connection->ends[side];
  simulation_.trace().add(bytes.bytes());
  const Link link = link_of(*connection, side);
  Instant leaves = simulation_.now();
  if (options_.bytes_per_second != 0) {
    const double seconds = static_cast<double>(bytes.size()) / static_cast<double>(options_.bytes_per_second);
    leaves = std::max(leaves, end.line_free) + Duration(static_cast<std::int64_t>(seconds * 1e9));
    end.line_free = leaves;
  }
  end.last_arrival = std::max(end.last_arrival, leaves + latency(link.first, link.second));
  end.unread_by_peer += bytes.size();
  end.outgoing.push_back({end.last_arrival, std::move(bytes)});
  schedule_arrival(connection, side);
}

void Fabric::schedule_arrival(const ConnectionRef& connection, int side) {
  End& from = connection->ends[side];
  if (from.arrival_scheduled || from.stalled || from.outgoing.empty()) return;
  from.arrival_scheduled = true;
  const Instant when = std::max(from.outgoing.front().arrival, simulation_.now());
  simulation_.events().add(when, [this, connection, side] { arrive(connection, side); });
}

void Fabric::arrive(const ConnectionRef& connection, int side) {
  End& from = connection->ends[side];
  End& to = connection->ends[1 - side];
  from.arrival_scheduled = false;
  if (from.outgoing.empty()) return;
  const Link link = link_of(*connection, side);
  const bool machine_down = to.process->dead() && to.process->silent() && !to.process->node().alive();
  const bool sender_down = from.process->dead() && from.process->silent();
  if (connection->dropped || blocked_.contains(link) || machine_down || sender_down) {
    stall(connection, side);
    return;
  }
  const End::Segment segment = std::move(from.outgoing.front());
  from.outgoing.pop_front();
  if (to.closed || to.process->dead()) {
    if (!segment.bytes.empty()) send_reset(connection, side);
  } else if (to.error_number == 0) {
    note(segment.bytes.empty() ? "end" : "arrive", *connection, side, segment.bytes.size());
    if (segment.bytes.empty()) {
      to.end_received = true;
    } else {
      to.received_bytes += segment.bytes.size();
      to.received.push_back(segment.bytes);
    }
    if (to.shard != nullptr) to.shard->enqueue(to.reader);
  }
  schedule_arrival(connection, side);
  forget_if_over(*connection);
}

// Nothing arrives until the way is free again. If that takes too long, the sender gives up.
void Fabric::stall(const ConnectionRef& connection, int side) {
  End& from = connection->ends[side];
  from.stalled = true;
  const std::uint64_t stall = ++from.stalls;
  note("stall", *connection, side, from.outgoing.size());
  simulation_.events().add(simulation_.now() + options_.dead_peer_timeout, [this, connection, side, stall] {
    End& end = connection->ends[side];
    if (!end.stalled || end.stalls != stall) return;
    end.outgoing.clear();
    break_end(end, ETIMEDOUT);
    forget_if_over(*connection);
  });
}

// A reset on its way to `to_side`. Lost if the way is blocked: then that end stays half-open.
void Fabric::send_reset(const ConnectionRef& connection, int to_side) {
  const Link link = link_of(*connection, 1 - to_side);
  simulation_.events().add(simulation_.now() + latency(link.first, link.second), [this, connection, to_side, link] {
    if (connection->dropped || blocked_.contains(link)) return;
    note("reset", *connection, 1 - to_side, 0);
    break_end(connection->ends[to_side], ECONNRESET);
    forget_if_over(*connection);
  });
}

void Fabric::cut(const ConnectionRef& connection) {
  note("cut", *connection, 0, 0);
  for (int side = 0; side < 2; ++side) {
    const Link link = link_of(*connection, side);
    simulation_.events().add(simulation_.now() + latency(link.first, link.second), [this, connection, side] {
      break_end(connection->ends[side], ECONNRESET);
      forget_if_over(*connection);
    });
  }
}

void Fabric::drop(const ConnectionRef& connection) {
  note("drop", *connection, 0, 0);
  connection->dropped = true;
}

void Fabric::forget_if_over(const Connection& connection) {
  for (const End& end : connection.ends) {
    const bool over = end.closed || end.process->dead() || end.error_number != 0;
    if (!over || (!end.outgoing.empty() && end.error_number == 0)) return;
  }
  connections_.erase(connection.id);
}

void Fabric::process_died(Process& process, PeersSee peers) {
  for (const ConnectionRef& connection : of(process.node().index())) {
    for (int side = 0; side < 2; ++side) {
      End& end = connection->ends[side];
      if (end.process != &process) continue;
      const bool reset = peers == PeersSee::reset || (peers == PeersSee::draw && random_.chance(0.5));
      end.outgoing.clear();
      wake(end);
      if (reset && !end.closed) send_reset(connection, 1 - side);
      forget_if_over(*connection);
    }
  }
  for (auto& [address, listener] : listeners_) {
    if (listener->process != &process) continue;
    listener->closed = true;
    listener->pending.clear();
    for (Wakeup* waiting : listener->waiting) listener->shard->enqueue(*waiting);
  }
  std::erase_if(listeners_, [&](const auto& entry) { return entry.second->process == &process; });
}

// The machine answers again: what peers keep sending to its last life meets a reset.
void Fabric::process_started(std::uint32_t node) {
  resume_stalled([node](Link link) { return link.second == node; });
}

}  // namespace klamm::io::sim
