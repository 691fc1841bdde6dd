// Work on partitions that live on several shards: group it by shard, run each group where it belongs, wait for all.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <vector>

#include "broker/handler/services.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::handler {

// Items by the index of the shard that serves their partition.
template <typename Item>
using ByShard = std::map<std::size_t, std::vector<Item*>>;

// The shard of all items, if it is one.
template <typename Item>
std::optional<std::size_t> only_shard(const ByShard<Item>& by_shard) {
  return by_shard.size() == 1 ? std::optional(by_shard.begin()->first) : std::nullopt;
}

// Runs `function(services_of_shard, items)` (a coroutine) on every shard that has items, beside each other; returns
// when all have returned. The items belong to the caller, who must not look at them meanwhile.
template <typename Item, typename Function>
io::Task<void> on_each_shard(Services& here, ByShard<Item>& by_shard, Function& function) {
  auto run_one = [](Services* from, Services* to, std::vector<Item*>* items, Function* run) -> io::Task<void> {
    auto on_shard = [to, items, run]() -> io::Task<void> { co_await (*run)(*to, *items); };
    co_await io::call(from->shard, to->shard, on_shard);
  };
  if (by_shard.size() == 1) {
    auto& [index, items] = *by_shard.begin();
    co_await run_one(&here, here.everywhere[index], &items, &function);
    co_return;
  }
  io::Gate gate(here.shard);
  for (auto& [index, items] : by_shard) gate.spawn(run_one(&here, here.everywhere[index], &items, &function));
  co_await gate.close();
}

}  // namespace klamm::handler
