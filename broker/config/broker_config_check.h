// The rules across keys of a broker's configuration; used by BrokerConfig::parse alone.
#pragma once

#include "base/result.h"
#include "broker/config/broker_config.h"

namespace klamm::config {

class BrokerConfigChecker {
 public:
  explicit BrokerConfigChecker(BrokerConfig& config) : config_(config), values_(config.values()) {}
  // The first broken rule is the error. Adds to the configuration's warnings.
  Result<void> run();

 private:
  Result<void> check_identity() const;
  Result<void> check_log() const;
  Result<void> check_network() const;
  Result<void> check_replication();
  Result<void> check_quorum();
  Result<void> check_broker_only();
  Result<void> check_controller_only() const;
  Result<void> check_controller_role() const;
  Result<void> check_advertised() const;
  Result<void> check_security() const;
  Result<void> check_plug_ins() const;
  Result<void> check_coordinators();

  std::string text(std::string_view key) const;
  tl::unexpected<Error> bad(std::string_view key, std::string_view reason) const;

  BrokerConfig& config_;
  const ConfigValues& values_;
};

}  // namespace klamm::config
