// A look at a whole directory in one go: the names in it, what stat says of them, and some bytes of each file. What
// opens thousands of directories at once asks this way: one hop to a disk thread for each instead of a dozen.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "io/file.h"

namespace klamm::io {

struct SurveyedFile {
  std::string name;
  FileInfo info;
  Slice head;  // the first bytes of a file, and the last ones: as many as were asked for, or as it has
  Slice tail;
  std::uint64_t tail_offset() const noexcept { return info.size - tail.size(); }
  bool is_whole() const noexcept { return tail.size() == info.size; }
};

// In the order of names.
class Survey {
 public:
  Survey() = default;
  explicit Survey(std::vector<SurveyedFile> files) : files_(std::move(files)) {}
  const std::vector<SurveyedFile>& files() const noexcept { return files_; }
  // Null if there is none.
  const SurveyedFile* find(std::string_view name) const;

 private:
  std::vector<SurveyedFile> files_;
};

// How many bytes of a file are wanted.
struct SurveyBytes {
  std::uint32_t head = 0;
  std::uint32_t tail = 0;
};
// Says what is wanted of each of the names, which are sorted. Called on any thread: it may use its arguments only.
using SurveyWish = std::vector<SurveyBytes> (*)(const std::vector<std::string>& names);

// Errc::not_found if there is no such directory. Files that vanish meanwhile are left out; each is a moment's truth.
// `wish` null: names and stat only.
Task<Result<Survey>> survey(FileSystem& files, std::string path, SurveyWish wish);

// Implemented beside FileSystem by one that can do it in one hop; survey() goes step by step for all others.
class Surveyor {
 public:
  virtual ~Surveyor() = default;
  virtual Task<Result<Survey>> survey_at_once(std::string path, SurveyWish wish) = 0;
};

}  // namespace klamm::io
