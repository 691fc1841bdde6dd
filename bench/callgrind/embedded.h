// A whole broker in this process, for callgrind, and its client in a child process, which callgrind does not count.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "bench/load/replayer.h"
#include "klamm/broker.h"

namespace klamm::bench {

// Runs `client` in a child against a broker of one shard with a fresh directory; what it returns is printed:
// "<records> records, <requests> requests". Ends when the child does.
struct Served {
  long records = 0;
  long requests = 0;
};

inline int serve(const std::function<Served(const std::string& bootstrap)>& client) {
  int ends[2];
  if (::pipe(ends) != 0) return 1;
  const pid_t child = ::fork();  // before there are threads
  if (child == 0) {
    ::close(ends[1]);
    char address[64] = {};
    if (::read(ends[0], address, sizeof address - 1) <= 0) std::_Exit(1);
    const Served served = client(address);
    std::printf("%ld records, %ld requests\n", served.records, served.requests);
    std::fflush(stdout);
    std::_Exit(0);
  }
  ::close(ends[0]);
  const std::filesystem::path directory = "klamm-callgrind-" + std::to_string(::getpid());
  int status = 1;
  {
    Result<Broker> broker = Broker::start({.directory = directory.string(), .settings = {}, .shards = 1, .log = {}});
    if (!broker) {
      std::fprintf(stderr, "%s\n", broker.error().message().c_str());
      return 1;
    }
    const std::string address = broker->bootstrap_servers();
    if (::write(ends[1], address.data(), address.size()) != static_cast<ssize_t>(address.size())) return 1;
    ::waitpid(child, &status, 0);
    broker->stop();
  }
  std::filesystem::remove_all(directory);
  return status == 0 ? 0 : 1;
}

}  // namespace klamm::bench
