// What the producer's tests share: numbered records on their way, and what became of them.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client_world.h"

namespace klamm::test {

using client::ProducerCore;
using Accepted = ProducerCore::Accepted;

struct Outcome {
  std::vector<Accepted> accepted;
  Result<void> flushed;
};

// Sends `count` numbered records to one partition and flushes. With `pause` between them, in virtual time.
inline io::Task<Outcome> ship(ProducerCore& producer, std::string topic, int count, Duration pause = 0ns) {
  Outcome outcome;
  for (int number = 0; number < count; ++number) {
    Accepted one = co_await send(producer, topic, std::to_string(number), 0);
    outcome.accepted.push_back(std::move(one));
    if (pause > 0ns) co_await producer.shard().sleep(pause);
  }
  outcome.flushed = co_await producer.flush();
  co_return outcome;
}

inline std::vector<std::string> numbers(int count) {
  std::vector<std::string> all;
  all.reserve(static_cast<std::size_t>(count));
  for (int number = 0; number < count; ++number) all.push_back(std::to_string(number));
  return all;
}

inline void check_all_delivered(const Outcome& outcome) {
  REQUIRE(outcome.flushed.has_value());
  for (std::size_t index = 0; index < outcome.accepted.size(); ++index) {
    const Accepted& one = outcome.accepted[index];
    REQUIRE(one.batch->done());
    const Error* error = one.batch->error(one.index);
    REQUIRE_MESSAGE(error == nullptr, (error ? error->message() : ""));
    REQUIRE(one.batch->offset(one.index) == static_cast<std::int64_t>(index));
  }
}

// Small batches and no linger, so that many requests are under way.
inline Config many_requests() { return {{"batch.size", "100"}, {"linger.ms", "0"}, {"retry.backoff.ms", "10"}}; }

}  // namespace klamm::test
