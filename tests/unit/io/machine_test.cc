#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "io/machine.h"
#include "io/sync.h"

using namespace klamm;
using namespace klamm::io;

namespace {

std::string temporary_directory() {
  char name[] = "/tmp/klamm-io-XXXXXX";
  return ::mkdtemp(name);
}

MachineOptions two_shards() { return {.shards = 2, .seed = 1, .disk_threads = 2}; }

Task<Result<std::string>> echo_once(Shard& server, Shard& client, std::size_t bytes) {
  Result<std::unique_ptr<Listener>> listener = server.listen({"127.0.0.1", 0}, 16);
  KLAMM_CO_TRY(listener);
  Gate gate(server);
  gate.spawn([](Listener* accepting, Shard* home) -> Task<void> {
    Result<std::unique_ptr<Stream>> stream = co_await accepting->accept(*home);
    REQUIRE(stream);
    Buffer::Ref buffer = Buffer::allocate(1 << 16);
    for (;;) {
      const MutableBytes room(buffer->data(), buffer->capacity());
      Result<std::size_t> got = co_await read_some(**stream, room);
      if (!got) break;
      Pieces pieces{Slice::copy(Bytes(buffer->data(), *got))};
      Result<void> put = co_await write_all(**stream, std::move(pieces));
      if (!put) break;
    }
  }(listener->get(), &server));
  const Endpoint address = (*listener)->local();
  auto talk = [&client, address, bytes]() -> Task<Result<std::string>> {
    Result<std::unique_ptr<Stream>> stream = co_await client.connect(address, 10s);
    KLAMM_CO_TRY(stream);
    Pieces request{Slice::copy(std::string(bytes, 'x'))};
    Gate writer(client);
    writer.spawn([](Stream* to, Pieces pieces) -> Task<void> {
      Result<void> put = co_await write_all(*to, std::move(pieces));
      CHECK(put);
    }(stream->get(), std::move(request)));
    std::string reply(bytes, 0);
    Result<void> got = co_await read_exactly(**stream, std::as_writable_bytes(std::span(reply)));
    co_await writer.close();
    KLAMM_CO_TRY(got);
    co_return reply;
  };
  Result<std::string> reply = co_await call(server, client, talk);
  co_await gate.close();
  co_return reply;
}

Task<Result<std::string>> send_file_region(Shard& shard, std::string path, std::size_t bytes) {
  Result<std::shared_ptr<File>> file = co_await shard.files().open(path, OpenMode::create);
  KLAMM_CO_TRY(file);
  const std::string content(bytes, 'f');
  Result<void> written = co_await (*file)->write(0, as_bytes(content));
  KLAMM_CO_TRY(written);
  Result<std::unique_ptr<Listener>> listener = shard.listen({"127.0.0.1", 0}, 16);
  KLAMM_CO_TRY(listener);
  Gate gate(shard);
  gate.spawn([](Listener* accepting, Shard* home, std::shared_ptr<File> sent, std::size_t size) -> Task<void> {
    Result<std::unique_ptr<Stream>> stream = co_await accepting->accept(*home);
    REQUIRE(stream);
    Pieces pieces;
    pieces.push_back(Slice::copy("<"));
    pieces.push_back(FileRegion{sent, 1, size - 1});
    pieces.push_back(Slice::copy(">"));
    Result<void> put = co_await write_all(**stream, std::move(pieces));
    CHECK(put);
  }(listener->get(), &shard, *file, bytes));
  Result<std::unique_ptr<Stream>> stream = co_await shard.connect((*listener)->local(), 10s);
  KLAMM_CO_TRY(stream);
  std::string got(bytes + 1, 0);
  Result<void> read = co_await read_exactly(**stream, std::as_writable_bytes(std::span(got)));
  KLAMM_CO_TRY(read);
  co_await gate.close();
  co_return got;
}

Task<Result<std::string>> use_files(FileSystem& files, std::string directory) {
  Result<void> made = co_await files.make_directories(join_path(directory, "a/b"));
  KLAMM_CO_TRY(made);
  const std::string path = join_path(directory, "a/b/file");
  Result<void> written = co_await write_file_atomically(files, path, Slice::copy("hello"));
  KLAMM_CO_TRY(written);
  Result<std::shared_ptr<File>> again = co_await files.open(path, OpenMode::create_new);
  CHECK((!again && again.error() == Errc::already_exists));
  Result<std::vector<std::string>> names = co_await files.list(join_path(directory, "a/b"));
  KLAMM_CO_TRY(names);
  CHECK(*names == std::vector<std::string>{"file"});
  Result<std::unique_ptr<FileLock>> lock = co_await files.lock(join_path(directory, ".lock"));
  CHECK(lock.has_value());
  Result<Slice> content = co_await read_file(files, path);
  KLAMM_CO_TRY(content);
  Result<void> removed = co_await remove_tree(files, directory);
  KLAMM_CO_TRY(removed);
  Result<FileInfo> gone = co_await files.stat(directory);
  CHECK((!gone && gone.error() == Errc::not_found));
  co_return std::string(content->text());
}

}  // namespace

TEST_CASE("bytes echo over TCP between two shards, small and larger than the socket buffers") {
  Machine machine(two_shards());
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{8} << 20}) {
    Result<std::string> reply = machine.run(0, echo_once(machine.at(0), machine.at(1), bytes));
    REQUIRE_MESSAGE(reply.has_value(), reply.error().message());
    CHECK(*reply == std::string(bytes, 'x'));
  }
}

TEST_CASE("a file region goes out between slices, also when it is larger than one sendfile") {
  Machine machine(two_shards());
  const std::string directory = temporary_directory();
  for (const std::size_t bytes : {std::size_t{2}, std::size_t{3} << 20}) {
    Result<std::string> got = machine.run(1, send_file_region(machine.at(1), directory + "/region", bytes));
    REQUIRE_MESSAGE(got.has_value(), got.error().message());
    CHECK(*got == "<" + std::string(bytes - 1, 'f') + ">");
  }
  REQUIRE(machine.run(1, remove_tree(machine.at(1).files(), directory)));
}

TEST_CASE("files are written atomically, listed, locked and removed") {
  Machine machine(two_shards());
  Result<std::string> content = machine.run(0, use_files(machine.at(0).files(), temporary_directory()));
  REQUIRE_MESSAGE(content.has_value(), content.error().message());
  CHECK(*content == "hello");
}

TEST_CASE("files in memory behave as files on the disk do") {
  MachineOptions options = two_shards();
  options.memory_files = true;
  Machine machine(options);
  Result<std::string> content = machine.run(0, use_files(machine.at(0).files(), "/data/broker"));
  REQUIRE_MESSAGE(content.has_value(), content.error().message());
  CHECK(*content == "hello");
  REQUIRE(machine.run(0, machine.at(0).files().make_directories("/data")));
  Result<std::string> got = machine.run(1, send_file_region(machine.at(1), "/data/region", 100'000));
  REQUIRE_MESSAGE(got.has_value(), got.error().message());
  CHECK(*got == "<" + std::string(99'999, 'f') + ">");
}

TEST_CASE("a directory in memory is renamed with all below it") {
  MachineOptions options = two_shards();
  options.memory_files = true;
  Machine machine(options);
  auto rename = [](FileSystem& files) -> Task<Result<std::vector<std::string>>> {
    Result<void> made = co_await files.make_directories("/data/topic-0");
    KLAMM_CO_TRY(made);
    Result<void> other = co_await files.make_directories("/data/topic-01");
    KLAMM_CO_TRY(other);
    Result<void> written = co_await write_file_atomically(files, "/data/topic-0/log", Slice::copy("x"));
    KLAMM_CO_TRY(written);
    Result<void> renamed = co_await files.rename("/data/topic-0", "/data/gone");
    KLAMM_CO_TRY(renamed);
    Result<Slice> content = co_await read_file(files, "/data/gone/log");
    KLAMM_CO_TRY(content);
    Result<std::vector<std::string>> names = co_await files.list("/data");
    co_return names;
  };
  Result<std::vector<std::string>> names = machine.run(0, rename(machine.at(0).files()));
  REQUIRE_MESSAGE(names.has_value(), names.error().message());
  CHECK(*names == std::vector<std::string>{"gone", "topic-01"});
}

TEST_CASE("connecting where nobody listens is refused, not timed out") {
  Machine machine(two_shards());
  Result<std::unique_ptr<Listener>> listener = machine.at(0).listen({"127.0.0.1", 0}, 1);
  REQUIRE(listener);
  const Endpoint address = (*listener)->local();
  listener->reset();
  Result<std::unique_ptr<Stream>> stream = machine.run(0, machine.at(0).connect(address, 10s));
  REQUIRE_FALSE(stream.has_value());
  CHECK(stream.error().code().value() == ECONNREFUSED);
  CHECK(stream.error().retriable());
}

TEST_CASE("timers fire in order and cancelled ones do not") {
  Machine machine(two_shards());
  auto order = [](Shard& shard) -> Task<std::string> {
    std::string fired;
    Timer second(shard, [&] { fired += "2"; }), first(shard, [&] { fired += "1"; }),
        never(shard, [&] { fired += "x"; });
    second.arm_in(4ms);
    never.arm_in(3ms);
    first.arm_in(2ms);
    never.cancel();
    Signal silent(shard);
    const bool notified = co_await silent.wait_until(shard.now() + 10ms);
    CHECK_FALSE(notified);
    co_return fired;
  };
  CHECK(machine.run(1, order(machine.at(1))) == "12");
}
