// Controllers on simulated nodes that answer what a test tells them to, and write down what they were asked.
#pragma once

#include <doctest/doctest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/controller/controller_channel.h"
#include "broker/handler/dispatch.h"
#include "broker/server/acceptor.h"
#include "broker/server/session_host.h"
#include "io/sim/simulation.h"
#include "protocol/message/header.h"
#include "protocol/messages/api_versions_response.h"

namespace klamm::server::testing {

// One request that came in, and how it is answered. No answer: the controller hangs.
struct Asked {
  std::int32_t controller;
  protocol::ApiKey key;
  std::int16_t version;
  Slice body;
  std::string client_id;

  template <typename Request>
  Request as() const {
    Result<Request> request = wire::decode_request<Request>(body, version);
    REQUIRE(request.has_value());
    return std::move(*request);
  }
};

class ScriptedControllers {
 public:
  static constexpr std::uint16_t kPort = 9093;
  // Gives the answer's frame by reply(), or nothing.
  using Script = std::function<std::optional<io::Pieces>(const Asked& asked, std::int32_t correlation_id)>;

  ScriptedControllers(io::sim::Simulation& simulation, int count) : simulation_(simulation) {
    for (std::int32_t id = 1; id <= count; ++id) {
      io::sim::Node& node = simulation.add_node("controller" + std::to_string(id));
      auto controller = std::make_unique<One>(*this, id, node);
      REQUIRE(controller->acceptor.listen("CONTROLLER", {"", kPort}, 100));
      controller->acceptor.start();
      controllers_.push_back(std::move(controller));
    }
  }
  ~ScriptedControllers() {
    // What was given up while it connected ends by itself, within the time for setting a connection up.
    simulation_.run_for(35s);
    for (const auto& controller : controllers_) {
      controller->hung.notify_all();
      simulation_.run(controller->node.shard(), controller->acceptor.close());
      simulation_.run(controller->node.shard(), controller->host.close());
    }
  }

  Script script;
  std::vector<Asked> asked;
  std::int32_t leader = 1;  // -1: nobody knows

  controller::FindLeader find_leader() {
    return [this] {
      controller::LeaderAddress address;
      address.id = leader;
      if (leader > 0) address.endpoint = io::Endpoint{"controller" + std::to_string(leader), kPort};
      return address;
    };
  }
  // How many requests of this kind a controller got; 0: any controller.
  std::size_t count(protocol::ApiKey key, std::int32_t controller = 0) const {
    std::size_t found = 0;
    for (const Asked& each : asked) {
      if (each.key == key && (controller == 0 || each.controller == controller)) ++found;
    }
    return found;
  }
  template <typename Request>
  Request last() const {
    for (auto each = asked.rbegin(); each != asked.rend(); ++each) {
      if (each->key == Request::kApiKey) return each->template as<Request>();
    }
    FAIL("nobody asked that");
    return {};
  }
  template <typename Response>
  static std::optional<io::Pieces> reply(const Response& response, const Asked& to, std::int32_t correlation_id) {
    return protocol::encode_response(response, to.version, correlation_id);
  }

 private:
  struct One {
    One(ScriptedControllers& all, std::int32_t number, io::sim::Node& on)
        : id(number),
          node(on),
          hung(on.shard()),
          host(
              on.shard(), {},
              [&all, this](Slice frame, const security::RequestContext&, std::function<void()>,
                           handler::Hangup& hangup) { return all.serve(*this, std::move(frame), hangup); },
              Logger()),
          acceptor(on.shards(), on.shard(), {&host}, {}, Logger()) {}
    std::int32_t id;
    io::sim::Node& node;
    io::Signal hung;
    SessionHost host;
    Acceptor acceptor;
  };

  io::Task<handler::Reply> serve(One& controller, Slice frame, handler::Hangup& hangup) {
    wire::Reader reader(std::move(frame));
    Result<protocol::RequestHeader> header = protocol::read_request_header(reader);
    if (!header) co_return handler::Reply::close("no header");
    const auto key = static_cast<protocol::ApiKey>(header->request_api_key);
    if (key == protocol::ApiKey::api_versions) {
      protocol::ApiVersionsResponse response;
      for (const protocol::ApiInfo& api : protocol::all_apis()) {
        if (!api.on_controller) continue;
        auto& range = response.api_keys.emplace_back();
        range.api_key = static_cast<std::int16_t>(api.key);
        range.min_version = api.min_version;
        range.max_version = api.max_stable_version;
      }
      co_return handler::Reply::respond(
          protocol::encode_response(response, header->request_api_version, header->correlation_id));
    }
    asked.push_back(
        {controller.id, key, header->request_api_version, reader.read_rest(), header->client_id.value_or("")});
    const Asked now = asked.back();
    std::optional<io::Pieces> answer = script ? script(now, header->correlation_id) : std::nullopt;
    if (answer) co_return handler::Reply::respond(std::move(*answer));
    const handler::Hangup::Watch watch(hangup, [&controller] { controller.hung.notify_all(); });
    while (!hangup.gone()) co_await controller.hung.wait();
    co_return handler::Reply::silent();
  }

  io::sim::Simulation& simulation_;
  std::vector<std::unique_ptr<One>> controllers_;
};

}  // namespace klamm::server::testing
