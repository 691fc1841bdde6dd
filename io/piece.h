// What a stream writes: bytes in memory, or a range of a file that goes out by sendfile.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "base/bytes.h"

namespace klamm::io {

class File;

// A range of a file. It holds the file: a segment that is deleted stays readable until its last region is gone.
struct FileRegion {
  std::shared_ptr<File> file;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

using Piece = std::variant<Slice, FileRegion>;

inline std::uint64_t size_of(const Piece& piece) {
  if (const auto* slice = std::get_if<Slice>(&piece)) return slice->size();
  return std::get<FileRegion>(piece).size;
}

// An ordered run of pieces: a response frame, the records of a fetched partition.
using Pieces = std::vector<Piece>;

inline std::uint64_t size_of(const Pieces& pieces) {
  std::uint64_t total = 0;
  for (const Piece& piece : pieces) total += size_of(piece);
  return total;
}

}  // namespace klamm::io
