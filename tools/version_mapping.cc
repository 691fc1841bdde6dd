#include "tools/version_mapping.h"

#include "broker/metadata/format.h"
#include "tools/output.h"

namespace klamm::tools {

int print_version_mapping(const std::optional<std::string>& release) {
  metadata::FormatOptions options;
  options.release_version = release;
  options.kafka_defaults = true;
  Result<metadata::ChosenFeatures> chosen = metadata::choose_features(options);
  if (!chosen) return fail_text(reason_of(chosen.error()));
  const std::string name(release ? std::string_view(*release) : chosen->version.name());
  print("metadata.version={} ({})\n", chosen->version.level, name);
  constexpr std::int16_t kFirstWithKRaftVersion = 21;  // 3.9-IV0
  print("{}={}\n", metadata::kKRaftVersionFeature, chosen->version.level >= kFirstWithKRaftVersion ? 1 : 0);
  for (const std::string_view feature :
       {metadata::kTransactionVersionFeature, metadata::kGroupVersionFeature, metadata::kElrVersionFeature,
        metadata::kShareVersionFeature, metadata::kStreamsVersionFeature}) {
    const auto found = chosen->features.find(feature);
    print("{}={}\n", feature, found == chosen->features.end() ? 0 : found->second);
  }
  return 0;
}

}  // namespace klamm::tools
