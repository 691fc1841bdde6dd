#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

#include "io/machine.h"
#include "io/sync.h"
#include "tests/unit/why.h"

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

// A request answered on shard `first`, the next on `second`, over one connection.
Task<Result<std::string>> served_by_two(Shard& first, Shard& second) {
  Result<std::unique_ptr<Listener>> listener = first.listen({"127.0.0.1", 0}, 16, {1 << 16, 1 << 16});
  KLAMM_CO_TRY(listener);
  const SocketBuffers buffers{.send_bytes = 1 << 16, .receive_bytes = 1 << 16};
  Result<std::unique_ptr<Stream>> client = co_await first.connect((*listener)->local(), 10s, buffers);
  KLAMM_CO_TRY(client);
  Result<std::unique_ptr<Stream>> server = co_await (*listener)->accept(first);
  KLAMM_CO_TRY(server);
  auto repeat = [](Stream& stream) -> Task<Result<void>> {
    std::string word(4, 0);
    Result<void> got = co_await read_exactly(stream, std::as_writable_bytes(std::span(word)));
    KLAMM_CO_TRY(got);
    Pieces pieces{Slice::copy(word)};
    Result<void> put = co_await write_all(stream, std::move(pieces));
    co_return put;
  };
  Pieces words{Slice::copy(std::string_view("one two "))};
  Result<void> put = co_await write_all(**client, std::move(words));
  KLAMM_CO_TRY(put);
  Result<void> repeated = co_await repeat(**server);
  KLAMM_CO_TRY(repeated);
  std::unique_ptr<Stream> moved = (*server)->move_to(second);
  CHECK(moved->peer() == (*server)->peer());
  CHECK((*server)->move_to(second) == nullptr);  // it is closed
  server->reset();
  auto elsewhere = [&moved, &repeat]() -> Task<Result<void>> {
    Result<void> done = co_await repeat(*moved);
    moved.reset();  // on its shard
    co_return done;
  };
  repeated = co_await call(first, second, elsewhere);
  KLAMM_CO_TRY(repeated);
  std::string reply(8, 0);
  Result<void> got = co_await read_exactly(**client, std::as_writable_bytes(std::span(reply)));
  KLAMM_CO_TRY(got);
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

TEST_CASE("a connection's buffers are as large as asked for") {
  Machine machine(two_shards());
  auto taken = [&machine](SocketBuffers buffers) -> Task<Result<std::size_t>> {
    Shard& shard = machine.at(0);
    Result<std::unique_ptr<Listener>> listener = shard.listen({"127.0.0.1", 0}, 16, buffers);
    KLAMM_CO_TRY(listener);
    Result<std::unique_ptr<Stream>> client = co_await shard.connect((*listener)->local(), 10s, buffers);
    KLAMM_CO_TRY(client);
    Result<std::unique_ptr<Stream>> server = co_await (*listener)->accept(shard);
    KLAMM_CO_TRY(server);
    const Piece piece = Slice::copy(std::string(16 << 20, 'x'));
    co_return (*client)->try_write(std::span(&piece, 1));  // nobody reads
  };
  const Result<std::size_t> small = machine.run(0, taken({4096, 4096}));
  const Result<std::size_t> large = machine.run(0, taken({128 << 10, 128 << 10}));
  REQUIRE(small);
  REQUIRE(large);
  CHECK(*small < *large / 2);
}

TEST_CASE("a reader that expects much is not woken for less") {
  Machine machine(two_shards());
  auto wakes = [&machine]() -> Task<Result<std::vector<bool>>> {
    Shard& shard = machine.at(0);
    Result<std::unique_ptr<Listener>> listener = shard.listen({"127.0.0.1", 0}, 16);
    KLAMM_CO_TRY(listener);
    std::array<std::unique_ptr<Stream>, 4> ends;  // of two connections
    for (std::size_t at = 0; at < ends.size(); at += 2) {
      Result<std::unique_ptr<Stream>> client = co_await shard.connect((*listener)->local(), 10s);
      KLAMM_CO_TRY(client);
      Result<std::unique_ptr<Stream>> server = co_await (*listener)->accept(shard);
      KLAMM_CO_TRY(server);
      ends[at] = std::move(*client);
      ends[at + 1] = std::move(*server);
    }
    bool woken = false;
    Gate gate(shard);
    ends[1]->expect(1000);
    gate.spawn([](Stream* stream, bool* flag) -> Task<void> {
      co_await stream->ready(Direction::read);
      *flag = true;
    }(ends[1].get(), &woken));
    std::vector<bool> seen;
    for (const std::size_t bytes :
         {std::size_t{999}, std::size_t{1}}) {  // what comes on the other connection comes later than this
      for (const std::size_t at : {std::size_t{0}, std::size_t{2}}) {
        const Piece piece = Slice::copy(std::string(bytes, 'x'));
        Result<std::size_t> put = ends[at]->try_write(std::span(&piece, 1));
        KLAMM_CO_TRY(put);
      }
      std::array<std::byte, 1000> sink;
      co_await ends[3]->ready(Direction::read);
      Result<std::size_t> got = ends[3]->try_read(sink);
      KLAMM_CO_TRY(got);
      co_await shard.others_first();
      seen.push_back(woken);
    }
    co_await gate.close();
    co_return seen;
  };
  Result<std::vector<bool>> woken = machine.run(0, wakes());
  REQUIRE_MESSAGE(woken.has_value(), why_of(woken));
  CHECK(*woken == std::vector<bool>{false, true});
}

TEST_CASE("a connection goes on when its stream has moved to another shard") {
  Machine machine(two_shards());
  Result<std::string> reply = machine.run(0, served_by_two(machine.at(0), machine.at(1)));
  REQUIRE(reply);
  CHECK(*reply == "one two ");
}

TEST_CASE("bytes echo over TCP between two shards, small and larger than the socket buffers") {
  Machine machine(two_shards());
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{8} << 20}) {
    Result<std::string> reply = machine.run(0, echo_once(machine.at(0), machine.at(1), bytes));
    REQUIRE_MESSAGE(reply.has_value(), why_of(reply));
    CHECK(*reply == std::string(bytes, 'x'));
  }
}

TEST_CASE("a file region goes out between slices, also when it is larger than one sendfile") {
  Machine machine(two_shards());
  const std::string directory = temporary_directory();
  for (const std::size_t bytes : {std::size_t{2}, std::size_t{3} << 20}) {
    Result<std::string> got = machine.run(1, send_file_region(machine.at(1), directory + "/region", bytes));
    REQUIRE_MESSAGE(got.has_value(), why_of(got));
    CHECK(*got == "<" + std::string(bytes - 1, 'f') + ">");
  }
  REQUIRE(machine.run(1, remove_tree(machine.at(1).files(), directory)));
}

TEST_CASE("files are written atomically, listed, locked and removed") {
  Machine machine(two_shards());
  Result<std::string> content = machine.run(0, use_files(machine.at(0).files(), temporary_directory()));
  REQUIRE_MESSAGE(content.has_value(), why_of(content));
  CHECK(*content == "hello");
}

TEST_CASE("files in memory behave as files on the disk do") {
  MachineOptions options = two_shards();
  options.memory_files = true;
  Machine machine(options);
  Result<std::string> content = machine.run(0, use_files(machine.at(0).files(), "/data/broker"));
  REQUIRE_MESSAGE(content.has_value(), why_of(content));
  CHECK(*content == "hello");
  REQUIRE(machine.run(0, machine.at(0).files().make_directories("/data")));
  Result<std::string> got = machine.run(1, send_file_region(machine.at(1), "/data/region", 100'000));
  REQUIRE_MESSAGE(got.has_value(), why_of(got));
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
  REQUIRE_MESSAGE(names.has_value(), why_of(names));
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

namespace {

// What a machine that will be killed has open, and the far end of its connection.
struct Opened {
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Stream> near, far;
  std::shared_ptr<File> file;
};

Task<Result<void>> open_all(Machine& dying, Machine& other, std::string path, Opened& opened) {
  Shard& here = dying.at(0);
  Result<std::unique_ptr<Listener>> listener = here.listen({"127.0.0.1", 0}, 16);
  KLAMM_CO_TRY(listener);
  opened.listener = std::move(*listener);
  auto connect = [&other, &opened]() -> Task<Result<void>> {
    Result<std::unique_ptr<Stream>> stream = co_await other.at(0).connect(opened.listener->local(), 10s);
    KLAMM_CO_TRY(stream);
    opened.far = std::move(*stream);
    co_return Result<void>();
  };
  Result<void> connected = co_await call(here, other.at(0), connect);
  KLAMM_CO_TRY(connected);
  Result<std::unique_ptr<Stream>> accepted = co_await opened.listener->accept(here);
  KLAMM_CO_TRY(accepted);
  opened.near = std::move(*accepted);
  Result<std::shared_ptr<File>> file = co_await here.files().open(std::move(path), OpenMode::create);
  KLAMM_CO_TRY(file);
  opened.file = std::move(*file);
  Result<void> written = co_await opened.file->write(0, as_bytes("kept"));
  co_return written;
}

Task<void> drop(std::unique_ptr<Stream>& stream) {
  stream.reset();
  co_return;
}

}  // namespace

TEST_CASE("a killed machine's connections are reset, its files stay as they are, until it is revived") {
  for (const bool in_memory : {false, true}) {
    MachineOptions options = two_shards();
    options.memory_files = in_memory;
    Machine dying(options);
    Machine other(two_shards());
    const std::string directory = in_memory ? "/" : temporary_directory();
    const std::string path = join_path(directory, "file");
    Opened opened;
    REQUIRE(dying.run(0, open_all(dying, other, path, opened)));
    const Endpoint address = opened.listener->local();

    dying.kill();
    CHECK(dying.killed());
    std::array<std::byte, 1> byte{};
    const Result<std::size_t> got = other.run(0, read_some(*opened.far, byte));
    REQUIRE_FALSE(got.has_value());
    CHECK(got.error().code() == std::error_code(ECONNRESET, std::system_category()));
    CHECK_FALSE(other.run(0, other.at(0).connect(address, 10s)).has_value());
    CHECK(dying.run(0, read_some(*opened.near, byte)).error() == Errc::cancelled);
    CHECK(dying.run(0, dying.at(0).connect(address, 10s)).error() == Errc::cancelled);
    CHECK(dying.run(0, opened.file->write(0, as_bytes("lost"))).error() == Errc::cancelled);
    CHECK(dying.run(0, opened.file->truncate(0)).error() == Errc::cancelled);
    CHECK(dying.run(0, dying.at(0).files().rename(path, path + "2")).error() == Errc::cancelled);
    CHECK(dying.run(0, dying.at(0).files().remove(path)).error() == Errc::cancelled);

    dying.revive();
    const Result<Slice> content = dying.run(0, read_file(dying.at(0).files(), path));
    REQUIRE_MESSAGE(content.has_value(), why_of(content));
    CHECK(content->text() == "kept");
    CHECK(dying.run(0, dying.at(0).files().remove(path)).has_value());
    dying.run(0, drop(opened.near));
    other.run(0, drop(opened.far));
    auto close = [&opened]() -> Task<void> {
      opened.listener.reset();
      co_return;
    };
    dying.run(0, close());
    if (!in_memory) CHECK(dying.run(0, remove_tree(dying.at(0).files(), directory)).has_value());
  }
}
