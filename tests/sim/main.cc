// klamm-sim: runs seeds and tells which fail. Each seed runs in a process of its own, so that a failed invariant or an
// endless loop is a failed seed; a single one (--seed) runs in this process, for debuggers.
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "run.h"

namespace klamm::simtest {
namespace {

constexpr std::uint64_t kDeterminismSeeds = 5;  // of a run of many, the first ones run twice
constexpr rlim_t kMostCpuSeconds = 120;         // of one seed

constexpr int kSeedFailed = 3;  // the exit status of one that has told why; sanitizers end with others

struct Settings {
  std::uint64_t seed = 0;
  bool one_seed = false;
  std::uint64_t first = 1;
  std::size_t brokers = 1;
  std::uint64_t seeds = 50;
  unsigned jobs = 0;
  std::string trace_file;
  std::string plant;
  bool lose_disks = false;
  bool check_determinism = true;
  bool verbose = false;
};

std::string of_cluster(const Settings& settings) {
  if (settings.brokers == 1) return {};
  return fmt::format(" --brokers {}{}", settings.brokers, settings.lose_disks ? " --lose-disks" : "");
}

// What all seeds together went through.
struct Totals {
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  double virtual_seconds = 0;
  Coverage coverage;
};

// As a seed's process tells it to the one that started it, one line each; the other way.
std::string report_of(const Totals& totals) {
  std::string text = fmt::format("{}\n", totals.virtual_seconds);
  for (const auto& [what, times] : totals.coverage) text += fmt::format("{} {}\n", times, what);
  return text;
}

void take_report(const std::string& text, Totals& totals) {
  std::istringstream lines(text);
  std::string line;
  if (std::getline(lines, line)) totals.virtual_seconds += std::strtod(line.c_str(), nullptr);
  while (std::getline(lines, line)) {
    const std::size_t space = line.find(' ');
    if (space != std::string::npos) {
      totals.coverage[line.substr(space + 1)] += std::strtoull(line.c_str(), nullptr, 10);
    }
  }
}

Outcome run_once(const Settings& settings, std::uint64_t seed, const io::sim::Trace::Sink& trace) {
  RunOptions options;
  options.seed = seed;
  options.brokers = settings.brokers;
  options.lose_disks = settings.lose_disks;
  options.trace = trace;
  options.forget_flush = settings.plant == "unsynced";
  options.drift = settings.plant == "drift";
  options.early = settings.plant == "early";
  options.unclean = settings.plant == "unclean";
  options.lie = lie_named(settings.plant).value_or(Lie::none);
  return run(options);
}

// Prints what went wrong and how to see it again. True if nothing did.
bool run_seed(const Settings& settings, std::uint64_t seed, bool twice, const io::sim::Trace::Sink& trace,
              Totals& totals) {
  Outcome outcome = run_once(settings, seed, trace);
  totals.virtual_seconds += outcome.virtual_seconds;
  for (const auto& [what, times] : outcome.coverage) totals.coverage[what] += times;
  if (twice && outcome.violations.empty()) {
    // The heap looks different this time: nothing may depend on addresses.
    std::vector<std::unique_ptr<char[]>> ballast;
    for (std::size_t size = 16; size < 100'000; size += size / 3) ballast.push_back(std::make_unique<char[]>(size));
    for (std::size_t index = 0; index < ballast.size(); index += 2) ballast[index].reset();
    const Outcome again = run_once(settings, seed, {});
    totals.virtual_seconds += again.virtual_seconds;
    if (again.trace_hash != outcome.trace_hash) {
      outcome.violations.push_back(
          fmt::format("two runs differ: trace hashes {:016x} and {:016x}", outcome.trace_hash, again.trace_hash));
    }
  }
  if (settings.verbose) {
    fmt::print(
        "seed {}: {} sent, {} acknowledged ({} of them lost by right), {} broker starts ({} clean, {} after it gave "
        "up), {} consumer restarts, {:.0f} s, trace {:016x}\n",
        seed, outcome.sent, outcome.acknowledged, outcome.lost_by_right, outcome.broker_starts, outcome.clean_restarts,
        outcome.broker_gave_up, outcome.reader_restarts, outcome.virtual_seconds, outcome.trace_hash);
  }
  if (outcome.violations.empty()) return true;
  fmt::print("FAIL seed {}: {} (./dev sim{} --seed {})\n", seed, outcome.violations.front(), of_cluster(settings),
             seed);
  if (settings.one_seed || settings.verbose) {
    for (std::size_t index = 1; index < outcome.violations.size(); ++index) {
      fmt::print("     {}\n", outcome.violations[index]);
    }
  }
  return false;
}

double cpu_seconds(int of_whom) {
  rusage used{};
  ::getrusage(of_whom, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

int summary(const Totals& totals) {
  for (const auto& [what, times] : totals.coverage) fmt::print("{:>9} {}\n", times, what);
  const double cpu = cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN);
  fmt::print("{} seeds, {:.2f} virtual hours, {:.0f} virtual seconds per CPU second\n", totals.passed + totals.failed,
             totals.virtual_seconds / 3600, cpu > 0 ? totals.virtual_seconds / cpu : 0);
  fmt::print("{} passed, {} failed\n", totals.passed, totals.failed);
  return totals.failed == 0 && totals.passed > 0 ? 0 : 1;
}

int run_here(const Settings& settings) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(nullptr, &std::fclose);
  io::sim::Trace::Sink trace;
  if (!settings.trace_file.empty()) {
    file.reset(std::fopen(settings.trace_file.c_str(), "w"));
    if (!file) {
      fmt::print(stderr, "klamm-sim: cannot write {}\n", settings.trace_file);
      return 2;
    }
    trace = [raw = file.get()](std::string_view line) {
      fmt::print(raw, "{}\n", line);
      std::fflush(raw);  // complete even if an invariant ends the process
    };
  }
  Totals totals;
  const bool passed = run_seed(settings, settings.seed, settings.check_determinism, trace, totals);
  ++(passed ? totals.passed : totals.failed);
  return summary(totals);
}

// A process for the seed, and where it reports to.
struct Running {
  std::uint64_t seed = 0;
  int report = -1;
};

// The process's id; below 0 if there is none.
pid_t launch(const Settings& settings, std::uint64_t seed, bool twice, Running& running) {
  std::fflush(stdout);
  int ends[2];
  if (::pipe(ends) != 0) return -1;
  const pid_t child = ::fork();
  if (child != 0) {
    ::close(ends[1]);
    running = {seed, ends[0]};
    return child;
  }
  ::close(ends[0]);
  const rlimit limit{kMostCpuSeconds, kMostCpuSeconds};
  ::setrlimit(RLIMIT_CPU, &limit);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  Totals totals;
  const bool passed = run_seed(settings, seed, twice, {}, totals);
  const std::string report = report_of(totals);  // fits into the pipe
  const ssize_t reported = ::write(ends[1], report.data(), report.size());
  if (reported != static_cast<ssize_t>(report.size())) std::perror("klamm-sim: report");
  std::fflush(stdout);
  std::_Exit(passed ? 0 : kSeedFailed);
}

int run_many(const Settings& settings) {
  const unsigned jobs = settings.jobs > 0 ? settings.jobs : std::max(1U, std::thread::hardware_concurrency());
  std::map<pid_t, Running> running;
  Totals totals;
  std::uint64_t next = settings.first;
  const std::uint64_t end = settings.first + settings.seeds;
  while (next < end || !running.empty()) {
    if (next < end && running.size() < jobs) {
      const bool twice = settings.check_determinism && next - settings.first < kDeterminismSeeds;
      Running started;
      const pid_t child = launch(settings, next, twice, started);
      if (child < 0) {
        std::perror("klamm-sim: fork");
        return 2;
      }
      running.emplace(child, started);
      ++next;
      continue;
    }
    int status = 0;
    const auto ended = running.find(::waitpid(-1, &status, 0));
    if (ended == running.end()) continue;
    const Running of = ended->second;
    std::string report(1 << 16, '\0');
    const ssize_t size = ::read(of.report, report.data(), report.size());
    ::close(of.report);
    if (size > 0) take_report(report.substr(0, static_cast<std::size_t>(size)), totals);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      ++totals.passed;
    } else {
      ++totals.failed;
      if (!WIFEXITED(status) || WEXITSTATUS(status) != kSeedFailed) {
        const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        const char* why = signal == SIGXCPU || signal == SIGKILL ? "took too long" : "the process ended (see above)";
        fmt::print("FAIL seed {}: {} (./dev sim{} --seed {})\n", of.seed, why, of_cluster(settings), of.seed);
      }
    }
    running.erase(ended);
  }
  return summary(totals);
}

int main_of(int argc, char** argv) {
  Settings settings;
  CLI::App app("Runs brokers with producers, consumers and faults in simulated time, from seeds.", "klamm-sim");
  CLI::Option* one = app.add_option("--seed", settings.seed, "Run this seed alone, in this process");
  app.add_option("--seeds", settings.seeds, "Run so many seeds")->capture_default_str();
  app.add_option("--first", settings.first, "The first of many seeds")->capture_default_str();
  app.add_option("--brokers", settings.brokers, "Nodes of the cluster, each a broker and a voter")
      ->check(CLI::Range(1, 9))
      ->capture_default_str();
  app.add_option("--jobs", settings.jobs, "Seeds that run at the same time; 0: one a processor")->capture_default_str();
  app.add_option("--trace", settings.trace_file, "Write what happens to this file")->needs(one);
  app.add_option("--plant", settings.plant,
                 "Plant a bug that must be found: lost, hole, twice, swapped, stranger, changed (lies to the judge); "
                 "unsynced (no flush before acknowledgements); drift (a run depends on more than its seed); with "
                 "--brokers early (acknowledged by the leader alone), unclean (replicas that are behind may lead)")
      ->check(CLI::IsMember(
          {"lost", "hole", "twice", "swapped", "stranger", "changed", "unsynced", "drift", "early", "unclean"}));
  app.add_flag("--lose-disks", settings.lose_disks, "With --brokers: in some seeds a machine loses its disk");
  app.add_flag("--check-determinism,!--no-check-determinism", settings.check_determinism,
               "Run the first seeds twice and compare their trace hashes")
      ->capture_default_str();
  app.add_flag("-v,--verbose", settings.verbose, "A line for every seed, and all that is wrong with it");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  settings.one_seed = one->count() > 0;
  return settings.one_seed ? run_here(settings) : run_many(settings);
}

}  // namespace
}  // namespace klamm::simtest

int main(int argc, char** argv) { return klamm::simtest::main_of(argc, argv); }
