// What `storage version-mapping` and `features version-mapping` print: the feature levels of a release.
#pragma once

#include <optional>
#include <string>

namespace klamm::tools {

// `release`: "4.3" or "4.3-IV0"; nothing: the newest. Returns the exit status.
int print_version_mapping(const std::optional<std::string>& release);

}  // namespace klamm::tools
