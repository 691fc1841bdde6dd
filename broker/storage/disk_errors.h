// What an error of the file system says about the disk.
#pragma once

#include <cerrno>

#include "base/error.h"
#include "broker/storage/open_files.h"

namespace klamm::storage {

// Room, a quota, memory or descriptors are short: that passes, and the directory stays in service.
inline bool is_shortage(const Error& error) {
  if (is_descriptor_shortage(error)) return true;
  for (const int number : {ENOSPC, EDQUOT, ENOMEM}) {
    if (error == std::error_code(number, std::system_category())) return true;
  }
  return false;
}

// The disk itself: an I/O error, a file system that became read-only, a vanished file.
inline bool is_disk_failure(const Error& error) {
  if (error == Errc::not_found) return true;
  return error.code().category() == std::system_category() && !is_shortage(error);
}

}  // namespace klamm::storage
