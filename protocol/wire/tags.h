// Tagged fields that this build does not know: kept while decoding and sent again while encoding.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace klamm::wire {

struct UnknownTag {
  std::uint32_t tag = 0;
  Slice value;  // the field's bytes as they came, a part of the frame
  friend bool operator==(const UnknownTag&, const UnknownTag&) = default;
};

// In ascending order of the tags, no tag twice.
using UnknownTags = std::vector<UnknownTag>;

}  // namespace klamm::wire
