#include "monitor.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

namespace klamm::simtest {

namespace {

constexpr std::string_view kEpoch = "epoch ";
constexpr std::string_view kLedBy = ": the metadata quorum is led by ";

// What lines of brokers' logs tell of.
constexpr std::array kSigns{
    std::pair{std::string_view("active controller in epoch"), "controllers active"},
    std::pair{std::string_view("where it parts from the leader's"), "metadata logs cut where they part"},
    std::pair{std::string_view("fetched the metadata snapshot"), "metadata snapshots fetched"},
    std::pair{std::string_view("dropped the metadata below"), "metadata dropped below a snapshot"},
    std::pair{std::string_view("it is fenced"), "brokers fenced"},
    std::pair{std::string_view("registered as broker"), "brokers registered"},
    std::pair{std::string_view("the controller gives up epoch"), "controllers gave up"},
    std::pair{std::string_view("of leader epoch"), "ISR changes refused"},
    std::pair{std::string_view("to become a voter"), "voters asked to join"},
    std::pair{std::string_view("former directory"), "voters' former directories removed"},
    std::pair{std::string_view("is out of the leader's range"), "followers out of range"},
    std::pair{std::string_view("leadership stays here until"), "controlled shutdowns given up"},
};

bool is_topic_log(const std::string& path) {
  return path.ends_with(".log") && path.find("__cluster_metadata") == std::string::npos;
}

}  // namespace

void Monitor::heard(std::size_t /*machine*/, std::string_view line) {
  if (line.starts_with(kEpoch)) {
    std::int64_t epoch = 0;
    const char* const end = line.data() + line.size();
    const auto [after, error] = std::from_chars(line.data() + kEpoch.size(), end, epoch);
    const std::string_view rest(after, static_cast<std::size_t>(end - after));
    if (error == std::errc() && rest.starts_with(kLedBy)) led(epoch, rest.substr(kLedBy.size()));
  }
  for (const auto& [sign, what] : kSigns) {
    if (line.find(sign) != std::string_view::npos) ++coverage_[what];
  }
}

void Monitor::led(std::int64_t epoch, std::string_view leader) {
  if (!leader.starts_with("node ")) return;
  const auto [known, is_new] = leaders_.emplace(epoch, leader);
  if (is_new) ++coverage_["metadata leaders elected"];
  if (known->second == leader) return;
  complaints_.push_back(
      fmt::format("the metadata quorum has two leaders in epoch {}: {} and {}", epoch, known->second, leader));
}

void Monitor::watch(io::sim::Node& node) {
  marks_.add(node);
  node.disk().set_observer([this, &node](io::sim::DiskOperation operation, const std::string& path) {
    if (operation == io::sim::DiskOperation::rename) marks_.renaming(node, path);
    if (operation == io::sim::DiskOperation::truncate && is_topic_log(path)) ++coverage_["logs truncated"];
  });
}

Coverage Monitor::coverage() const {
  Coverage all = coverage_;
  if (marks_.checked() > 0) all["high watermarks held against the logs"] += marks_.checked();
  return all;
}

std::vector<std::string> Monitor::complaints() const {
  std::vector<std::string> all = complaints_;
  all.insert(all.end(), marks_.complaints().begin(), marks_.complaints().end());
  return all;
}

void Monitor::planned(const io::sim::FaultPlan& plan) {
  for (const io::sim::Fault& fault : plan.faults()) ++coverage_["fault " + std::string(name_of(fault.kind))];
}

void Monitor::add(const Coverage& more) {
  for (const auto& [what, times] : more) coverage_[what] += times;
}

}  // namespace klamm::simtest
