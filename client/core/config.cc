#include "klamm/config.h"

#include "base/properties.h"

namespace klamm {

bool Config::load(std::string_view text, std::string* error) {
  const Result<Properties> properties = Properties::parse(text);
  if (!properties) {
    if (error != nullptr) *error = properties.error().message();
    return false;
  }
  for (const Properties::Entry& entry : properties->entries()) set(entry.key, entry.value);
  return true;
}

}  // namespace klamm
