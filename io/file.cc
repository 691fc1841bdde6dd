#include "io/file.h"

namespace klamm::io {

Task<Result<void>> File::write(std::uint64_t offset, Bytes bytes) {
  const Bytes parts[] = {bytes};
  Result<void> written = co_await write(offset, std::span<const Bytes>(parts));
  co_return written;
}

Task<Result<Slice>> read_file(FileSystem& files, std::string path, std::uint64_t limit_bytes) {
  Result<std::shared_ptr<File>> file = co_await files.open(path, OpenMode::read);
  KLAMM_CO_TRY(file);
  Result<std::uint64_t> size = co_await (*file)->size();
  KLAMM_CO_TRY(size);
  if (*size > limit_bytes) co_return fail(Errc::too_large, path);
  Buffer::Ref buffer = Buffer::allocate(*size);
  Result<std::size_t> got = co_await (*file)->read(0, MutableBytes(buffer->data(), *size));
  KLAMM_CO_TRY(got);
  co_return Slice(std::move(buffer), *got);
}

Task<Result<void>> write_file_atomically(FileSystem& files, std::string path, Slice content) {
  const std::string temporary = path + ".tmp";
  {
    Result<std::shared_ptr<File>> file = co_await files.open(temporary, OpenMode::create);
    KLAMM_CO_TRY(file);
    Result<void> cleared = co_await (*file)->truncate(0);
    KLAMM_CO_TRY(cleared);
    Result<void> written = co_await (*file)->write(0, content.bytes());
    KLAMM_CO_TRY(written);
    Result<void> synced = co_await (*file)->sync();
    KLAMM_CO_TRY(synced);
  }
  Result<void> renamed = co_await files.rename(temporary, path);
  KLAMM_CO_TRY(renamed);
  Result<void> durable = co_await files.sync_directory(parent_path(path));
  co_return durable;
}

Task<Result<void>> remove_tree(FileSystem& files, std::string path) {
  Result<FileInfo> info = co_await files.stat(path);
  if (!info) {
    if (info.error() == Errc::not_found) co_return Result<void>();
    co_return fail(std::move(info).error());
  }
  if (info->is_directory) {
    Result<std::vector<std::string>> names = co_await files.list(path);
    KLAMM_CO_TRY(names);
    for (const std::string& name : *names) {
      Result<void> removed = co_await remove_tree(files, join_path(path, name));
      KLAMM_CO_TRY(removed);
    }
  }
  Result<void> removed = co_await files.remove(path);
  if (!removed && removed.error() == Errc::not_found) co_return Result<void>();
  co_return removed;
}

std::string join_path(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path += '/';
  path += name;
  return path;
}

std::string parent_path(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

}  // namespace klamm::io
