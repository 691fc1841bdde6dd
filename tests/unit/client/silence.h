// Brokers that do not answer, in all the ways that there are, for the tests of timeouts.
#pragma once

#include <array>
#include <string_view>

#include "client_world.h"

namespace klamm::test {

enum class Silence {
  refusing,     // nobody listens
  unreachable,  // what is sent to it is lost
  mute,         // takes connections and never says a word
  deaf,         // agrees on versions and tells its metadata, and nothing else
  cutting,      // cuts the connection instead of answering
  vanishing,    // is lost when it is asked for more than metadata and producer ids
};
constexpr std::array kSilences{Silence::refusing, Silence::unreachable, Silence::mute,
                               Silence::deaf,     Silence::cutting,     Silence::vanishing};

inline std::string_view name_of(Silence silence) {
  constexpr std::string_view kNames[] = {"refusing", "unreachable", "mute", "deaf", "cutting", "vanishing"};
  return kNames[static_cast<std::size_t>(silence)];
}

// Broker 1 of the world falls silent. `metadata_too`: for what needs nothing but metadata.
inline void fall_silent(ClientWorld& world, Silence silence, bool metadata_too, Config& config) {
  world.cluster.offers_all = true;
  const auto lost = [&world] { world.simulation.network().partition(world.node, world.cluster.node(1)); };
  switch (silence) {
    case Silence::refusing: config.set("bootstrap.servers", "broker1:1"); return;
    case Silence::unreachable: return lost();
    case Silence::mute: world.cluster.mute = true; return;
    case Silence::deaf:
    case Silence::cutting:
    case Silence::vanishing: break;
  }
  world.cluster.script = [&world, silence, metadata_too, lost](std::int32_t, ApiKey key) {
    if (key == ApiKey::metadata && !metadata_too) return Verdict::answer;
    if (key == ApiKey::init_producer_id && silence == Silence::vanishing) return Verdict::answer;
    if (silence == Silence::cutting) return Verdict::cut;
    if (silence == Silence::vanishing) world.simulation.after(0ns, lost);
    return Verdict::ignore;
  };
}

}  // namespace klamm::test
