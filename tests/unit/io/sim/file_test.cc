#include <doctest/doctest.h>

#include <cerrno>
#include <set>
#include <string>

#include "io/sim/simulation.h"

using namespace klamm;
using namespace klamm::io;
using sim::DiskImage;
using sim::Unsynced;

namespace {

struct Machine {
  explicit Machine(std::uint64_t seed, sim::NodeOptions options = {})
      : simulation(seed), node(simulation.add_node("n1", std::move(options))) {}
  FileSystem& files() { return node.shard().files(); }
  template <typename Function>
  auto run(Function function) {
    return simulation.run(node.shard(), function);
  }
  std::shared_ptr<File> open(const std::string& path, OpenMode mode = OpenMode::create) {
    Result<std::shared_ptr<File>> file = simulation.run(node.shard(), files().open(path, mode));
    REQUIRE_MESSAGE(file.has_value(), path);
    return *file;
  }
  Result<void> write(File& file, std::uint64_t offset, std::string_view text) {
    return simulation.run(node.shard(), file.write(offset, as_bytes(text)));
  }
  Result<void> sync(File& file) { return simulation.run(node.shard(), file.sync()); }
  Result<void> sync_directory(const std::string& path) {
    return simulation.run(node.shard(), files().sync_directory(path));
  }
  Result<void> rename(const std::string& from, const std::string& to) {
    return simulation.run(node.shard(), files().rename(from, to));
  }
  std::string content(const std::string& path) {
    Result<std::string> text = node.disk().image().content(path);
    return text ? *text : "absent";
  }
  void power_cycle(Unsynced unsynced) {
    node.crash({.unsynced = unsynced});
    node.restart();
  }

  sim::Simulation simulation;
  sim::Node& node;
};

std::string pattern(std::size_t size, char first = 'a') {
  std::string text(size, 0);
  for (std::size_t index = 0; index < size; ++index)
    text[index] = static_cast<char>(first + static_cast<char>((index / 512) % 20));
  return text;
}

}  // namespace

TEST_CASE("files read back what was written, with holes as zeros") {
  Machine machine(1);
  const std::shared_ptr<File> file = machine.open("/a");
  const std::string text = pattern(10'000);
  CHECK(machine.write(*file, 5000, text));
  std::string got(20'000, 'x');
  const auto into = std::as_writable_bytes(std::span(got.data(), got.size()));
  const Result<std::size_t> read = machine.simulation.run(machine.node.shard(), file->read(0, into));
  REQUIRE(read);
  CHECK(*read == 15'000);
  CHECK(got.substr(0, 5000) == std::string(5000, '\0'));
  CHECK(got.substr(5000, 10'000) == text);
  CHECK(*machine.simulation.run(machine.node.shard(), file->size()) == 15'000);
  CHECK(machine.simulation.run(machine.node.shard(), file->truncate(5010)));
  CHECK(machine.simulation.run(machine.node.shard(), file->allocate(6000)));
  CHECK(machine.content("/a") == std::string(5000, '\0') + text.substr(0, 10) + std::string(990, '\0'));
}

TEST_CASE("try_read says would_block now and then, and reads when it does not") {
  Machine machine(1);
  const std::shared_ptr<File> file = machine.open("/a");
  CHECK(machine.write(*file, 0, "hello"));
  int blocked = 0;
  for (int tries = 0; tries < 1000; ++tries) {
    std::byte into[8];
    const Result<std::size_t> got = file->try_read(1, into);
    if (got) {
      CHECK(as_text(Bytes(into, *got)) == "ello");
    } else {
      CHECK(got.error() == Errc::would_block);
      ++blocked;
    }
  }
  CHECK(blocked > 20);
  CHECK(blocked < 500);
}

TEST_CASE("the file system answers as the real one does") {
  Machine machine(4);
  FileSystem& files = machine.files();
  machine.run([&]() -> Task<void> {
    Result<std::shared_ptr<File>> missing = co_await files.open("/none", OpenMode::read);
    CHECK((!missing && missing.error() == Errc::not_found));
    missing = co_await files.open("/none/x", OpenMode::create);
    CHECK((!missing && missing.error() == Errc::not_found));
    Result<void> made = co_await files.make_directories("/d/e/f");
    CHECK(made);
    made = co_await files.make_directories("d//e/./f/");
    CHECK(made);
    Result<std::shared_ptr<File>> file = co_await files.open("/d/e/f/x", OpenMode::create_new);
    CHECK(file);
    file = co_await files.open("/d/e/f/x", OpenMode::create_new);
    CHECK((!file && file.error() == Errc::already_exists));
    file = co_await files.open("/d/e/f/x/y", OpenMode::create);
    CHECK((!file && file.error() == std::error_code(ENOTDIR, std::system_category())));
    Result<void> removed = co_await files.remove("/d/e");
    CHECK((!removed && removed.error() == std::error_code(ENOTEMPTY, std::system_category())));
    removed = co_await files.remove("/d/none");
    CHECK((!removed && removed.error() == Errc::not_found));
    Result<void> renamed = co_await files.rename("/d/e", "/d/g");
    CHECK(renamed);
    Result<std::vector<std::string>> names = co_await files.list("/d/g/f");
    CHECK((names && *names == std::vector<std::string>{"x"}));
    Result<FileInfo> info = co_await files.stat("/d/g");
    CHECK((info && info->is_directory));
    Result<void> gone = co_await remove_tree(files, "/d");
    CHECK(gone);
    info = co_await files.stat("/d");
    CHECK((!info && info.error() == Errc::not_found));
    Result<void> replaced = co_await write_file_atomically(files, "/meta", Slice::copy("one"));
    CHECK(replaced);
    Result<void> sealed = co_await files.set_read_only("/meta");
    CHECK(sealed);
    Result<Slice> content = co_await read_file(files, "/meta");
    CHECK((content && content->text() == "one"));
    file = co_await files.open("/meta", OpenMode::read_write);
    CHECK((!file && file.error() == std::error_code(EACCES, std::system_category())));
  });
}

TEST_CASE("a file that was removed stays readable by its holder") {
  Machine machine(4);
  const std::shared_ptr<File> file = machine.open("/a");
  CHECK(machine.write(*file, 0, "still here"));
  CHECK(machine.simulation.run(machine.node.shard(), machine.files().remove("/a")));
  std::byte into[16];
  const Result<std::size_t> got =
      machine.simulation.run(machine.node.shard(), machine.files().read_region({file, 6, 4}, into));
  REQUIRE(got);
  CHECK(as_text(Bytes(into, *got)) == "here");
}

TEST_CASE("a crash that loses all leaves exactly the synced state") {
  Machine machine(9);
  const std::shared_ptr<File> file = machine.open("/a");
  const std::string first = pattern(10'000, 'a');
  CHECK(machine.write(*file, 0, first));
  CHECK(machine.sync(*file));
  CHECK(machine.sync_directory("/"));
  CHECK(machine.write(*file, 100, pattern(20'000, 'A')));
  const std::shared_ptr<File> other = machine.open("/b");
  CHECK(machine.write(*other, 0, "never synced"));
  CHECK(machine.sync(*other));  // but its name is not
  machine.power_cycle(Unsynced::lose_all);
  CHECK(machine.content("/a") == first);
  CHECK(machine.content("/b") == "absent");
}

TEST_CASE("killing a process loses nothing, and a later power loss loses what is still not synced") {
  Machine machine(9);
  CHECK(machine.write(*machine.open("/a"), 0, "in the page cache"));
  CHECK(machine.sync_directory("/"));
  machine.node.kill();
  machine.node.restart();
  CHECK(machine.content("/a") == "in the page cache");
  machine.power_cycle(Unsynced::lose_all);
  CHECK(machine.content("/a") == "");
}

TEST_CASE("a crash draws what unsynced data survives and never touches synced pages") {
  std::set<std::string> outcomes;
  std::size_t torn = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine machine(seed);
    const std::shared_ptr<File> file = machine.open("/a");
    const std::string before = pattern(4 * 4096, 'a');
    CHECK(machine.write(*file, 0, before));
    CHECK(machine.sync(*file));
    CHECK(machine.sync_directory("/"));
    const std::string after = pattern(4096, 'A');
    CHECK(machine.write(*file, 4096, after));
    CHECK(machine.write(*file, 3 * 4096, after + after));
    machine.power_cycle(Unsynced::draw);
    const std::string now = machine.content("/a");
    REQUIRE(now.size() >= before.size());
    REQUIRE(now.size() <= before.size() + 4096);
    CHECK(now.substr(0, 4096) == before.substr(0, 4096));
    CHECK(now.substr(2 * 4096, 4096) == before.substr(2 * 4096, 4096));
    std::size_t old_sectors = 0;
    for (std::size_t sector = 0; sector < 8; ++sector) {
      const std::string bytes = now.substr(4096 + sector * 512, 512);
      const bool is_old = bytes == before.substr(4096 + sector * 512, 512);
      CHECK((is_old || bytes == after.substr(sector * 512, 512)));
      old_sectors += is_old;
    }
    torn += old_sectors != 0 && old_sectors != 8;
    outcomes.insert(now);
  }
  CHECK(outcomes.size() > 20);
  CHECK(torn > 5);
}

TEST_CASE("truncation is undone or kept by a crash, never mixed with later bytes") {
  bool undone = false;
  bool kept = false;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Machine machine(seed);
    const std::shared_ptr<File> file = machine.open("/a");
    const std::string before = pattern(5 * 4096, 'a');
    CHECK(machine.write(*file, 0, before));
    CHECK(machine.sync(*file));
    CHECK(machine.sync_directory("/"));
    CHECK(machine.simulation.run(machine.node.shard(), file->truncate(4096)));
    machine.power_cycle(Unsynced::draw);
    const std::string now = machine.content("/a");
    CHECK((now == before || now == before.substr(0, 4096)));
    undone = undone || now == before;
    kept = kept || now != before;
  }
  CHECK(undone);
  CHECK(kept);
}

TEST_CASE("a rename is atomic at a crash, and durable only with its directory") {
  std::set<std::string> outcomes;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    for (const bool synced : {false, true}) {
      Machine machine(seed);
      const std::shared_ptr<File> old = machine.open("/a");
      CHECK(machine.write(*old, 0, "old"));
      CHECK(machine.sync(*old));
      CHECK(machine.sync_directory("/"));
      const std::shared_ptr<File> replacement = machine.open("/a.tmp");
      CHECK(machine.write(*replacement, 0, "new"));
      CHECK(machine.sync(*replacement));
      CHECK(machine.rename("/a.tmp", "/a"));
      if (synced) CHECK(machine.sync_directory("/"));
      machine.power_cycle(Unsynced::draw);
      const std::string now = machine.content("/a");
      if (synced) {
        CHECK(now == "new");
        CHECK(machine.content("/a.tmp") == "absent");
      } else {
        CHECK((now == "old" || now == "new"));
        outcomes.insert(now + "/" + machine.content("/a.tmp"));
      }
    }
  }
  CHECK(outcomes == std::set<std::string>{"old/absent", "old/new", "new/absent"});
}

TEST_CASE("a rename across directories never loses the file") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine machine(seed);
    CHECK(machine.simulation.run(machine.node.shard(), machine.files().make_directories("/x")));
    CHECK(machine.simulation.run(machine.node.shard(), machine.files().make_directories("/y")));
    CHECK(machine.sync_directory("/"));
    const std::shared_ptr<File> file = machine.open("/x/a");
    CHECK(machine.write(*file, 0, "precious"));
    CHECK(machine.sync(*file));
    CHECK(machine.sync_directory("/x"));
    CHECK(machine.rename("/x/a", "/y/b"));
    if (seed % 3 == 1) CHECK(machine.sync_directory("/x"));
    if (seed % 3 == 2) CHECK(machine.sync_directory("/y"));
    machine.power_cycle(Unsynced::draw);
    const bool old_name = machine.content("/x/a") == "precious";
    const bool new_name = machine.content("/y/b") == "precious";
    CHECK(old_name != new_name);
    if (seed % 3 != 0) CHECK(new_name);
  }
}

TEST_CASE("directory changes may survive a crash out of order") {
  std::set<std::string> outcomes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine machine(seed);
    machine.open("/1");
    machine.open("/2");
    machine.power_cycle(Unsynced::draw);
    std::string names;
    for (const std::string& line : machine.node.disk().image().tree()) names += line.substr(1, 1);
    outcomes.insert(names);
  }
  CHECK(outcomes == std::set<std::string>{"", "1", "2", "12"});
}

TEST_CASE("a full disk fails with ENOSPC, keeps a prefix and has room again after a removal") {
  Machine machine(1, {.disk = sim::DiskOptions{.capacity_bytes = 10 * 4096}});
  const std::shared_ptr<File> file = machine.open("/a");
  CHECK(machine.write(*file, 0, pattern(8 * 4096)));
  const Result<void> full = machine.write(*file, 8 * 4096, pattern(8 * 4096));
  REQUIRE_FALSE(full);
  CHECK(full.error() == std::error_code(ENOSPC, std::system_category()));
  CHECK(machine.content("/a").size() == 10 * 4096);
  const std::shared_ptr<File> other = machine.open("/b");
  CHECK_FALSE(machine.simulation.run(machine.node.shard(), other->allocate(4096)));
  const Result<SpaceInfo> space = machine.simulation.run(machine.node.shard(), machine.files().space("/"));
  CHECK(space->free_bytes == 0);
  CHECK(machine.simulation.run(machine.node.shard(), machine.files().remove("/a")));
  CHECK(machine.simulation.run(machine.node.shard(), other->allocate(10 * 4096)));
  CHECK(machine.write(*other, 0, pattern(10 * 4096)));
}

TEST_CASE("injected faults hit the operations and paths they name, as often as they say") {
  Machine machine(1);
  machine.node.disk().inject(
      {.operation = sim::DiskOperation::write, .path = "bad", .error_number = EIO, .skip = 1, .times = 2});
  const std::shared_ptr<File> good = machine.open("/good");
  const std::shared_ptr<File> bad = machine.open("/bad");
  CHECK(machine.write(*good, 0, "x"));
  CHECK(machine.write(*bad, 0, "x"));
  const Result<void> failed = machine.write(*bad, 0, "y");
  REQUIRE_FALSE(failed);
  CHECK(failed.error() == std::error_code(EIO, std::system_category()));
  CHECK_FALSE(machine.write(*bad, 0, "y"));
  CHECK(machine.write(*bad, 0, "z"));
}

TEST_CASE("after a failed sync a later sync does not save the lost pages") {
  bool lost = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Machine machine(seed);
    const std::shared_ptr<File> file = machine.open("/a");
    CHECK(machine.sync_directory("/"));
    CHECK(machine.write(*file, 0, "important"));
    machine.node.disk().inject({.operation = sim::DiskOperation::sync, .path = {}, .error_number = EIO, .times = 1});
    CHECK_FALSE(machine.sync(*file));
    CHECK(machine.content("/a") == "important");  // the page cache still shows it
    CHECK(machine.sync(*file));
    machine.power_cycle(Unsynced::lose_all);
    lost = lost || machine.content("/a") != "important";
  }
  CHECK(lost);
}

TEST_CASE("a sync covers what was written before it began, not what came meanwhile") {
  sim::DiskOptions disk;
  disk.sync = {10ms, 10ms};
  disk.write = {1ms, 1ms};
  Machine machine(1, {.disk = disk});
  const std::shared_ptr<File> file = machine.open("/a");
  CHECK(machine.sync_directory("/"));
  CHECK(machine.write(*file, 0, "before"));
  bool synced = false;
  auto sync = [&]() -> Task<void> {
    Result<void> done = co_await file->sync();
    CHECK(done);
    synced = true;
  };
  machine.run([&]() -> Task<void> {
    spawn_detached(sync());
    Result<void> written = co_await file->write(0, as_bytes("during"));
    CHECK(written);
    CHECK_FALSE(synced);
  });
  CHECK(machine.simulation.run_until([&] { return synced; }));
  machine.power_cycle(Unsynced::lose_all);
  CHECK(machine.content("/a") == "before");
}

TEST_CASE("a lock has one holder until it lets go or its process dies") {
  Machine machine(1);
  auto take = [&] { return machine.simulation.run(machine.node.shard(), machine.files().lock("/.lock")); };
  Result<std::unique_ptr<FileLock>> first = take();
  REQUIRE(first);
  const Result<std::unique_ptr<FileLock>> second = take();
  REQUIRE_FALSE(second);
  CHECK(second.error() == Errc::unavailable);
  first->reset();
  Result<std::unique_ptr<FileLock>> third = take();
  REQUIRE(third);
  machine.node.kill();
  machine.node.restart();
  Result<std::unique_ptr<FileLock>> fourth = take();
  REQUIRE(fourth);
  third->reset();  // the dead process's lock object has no say any more
  CHECK_FALSE(take());
}

TEST_CASE("operations of a dead process end with cancelled and have no effect") {
  Machine machine(1);
  const std::shared_ptr<File> file = machine.open("/a");
  CHECK(machine.sync_directory("/"));
  Shard& old_shard = machine.node.shard();
  std::optional<Errc> pending;
  auto sync = [&]() -> Task<void> {
    Result<void> done = co_await file->sync();
    if (!done && done.error() == Errc::cancelled) pending = Errc::cancelled;
  };
  machine.run([&]() -> Task<void> {
    spawn_detached(sync());
    co_return;
  });
  machine.node.crash({.unsynced = Unsynced::lose_all});
  CHECK(machine.simulation.run_until([&] { return pending.has_value(); }));
  machine.node.restart();
  const Result<void> late = machine.simulation.run(old_shard, file->write(0, as_bytes("ghost")));
  REQUIRE_FALSE(late);
  CHECK(late.error() == Errc::cancelled);
  CHECK(machine.content("/a") == "");
}

TEST_CASE("every crash point can be visited, and atomic replacement survives them all") {
  std::uint64_t points = 0;
  std::set<std::string> seen;
  for (std::uint64_t point = 1; points == 0 || point <= points; ++point) {
    Machine machine(point);
    CHECK(machine.run(
        [&]() -> Task<Result<void>> { return write_file_atomically(machine.files(), "/a", Slice::copy("one")); }));
    const std::uint64_t before = machine.node.disk().crash_points();
    machine.node.disk().crash_after(point, [&] { machine.node.crash(); });
    const Result<void> done = machine.run(
        [&]() -> Task<Result<void>> { return write_file_atomically(machine.files(), "/a", Slice::copy("two")); });
    if (done) {
      points = machine.node.disk().crash_points() - before;
      machine.node.crash();
    }
    const std::string now = machine.content("/a");
    CHECK((now == "two" || (!done && now == "one")));
    seen.insert(now);
  }
  CHECK(points == 6);  // create, truncate, write, sync, rename, sync_directory
  CHECK(seen.size() == 2);
}

TEST_CASE("an image of what a crash would leave starts another node") {
  Machine machine(1);
  CHECK(machine.simulation.run(machine.node.shard(), write_file_atomically(machine.files(), "/a", Slice::copy("one"))));
  CHECK(machine.write(*machine.open("/b"), 0, "unsynced"));
  const DiskImage survivors = machine.node.disk().image_after_crash(Unsynced::lose_all, 1);
  sim::Node& other = machine.simulation.add_node("n2", {.image = survivors});
  CHECK(other.disk().image().tree() == std::vector<std::string>{"/a 3"});
  CHECK(machine.content("/b") == "unsynced");  // the first node goes on
  CHECK(other.disk().image().flip_bit("/a", 1));
  CHECK(*other.disk().image().content("/a") == "ooe");
  CHECK(machine.content("/a") == "one");
}

TEST_CASE("any order of operations and crashes leaves a tree that hangs together") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    DiskImage image;
    const std::vector<std::string> directories{"/", "/x", "/y", "/x/z"};
    auto name = [&] { return join_path(directories[random.below(4)], std::to_string(random.below(4))); };
    std::vector<DiskImage::InodeRef> held;
    for (int step = 0; step < 400; ++step) {
      const std::uint64_t choice = random.below(20);
      if (choice < 4) static_cast<void>(image.make_directories(directories[random.below(4)], 0));
      if (choice >= 4 && choice < 7) static_cast<void>(image.create(name(), random.chance(0.2), 0));
      if (choice >= 7 && choice < 10)
        static_cast<void>(image.rename(name(), random.chance(0.8) ? name() : directories[random.below(4)]));
      if (choice >= 10 && choice < 12)
        static_cast<void>(image.remove(random.chance(0.8) ? name() : directories[random.below(4)]));
      if (choice == 12) static_cast<void>(image.sync_directory(directories[random.below(4)]));
      if (choice >= 13) {
        const Result<DiskImage::InodeRef> file = image.find(name());
        if (file && !(*file)->is_directory) held.push_back(*file);
      }
      if (!held.empty()) {
        DiskImage::Inode& file = *held[random.below(held.size())];
        const std::string bytes = pattern(random.below(10'000));
        if (choice == 13) image.write(file, random.below(50'000), as_bytes(bytes), 1 << 20, random, 0.5);
        if (choice == 14) image.truncate(file, random.below(50'000));
        if (choice == 15) static_cast<void>(image.allocate(file, random.below(50'000), 1 << 20));
        if (choice == 16) image.finish_sync(file, image.begin_sync(file));
        if (choice == 17) image.fail_sync(file, random);
      }
      if (random.chance(0.02)) {
        held.clear();
        image.crash(random.chance(0.2) ? Unsynced::lose_all : Unsynced::draw, random);
        const std::vector<std::string> before = image.tree();
        image.crash(Unsynced::lose_all, random);  // what survived is durable
        CHECK(image.tree() == before);
      }
    }
    held.clear();
    std::uint64_t used = 0;
    const std::vector<std::string> lines = image.tree();
    for (const std::string& line : lines) {
      if (line.back() == '/') continue;
      const Result<DiskImage::InodeRef> file = image.find(line.substr(0, line.find(' ')));
      REQUIRE(file);
      used += (*file)->used_pages() * DiskImage::kPageBytes;
    }
    CHECK(used == image.used_bytes());
    CHECK(std::set<std::string>(lines.begin(), lines.end()).size() == lines.size());
    CHECK(DiskImage(image).tree() == lines);
  }
}
