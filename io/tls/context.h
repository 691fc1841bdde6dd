// What all TLS connections of one client, or of one listener, have in common: who we are, whom we trust, which versions
// and ciphers may be spoken.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "io/shard.h"
#include "io/task.h"
#include "io/tls/settings.h"

struct ssl_ctx_st;

namespace klamm::io::tls {

enum class Role : std::int8_t { client, server };

// Immutable once made; streams of any shard may share it.
class Context {
 public:
  // Reads the stores that `settings` names through the shard's file system. Fails with Errc::invalid_argument (a store
  // that is missing, unreadable or holds the wrong things, a cipher that nobody knows; a server without a key) or
  // Errc::unsupported (a JKS store); the context names the key and the file. Nothing of it is cured by trying again.
  static Task<Result<std::shared_ptr<const Context>>> load(Shard& shard, Settings settings, Role role);

  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Role role() const noexcept { return role_; }
  // Whether a client looks at the name in the server's certificate.
  bool verifies_host() const noexcept { return verify_host_; }
  ssl_ctx_st* native() const noexcept { return native_; }

 private:
  Context(ssl_ctx_st* native, Role role, bool verify_host) : native_(native), role_(role), verify_host_(verify_host) {}

  ssl_ctx_st* native_;
  Role role_;
  bool verify_host_;
};

}  // namespace klamm::io::tls
