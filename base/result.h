// Result<T>: a value or an Error. Nothing inside klamm throws; see DESIGN.md, "Errors are values".
#pragma once

#include <tl/expected.hpp>

#include "base/error.h"

namespace klamm {

template <typename T = void>
using Result = tl::expected<T, Error>;

// `return fail(Errc::malformed, "batch at 17");`
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }
inline tl::unexpected<Error> fail(Errc errc, std::string context = {}) {
  return tl::unexpected<Error>(Error(errc, std::move(context)));
}

}  // namespace klamm

// Leaves the enclosing function (or coroutine, with KLAMM_CO_TRY) with the error of `result`, an lvalue.
#define KLAMM_TRY(result)                                           \
  do {                                                              \
    if (!(result)) return ::klamm::fail(std::move(result).error()); \
  } while (false)
#define KLAMM_CO_TRY(result)                                           \
  do {                                                                 \
    if (!(result)) co_return ::klamm::fail(std::move(result).error()); \
  } while (false)
