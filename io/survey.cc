#include "io/survey.h"

#include <algorithm>

namespace klamm::io {

const SurveyedFile* Survey::find(std::string_view name) const {
  const auto at =
      std::lower_bound(files_.begin(), files_.end(), name,
                       [](const SurveyedFile& file, std::string_view wanted) { return file.name < wanted; });
  return at != files_.end() && at->name == name ? &*at : nullptr;
}

namespace {

Task<Result<Slice>> read_part(File& file, std::uint64_t offset, std::uint64_t size) {
  Buffer::Ref buffer = Buffer::allocate(size);
  Result<std::size_t> got = co_await file.read(offset, MutableBytes(buffer->data(), size));
  KLAMM_CO_TRY(got);
  if (*got != size) co_return fail(Errc::corrupt, file.path() + ": shorter than it was");
  co_return Slice(std::move(buffer), *got);
}

Task<Result<void>> look_at(FileSystem& files, const std::string& path, SurveyedFile& found, SurveyBytes wanted) {
  Result<FileInfo> info = co_await files.stat(path);
  KLAMM_CO_TRY(info);
  found.info = *info;
  if (info->is_directory) co_return Result<void>();
  const std::uint64_t head = std::min<std::uint64_t>(wanted.head, info->size);
  const std::uint64_t tail = std::min<std::uint64_t>(wanted.tail, info->size);
  if (head == 0 && tail == 0) co_return Result<void>();
  Result<std::shared_ptr<File>> file = co_await files.open(path, OpenMode::read);
  KLAMM_CO_TRY(file);
  if (head > 0) {
    Result<Slice> part = co_await read_part(**file, 0, head);
    KLAMM_CO_TRY(part);
    found.head = *std::move(part);
  }
  if (tail > 0) {
    Result<Slice> part = co_await read_part(**file, info->size - tail, tail);
    KLAMM_CO_TRY(part);
    found.tail = *std::move(part);
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<Survey>> survey(FileSystem& files, std::string path, SurveyWish wish) {
  if (auto* surveyor = dynamic_cast<Surveyor*>(&files)) {
    Result<Survey> at_once = co_await surveyor->survey_at_once(std::move(path), wish);
    co_return at_once;
  }
  Result<std::vector<std::string>> names = co_await files.list(path);
  KLAMM_CO_TRY(names);
  const std::vector<SurveyBytes> wanted = wish == nullptr ? std::vector<SurveyBytes>(names->size()) : wish(*names);
  std::vector<SurveyedFile> found;
  found.reserve(names->size());
  for (std::size_t i = 0; i < names->size(); ++i) {
    SurveyedFile file;
    file.name = (*names)[i];
    Result<void> looked = co_await look_at(files, join_path(path, file.name), file, wanted[i]);
    if (!looked && looked.error() == Errc::not_found) continue;
    KLAMM_CO_TRY(looked);
    found.push_back(std::move(file));
  }
  co_return Survey(std::move(found));
}

}  // namespace klamm::io
