// A user's program: sees only what is installed.
#include <klamm/base/error.h>
#include <klamm/base/uuid.h>

#include <cstdio>

#if __has_include(<klamm/config.h>)
#include <klamm/config.h>
#endif

int main() {
  const klamm::Uuid id = klamm::Uuid::parse("AAAAAAAAAAAAAAAAAAAAAQ").value_or(klamm::Uuid());
  std::printf("%s\n", id.text().c_str());
  return id.text() == "AAAAAAAAAAAAAAAAAAAAAQ" ? 0 : 1;
}
