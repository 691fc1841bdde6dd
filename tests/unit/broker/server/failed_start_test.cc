// A start that fails leaves the directories as they were.
#include "broker/storage/names.h"
#include "node_fixture.h"

using namespace klamm;
using namespace klamm::server::testing;

namespace {

std::map<std::string, std::string> contents(Host& host) {
  io::FileSystem& files = host.machine().at(0).files();
  Result<std::vector<std::string>> names = host.machine().run(0, files.list("/data"));
  REQUIRE(names.has_value());
  std::map<std::string, std::string> all;
  for (const std::string& name : *names) {
    const std::string path = "/data/" + name;
    Result<io::FileInfo> info = host.machine().run(0, files.stat(path));
    REQUIRE(info.has_value());
    if (info->is_directory) continue;
    Result<Slice> content = host.machine().run(0, io::read_file(files, path));
    REQUIRE(content.has_value());
    all[name] = std::string(content->text());
  }
  return all;
}

// A start on a port that is taken.
void fail_to_start(Host& host) {
  io::Machine& machine = host.machine();
  Result<std::unique_ptr<io::Listener>> taken = machine.at(0).listen({"127.0.0.1", 0}, 1);
  REQUIRE(taken.has_value());
  const std::string address = (*taken)->local().text();
  klamm::server::NodeOptions options{
      node_config({{"listeners", "PLAINTEXT://" + address + ",CONTROLLER://127.0.0.1:0"}}), Logger(), {}};
  auto node = std::make_unique<klamm::server::Node>(machine, std::move(options));
  const Result<void> started = machine.run(0, node->start());
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().message().find(address) != std::string::npos);
  machine.run(0, [](std::unique_ptr<klamm::server::Node>* own, std::unique_ptr<io::Listener>* other) -> io::Task<void> {
    own->reset();
    other->reset();
    co_return;
  }(&node, &*taken));
}

}  // namespace

TEST_CASE("a start that fails before the logs are open changes no checkpoint and calls no stop clean") {
  Host host;
  { const RunningNode node(host); }
  const std::map<std::string, std::string> after_stop = contents(host);
  REQUIRE(after_stop.contains(std::string(storage::kCleanShutdownFile)));
  fail_to_start(host);
  CHECK(contents(host) == after_stop);

  // As after a crash.
  const std::string marker = "/data/" + std::string(storage::kCleanShutdownFile);
  REQUIRE(host.machine().run(0, host.machine().at(0).files().remove(marker)).has_value());
  const std::map<std::string, std::string> after_crash = contents(host);
  fail_to_start(host);
  CHECK(contents(host) == after_crash);
  const RunningNode again(host);
}
