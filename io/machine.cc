#include "io/machine.h"

#include <netdb.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>

#include <future>
#include <random>
#include <thread>

#include "io/asio_shard.h"

namespace klamm::io {

class Machine::Impl {
 public:
  explicit Impl(const MachineOptions& options) : disk_(std::make_shared<DiskThreads>(options.disk_threads)) {
    unsigned count = options.shards != 0 ? options.shards : std::max(1U, std::thread::hardware_concurrency());
    std::uint64_t seed = options.seed;
    if (seed == 0) {
      std::random_device system;
      seed = (std::uint64_t{system()} << 32) | system();
    }
    const std::shared_ptr<MemoryTree> memory = options.memory_files ? make_memory_tree() : nullptr;
    for (unsigned index = 0; index < count; ++index)
      loops_.push_back(std::make_unique<Loop>(index, seed + index, disk_, memory));
    for (auto& loop : loops_) {
      loop->thread = std::thread([context = &loop->context] { context->run(); });
    }
  }
  ~Impl() { stop(); }

  void stop() {
    for (auto& loop : loops_) loop->work.reset();
    for (auto& loop : loops_) loop->context.stop();
    for (auto& loop : loops_) {
      if (loop->thread.joinable()) loop->thread.join();
    }
  }

  struct Loop {
    Loop(unsigned index, std::uint64_t seed, std::shared_ptr<DiskThreads> disk, std::shared_ptr<MemoryTree> memory)
        : context(1),
          work(context.get_executor()),
          shard(context.get_executor(), index, seed, std::move(disk), std::move(memory)) {}
    asio::io_context context;
    asio::executor_work_guard<asio::io_context::executor_type> work;
    AsioShard shard;
    std::thread thread;
  };

  std::shared_ptr<DiskThreads> disk_;
  std::vector<std::unique_ptr<Loop>> loops_;
};

Machine::Machine(MachineOptions options) : impl_(std::make_unique<Impl>(options)) {}
Machine::~Machine() = default;
std::size_t Machine::size() const { return impl_->loops_.size(); }
Shard& Machine::at(std::size_t index) { return impl_->loops_.at(index)->shard; }
void Machine::stop() { impl_->stop(); }

void Machine::kill() {
  impl_->disk_->set_dead(true);
  for (auto& loop : impl_->loops_) {
    run(loop->shard.index(), [](AsioShard& shard) -> Task<void> {
      shard.sockets().cut_all();
      co_return;
    }(loop->shard));
  }
}

bool Machine::killed() const { return impl_->disk_->dead(); }
void Machine::revive() { impl_->disk_->set_dead(false); }

void Machine::run_blocking(std::size_t index, Task<void> task) {
  struct State {
    Task<void> task;
    std::shared_ptr<std::promise<void>> done = std::make_shared<std::promise<void>>();
  } state{std::move(task)};
  std::future<void> finished = state.done->get_future();
  at(index).post(
      [](void* argument) {
        auto* started = static_cast<State*>(argument);
        spawn_detached([](Task<void> owned, std::shared_ptr<std::promise<void>> done) -> Task<void> {
          co_await owned;
          done->set_value();
        }(std::move(started->task), started->done));
      },
      &state);
  finished.wait();
}

class SignalWatch::Impl {
 public:
  Impl(AsioShard& shard, std::initializer_list<int> signals, std::function<void(int)> action)
      : set_(shard.executor()), action_(std::move(action)) {
    for (const int signal : signals) set_.add(signal);
    wait();
  }

 private:
  void wait() {
    set_.async_wait([this](const std::error_code& code, int signal) {
      if (code) return;
      action_(signal);
      wait();
    });
  }
  asio::signal_set set_;
  std::function<void(int)> action_;
};

SignalWatch::SignalWatch(Machine& machine, std::size_t shard, std::initializer_list<int> signals,
                         std::function<void(int)> action)
    : impl_(std::make_unique<Impl>(static_cast<AsioShard&>(machine.at(shard)), signals, std::move(action))) {}
SignalWatch::~SignalWatch() = default;

bool has_address(const std::string& host) {
  addrinfo* found = nullptr;
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(host.c_str(), nullptr, &wanted, &found) != 0) return false;
  ::freeaddrinfo(found);
  return true;
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0 || name[0] == 0) return "localhost";
  return name;
}

void release_free_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

}  // namespace klamm::io
