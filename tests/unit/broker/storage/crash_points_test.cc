// Power failures at the operations of the file system that change something, during a history that goes through all
// that storage does. What remains of the disk is drawn by seed (io/sim/disk_image.h); on each remainder a node starts,
// its logs are compared with what was promised, and it goes on: some more appends, and a second loss of power.
//
// Some points of one history; `./dev crash` goes through many more. It says so by variables:
//   KLAMM_CRASH_SEED, KLAMM_CRASH_SEEDS  the first history and how many
//   KLAMM_CRASH_POINTS                   about how many points of each (0: all)
//   KLAMM_CRASH_ROUNDS                   how long a history is
//   KLAMM_CRASH_POINT                    one alone: what a failure tells is found again by its seed and its point
//   KLAMM_CRASH_PLANT                    a disk that does not keep its word: the sweep must find it
//   KLAMM_CRASH_EXPORT                   a directory for some of the disks that came through, and those that did not
//   KLAMM_CRASH_LOG                      what the nodes log goes to stderr
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/broker/storage/crash_history.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

constexpr std::uint64_t kPointsOfRound = 4000;  // as a rule

// What a sweep goes through.
struct Plan {
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  std::uint64_t points = 60;
  std::uint64_t rounds = 1;
  std::uint64_t only_point = 0;  // 0: no such
  std::string plant;
  std::string export_to;
  std::uint64_t starts_per_export = 40;
  std::uint64_t stride() const {
    return points == 0 ? 1 : std::max<std::uint64_t>(kPointsOfRound * rounds / points, 1);
  }
};

std::uint64_t number_in(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string text_in(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? std::string() : text;
}

Plan plan_asked_for() {
  Plan plan;
  plan.seed = number_in("KLAMM_CRASH_SEED", plan.seed);
  plan.seeds = number_in("KLAMM_CRASH_SEEDS", plan.seeds);
  plan.points = number_in("KLAMM_CRASH_POINTS", plan.points);
  plan.rounds = number_in("KLAMM_CRASH_ROUNDS", plan.rounds);
  plan.only_point = number_in("KLAMM_CRASH_POINT", plan.only_point);
  if (plan.only_point > 0) plan.seeds = 1;
  plan.plant = text_in("KLAMM_CRASH_PLANT");
  plan.export_to = text_in("KLAMM_CRASH_EXPORT");
  return plan;
}

// A fault that stands for one of the storage layer: to the logs it is the same whether a sync is left out or does
// nothing.
struct Plant {
  std::string_view name;
  io::sim::DiskOperation ignored;
  std::string_view path;        // a part of it
  bool only_restarted = false;  // not while the history runs
};
constexpr Plant kPlants[] = {
    // No file's name is durable: after a roll, a rename, a deletion.
    {"names", io::sim::DiskOperation::sync_directory, ""},
    // Recovery points are ahead of the records.
    {"records", io::sim::DiskOperation::sync, ".log"},
    // A start after a crash does not make durable what it has found.
    {"recovered", io::sim::DiskOperation::sync, ".log", true},
};

void plant(CrashNode& node, std::string_view name, bool restarted) {
  if (name.empty()) return;
  const auto* at =
      std::find_if(std::begin(kPlants), std::end(kPlants), [&](const Plant& one) { return one.name == name; });
  REQUIRE_MESSAGE(at != std::end(kPlants), "no plant is named ", std::string(name));
  if (restarted || !at->only_restarted) node.disk().ignore(at->ignored, std::string(at->path));
}

// Writes the files of a simulated disk to a real directory, for Kafka's tools to look at.
void export_image(const io::sim::DiskImage& image, const std::filesystem::path& to) {
  for (const std::string& line : image.tree()) {
    if (line.ends_with('/')) {
      std::filesystem::create_directories(to / line.substr(1));
      continue;
    }
    const std::string path = line.substr(0, line.rfind(' '));
    Result<std::string> content = image.content(path);
    REQUIRE(content.has_value());
    std::ofstream file(to / path.substr(1), std::ios::binary);
    file << *content;
    REQUIRE(file.flush().good());
  }
}

struct PowerLoss {
  std::uint64_t point = 0;
  Random draws{0};
  std::string operation;
  io::sim::DiskImage image;
  StorageModel model;
};

// Takes what a loss of power would leave, at each chosen point, without disturbing the history.
class Sweep {
 public:
  Sweep(std::uint64_t seed, const Plan& plan) : seed_(seed), plan_(plan) {}

  void run() {
    CrashNode node(seed_);
    node.format();
    plant(node, plan_.plant, false);
    CrashHistory history(node, seed_);
    history.prepare();
    node.disk().set_observer([&](io::sim::DiskOperation operation, const std::string& path) {
      if (!is_crash_point(operation)) return;
      ++points_;
      if (plan_.only_point > 0 ? points_ != plan_.only_point : (points_ + seed_) % plan_.stride() != 0) return;
      PowerLoss loss;
      loss.point = points_;
      loss.draws = Random(seed_ * 1'000'003 + points_);
      loss.operation = fmt::format("{} {}", io::sim::name_of(operation), path);
      loss.image = node.disk().image_after_crash(io::sim::Unsynced::draw, loss.draws.next());
      loss.model = history.model();
      losses_.push_back(std::move(loss));
    });
    history.run(static_cast<int>(plan_.rounds), [&] {
      for (PowerLoss& loss : losses_) survive(std::move(loss));
      losses_.clear();
    });
    node.disk().set_observer(nullptr);
  }

  std::uint64_t points() const { return points_; }
  std::uint64_t starts() const { return starts_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void report(const PowerLoss& loss, std::string_view when, const std::vector<std::string>& problems) {
    if (problems.empty()) return;
    problems_.push_back(fmt::format("seed {}, before operation {} ({}), {}: {}", seed_, loss.point, loss.operation,
                                    when, fmt::join(problems, "; ")));
  }

  // Starts on an image and compares. Null if it did not start.
  std::unique_ptr<CrashNode> start(PowerLoss& loss, std::string_view when, const io::sim::DiskImage& image,
                                   StorageModel& model, std::optional<io::sim::DiskImage>* cut_short = nullptr) {
    ++starts_;
    auto node = std::make_unique<CrashNode>(loss.draws.next(), image);
    plant(*node, plan_.plant, true);
    if (cut_short != nullptr) {
      node->disk().crash_after(loss.draws.below(60) + 1, [&, disk = &node->disk()] {
        cut_short->emplace(disk->image_after_crash(io::sim::Unsynced::draw, loss.draws.next()));
      });
    }
    const std::string failed = node->start();
    node->disk().crash_after(1'000'000, [] {});
    if (!failed.empty()) {
      report(loss, when, {failed});
      return nullptr;
    }
    Checked checked = check_storage(*node, model);
    report(loss, when, checked.problems);
    if (!checked.problems.empty()) {
      if (!plan_.export_to.empty()) export_to(fmt::format("failed-{}-{}", seed_, loss.point), image);
      return nullptr;
    }
    model = std::move(checked.model);
    return node;
  }

  void survive(PowerLoss loss) {
    std::optional<io::sim::DiskImage> cut_short;
    StorageModel model = loss.model;
    std::unique_ptr<CrashNode> node = start(loss, "after the start", loss.image, model, &cut_short);
    if (cut_short) {
      StorageModel again = loss.model;
      start(loss, "after a start that was cut short", *cut_short, again);
    }
    if (node == nullptr) return;
    report(loss, "going on", CrashHistory::go_on(*node, model, loss.point));
    const bool clean = loss.draws.chance(0.5);
    if (clean) {
      const std::string failed = node->stop();
      if (!failed.empty()) report(loss, "stopping", {failed});
    }
    const io::sim::DiskImage image = node->disk().image_after_crash(
        clean ? io::sim::Unsynced::lose_all : io::sim::Unsynced::draw, loss.draws.next());
    node = start(loss, clean ? "after a clean stop" : "after a second loss of power", image, model);
    if (node == nullptr || plan_.export_to.empty() || starts_ < next_export_) return;
    next_export_ = starts_ + plan_.starts_per_export;
    const std::string failed = node->stop();
    if (!failed.empty()) return report(loss, "stopping to be copied", {failed});
    export_to(fmt::format("{}-{}", seed_, loss.point), node->disk().image());
  }

  void export_to(const std::string& name, const io::sim::DiskImage& image) const {
    export_image(image, std::filesystem::path(plan_.export_to) / name);
  }

  std::uint64_t seed_;
  Plan plan_;
  std::vector<PowerLoss> losses_;
  std::uint64_t points_ = 0;
  std::uint64_t starts_ = 0;
  std::vector<std::string> problems_;
  std::uint64_t next_export_ = 0;
};

}  // namespace

TEST_CASE("whenever the power fails, what was promised is there after the next start") {
  const Plan plan = plan_asked_for();
  std::uint64_t points = 0;
  std::uint64_t starts = 0;
  for (std::uint64_t i = 0; i < plan.seeds; ++i) {
    Sweep sweep(plan.seed + i, plan);
    sweep.run();
    points += sweep.points();
    starts += sweep.starts();
    for (const std::string& problem : sweep.problems()) CHECK_MESSAGE(false, problem);
  }
  MESSAGE(points, " points, ", starts, " starts");
  CHECK(points > 1000 * plan.seeds);
}

TEST_CASE("a disk that does not keep its word is found out") {
  for (const Plant& each : kPlants) {
    CAPTURE(std::string(each.name));
    Plan plan;
    plan.points = 40;
    plan.plant = each.name;
    Sweep sweep(1, plan);
    sweep.run();
    CHECK(!sweep.problems().empty());
  }
}
