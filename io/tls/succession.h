// Whether a certificate may take another's place while a broker runs: clients that knew it must go on knowing it.
#pragma once

#include "base/result.h"
#include "io/tls/context.h"

namespace klamm::io::tls {

struct Succession {
  bool other_subject = false;  // ssl.allow.dn.changes
  bool fewer_names = false;    // ssl.allow.san.changes
};

// Fails with Errc::invalid_argument, in words like Kafka's, if the certificate of `next` has another subject than that
// of `now`, or lacks one of its alternative names.
Result<void> check_successor(const Context& now, const Context& next, Succession allowed);

}  // namespace klamm::io::tls
