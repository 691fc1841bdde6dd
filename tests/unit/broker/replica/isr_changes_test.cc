#include "broker/replica/isr_changes.h"

#include <doctest/doctest.h>

#include "io/sim/simulation.h"
#include "protocol/error.h"

namespace klamm::replica {
namespace {

using protocol::ErrorCode;
using Key = IsrChanges::Key;

const Key kFirst{Uuid{1, 1}, 0};
const Key kSecond{Uuid{1, 1}, 3};
const Key kThird{Uuid{2, 2}, 0};

// A controller that answers as `error_of` says; partitions mapped to `skipped` are left out of its answers.
class Lab {
 public:
  Lab()
      : node_(simulation_.add_node("n")),
        changes_(
            node_.shard(), 1, [] { return 77; },
            [this](protocol::AlterPartitionRequest request) { return answer(std::move(request)); },
            [this](const Key& key, std::uint64_t number, const IsrAnswer& answer) {
              answers.emplace_back(key, number, answer.error);
              return answer.error != ErrorCode::unknown_server_error;
            },
            Logger()) {}
  ~Lab() { simulation_.run(node_.shard(), changes_.close()); }

  void propose(const Key& key, std::uint64_t number) {
    IsrProposal proposal;
    proposal.isr = {{1, 77}, {2, 88}};
    proposal.leader_epoch = 5;
    proposal.partition_epoch = 6;
    proposal.number = number;
    changes_.propose(key, proposal);
  }
  bool until(const std::function<bool()>& done) { return simulation_.run_until(done, 10s); }
  bool until_idle() {
    return until([this] { return changes_.waiting() == 0; });
  }
  template <typename Function>
  void on_shard(Function function) {
    simulation_.run(node_.shard(), [&]() -> io::Task<void> {
      function();
      co_return;
    });
  }

  std::vector<protocol::AlterPartitionRequest> requests;
  std::vector<std::tuple<Key, std::uint64_t, ErrorCode>> answers;
  int unreachable = 0;
  std::map<Key, int> skipped;
  std::map<Key, std::vector<ErrorCode>> errors;  // one an answer, then none

 private:
  io::Task<Result<protocol::AlterPartitionResponse>> answer(protocol::AlterPartitionRequest request) {
    requests.push_back(request);
    co_await node_.shard().sleep(5ms);
    if (unreachable > 0) {
      --unreachable;
      co_return fail(Error(Errc::unavailable, "no controller", true));
    }
    protocol::AlterPartitionResponse response;
    for (const auto& topic : request.topics) {
      auto& answered = response.topics.emplace_back();
      answered.topic_id = topic.topic_id;
      for (const auto& partition : topic.partitions) {
        const Key key{topic.topic_id, partition.partition_index};
        if (skipped[key]-- > 0) continue;
        auto& each = answered.partitions.emplace_back();
        each.partition_index = partition.partition_index;
        std::vector<ErrorCode>& planned = errors[key];
        if (planned.empty()) continue;
        each.error_code = protocol::to_wire(planned.front());
        planned.erase(planned.begin());
      }
    }
    co_return response;
  }

  io::sim::Simulation simulation_{1};
  io::sim::Node& node_;
  IsrChanges changes_;
};

std::size_t partitions_in(const protocol::AlterPartitionRequest& request) {
  std::size_t count = 0;
  for (const auto& topic : request.topics) count += topic.partitions.size();
  return count;
}

}  // namespace

TEST_CASE("ISRs that are wanted at the same time go in one request, later ones in the next") {
  Lab lab;
  lab.on_shard([&] {
    lab.propose(kFirst, 1);
    lab.propose(kSecond, 1);
    lab.propose(kThird, 1);
  });
  REQUIRE(lab.until([&] { return lab.requests.size() == 1; }));
  lab.on_shard([&] { lab.propose(kFirst, 2); });
  REQUIRE(lab.until_idle());
  REQUIRE(lab.requests.size() == 2);
  CHECK(lab.requests[0].broker_id == 1);
  CHECK(lab.requests[0].broker_epoch == 77);
  CHECK(lab.requests[0].topics.size() == 2);
  CHECK(partitions_in(lab.requests[0]) == 3);
  const auto& partition = lab.requests[0].topics[0].partitions[0];
  CHECK(partition.leader_epoch == 5);
  CHECK(partition.partition_epoch == 6);
  REQUIRE(partition.new_isr_with_epochs.size() == 2);
  CHECK(partition.new_isr_with_epochs[1].broker_id == 2);
  CHECK(partition.new_isr_with_epochs[1].broker_epoch == 88);
  CHECK(lab.requests[0].check(3).has_value());
  CHECK(partitions_in(lab.requests[1]) == 1);
}

TEST_CASE("a controller that cannot be reached is asked again") {
  Lab lab;
  lab.unreachable = 3;
  lab.on_shard([&] { lab.propose(kFirst, 1); });
  REQUIRE(lab.until_idle());
  CHECK(lab.requests.size() == 4);
  CHECK(lab.answers.size() == 1);
}

TEST_CASE("what the controller does not answer, or asks to repeat, is sent again; the rest is not") {
  Lab lab;
  lab.skipped[kSecond] = 1;
  lab.errors[kThird] = {ErrorCode::unknown_server_error, ErrorCode::fenced_leader_epoch};
  lab.on_shard([&] {
    lab.propose(kFirst, 1);
    lab.propose(kSecond, 1);
    lab.propose(kThird, 1);
  });
  REQUIRE(lab.until_idle());
  REQUIRE(lab.requests.size() == 2);
  CHECK(partitions_in(lab.requests[1]) == 2);
  CHECK(lab.answers.size() == 4);
}

}  // namespace klamm::replica
