// What partitions know of their producers, and of transactions. There is no transaction coordinator yet: no transaction
// is known here, and that is the answer.
#include <algorithm>

#include "broker/handler/fan_out.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/storage/names.h"
#include "protocol/messages/describe_producers_request.h"
#include "protocol/messages/describe_producers_response.h"
#include "protocol/messages/describe_transactions_request.h"
#include "protocol/messages/describe_transactions_response.h"
#include "protocol/messages/list_transactions_request.h"
#include "protocol/messages/list_transactions_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

struct Question {
  Uuid topic_id;
  std::int32_t partition = 0;
  std::vector<storage::ProducerEntry> producers;
  ErrorCode error = ErrorCode::none;
};

io::Task<void> describe_here(Services& local, std::vector<Question*>& questions) {
  for (Question* question : questions) {
    Result<replica::Partition::Lease> lease = local.replicas.lease(question->topic_id, question->partition);
    Result<void> leader;
    if (lease) leader = (*lease)->check_leader(-1);
    if (!lease || !leader) {
      question->error = protocol::code_of(lease ? leader.error() : lease.error());
      continue;
    }
    for (const auto& [id, entry] : (*lease)->log().producers().entries()) question->producers.push_back(entry);
    std::sort(question->producers.begin(), question->producers.end(),
              [](const auto& left, const auto& right) { return left.producer_id < right.producer_id; });
  }
  co_return;
}

io::Task<protocol::DescribeProducersResponse> answer(Call& call, protocol::DescribeProducersRequest request) {
  Services& services = call.services;
  const metadata::ImageRef image = services.image();
  std::vector<std::unique_ptr<Question>> questions;
  ByShard<Question> by_shard;
  for (const auto& topic : request.topics) {
    const metadata::TopicImage* known = image->topics.find(std::string_view(topic.name));
    for (const std::int32_t partition : topic.partition_indexes) {
      auto question = std::make_unique<Question>();
      question->partition = partition;
      if (!storage::check_topic_name(topic.name)) {
        question->error = ErrorCode::invalid_topic_exception;
      } else if (known == nullptr || known->partition(partition) == nullptr) {
        question->error = ErrorCode::unknown_topic_or_partition;
      } else {
        question->topic_id = known->id;
        by_shard[services.serving(*known, partition).shard.index()].push_back(question.get());
      }
      questions.push_back(std::move(question));
    }
  }
  auto on_shard = [](Services& there, std::vector<Question*>& mine) { return describe_here(there, mine); };
  co_await on_each_shard(services, by_shard, on_shard);
  protocol::DescribeProducersResponse response;
  std::size_t next = 0;
  for (const auto& topic : request.topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = topic.name;
    for (std::size_t count = topic.partition_indexes.size(); count > 0; --count) {
      const Question& question = *questions[next++];
      auto& each = answered.partitions.emplace_back();
      each.partition_index = question.partition;
      each.error_code = code(question.error);
      for (const storage::ProducerEntry& producer : question.producers) {
        auto& described = each.active_producers.emplace_back();
        described.producer_id = producer.producer_id;
        described.producer_epoch = producer.epoch;
        described.last_sequence = producer.last_sequence();
        described.last_timestamp = producer.last_timestamp;
        described.coordinator_epoch = producer.coordinator_epoch;
        described.current_txn_start_offset = producer.transaction_first_offset;
      }
    }
  }
  co_return response;
}

io::Task<protocol::ListTransactionsResponse> list(Call& call, protocol::ListTransactionsRequest request) {
  static constexpr std::string_view kStates[] = {"Empty",        "Ongoing",          "PrepareCommit",
                                                 "PrepareAbort", "CompleteCommit",   "CompleteAbort",
                                                 "Dead",         "PrepareEpochFence"};
  protocol::ListTransactionsResponse response;
  for (const std::string& state : request.state_filters) {
    if (std::find(std::begin(kStates), std::end(kStates), state) == std::end(kStates)) {
      response.unknown_state_filters.push_back(state);
    }
  }
  (void)call;
  co_return response;
}

io::Task<protocol::DescribeTransactionsResponse> describe_each(Call& call,
                                                               protocol::DescribeTransactionsRequest request) {
  protocol::DescribeTransactionsResponse response;
  for (const std::string& id : request.transactional_ids) {
    auto& state = response.transaction_states.emplace_back();
    state.transactional_id = id;
    state.error_code = code(ErrorCode::transactional_id_not_found);
  }
  (void)call;
  co_return response;
}

}  // namespace

io::Task<Reply> describe_producers(Call& call, Slice body) {
  return serve_with<&answer, protocol::DescribeProducersRequest, protocol::DescribeProducersResponse>(call,
                                                                                                      std::move(body));
}
io::Task<Reply> list_transactions(Call& call, Slice body) {
  return serve_with<&list, protocol::ListTransactionsRequest, protocol::ListTransactionsResponse>(call,
                                                                                                  std::move(body));
}
io::Task<Reply> describe_transactions(Call& call, Slice body) {
  return serve_with<&describe_each, protocol::DescribeTransactionsRequest, protocol::DescribeTransactionsResponse>(
      call, std::move(body));
}

}  // namespace klamm::handler
