// What `storage` and `features` print alike: the feature levels of a release, and what a level needs of others.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "broker/metadata/features.h"

namespace klamm::tools {

// "metadata.version" in two ways: 4.3-IV0, and UNKNOWN with its level. Other features have numbers only.
std::string level_text(std::string_view feature, std::int16_t level);
// "share.version=1". The error has the sentence to print.
Result<std::pair<std::string, std::int16_t>> parse_level(std::string_view text);
// The levels of all features in a release ("4.3" or "4.3-IV0"; nothing: the newest), those at level 0 too.
Result<metadata::FeatureLevels> levels_of_release(const std::optional<std::string>& release);

// `release`: "4.3" or "4.3-IV0"; nothing: the newest. Returns the exit status.
int print_version_mapping(const std::optional<std::string>& release);
// `levels`: "transaction.version=2" …
int print_feature_dependencies(const std::vector<std::string>& levels);

}  // namespace klamm::tools
