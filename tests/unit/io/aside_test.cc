// What a file system does for compaction: work on a disk thread, and a file's time of change.
#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "io/machine.h"
#include "io/sync.h"

using namespace klamm;

TEST_CASE("work aside runs on another thread while the shard goes on, and a file keeps the time it is given") {
  for (const bool memory : {false, true}) {
    CAPTURE(memory);
    io::Machine machine({.shards = 1, .seed = 1, .disk_threads = 1, .memory_files = memory});
    io::Shard& shard = machine.at(0);
    const std::string folder =
        memory ? "/aside"
               : (std::filesystem::temp_directory_path() / ("klamm-aside-" + std::to_string(getpid()))).string();
    std::thread::id home;
    std::thread::id worker;
    std::atomic<int> turns = 0;
    Result<TimestampMs> modified = machine.run(0, [&]() -> io::Task<Result<TimestampMs>> {
      home = std::this_thread::get_id();
      bool done = false;
      io::Gate gate(shard);
      const auto watch = [&]() -> io::Task<void> {
        while (!done) {
          ++turns;
          co_await shard.sleep(1ms);
        }
      };
      gate.spawn(watch());
      co_await shard.files().run_aside([&] {
        worker = std::this_thread::get_id();
        while (turns < 3) std::this_thread::yield();  // for ever, if the shard waited for this
      });
      done = true;
      co_await gate.close();
      Result<void> step = co_await shard.files().make_directories(folder);
      KLAMM_CO_TRY(step);
      Result<std::shared_ptr<io::File>> file = co_await shard.files().open(folder + "/f", io::OpenMode::create);
      KLAMM_CO_TRY(file);
      step = co_await shard.files().set_modified(folder + "/f", 1'234'567'890'123);
      KLAMM_CO_TRY(step);
      Result<io::FileInfo> info = co_await shard.files().stat(folder + "/f");
      KLAMM_CO_TRY(info);
      co_return info->modified_ms;
    }());
    CHECK(worker != home);
    REQUIRE(modified.has_value());
    CHECK(*modified == 1'234'567'890'123);
    machine.stop();
    if (!memory) std::filesystem::remove_all(folder);
  }
}
