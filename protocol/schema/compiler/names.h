// From Kafka's names to C++ ones.
#pragma once

#include <string>

#include "protocol/schema/compiler/model.h"

namespace klamm::schema {

// "LastFetchedEpoch" to "last_fetched_epoch"; runs of capitals are one word, "KRaft" too.
std::string snake_case(const std::string& name);
// snake_case, with '_' behind it where C++ has the word for itself.
std::string member_name(const std::string& name);
// The name in JSON: its first letter in lower case.
std::string json_name(const std::string& name);

// "Produce" for ProduceRequest and ProduceResponse.
std::string api_name(const Message& message);
// The namespace inside klamm::protocol, and the folder inside protocol/messages; empty for the source clients.
std::string source_namespace(const std::string& source);
// "klamm::protocol" or "klamm::protocol::group".
std::string full_namespace(const Message& message);
// Where the structs of a message are defined: "fetch_request_parts". The message has aliases for them; were they nested
// in it, std::optional of one could not be made while the message is incomplete (Clang).
std::string parts_namespace(const Message& message);
// "protocol/messages/group/offset_commit_key.h".
std::string header_path(const Message& message);

}  // namespace klamm::schema
