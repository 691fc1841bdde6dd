#include "broker/storage/open_files.h"

#include <cerrno>
#include <system_error>

namespace klamm::storage {

bool is_descriptor_shortage(const Error& error) {
  return error == std::error_code(EMFILE, std::system_category()) ||
         error == std::error_code(ENFILE, std::system_category());
}

OpenFiles::~OpenFiles() { KLAMM_CHECK(count_ == 0, "files outlive their list"); }

void OpenFiles::add(CachedFile& file) {
  file.older_ = newest_;
  file.newer_ = nullptr;
  (newest_ == nullptr ? oldest_ : newest_->newer_) = &file;
  newest_ = &file;
  ++count_;
}

void OpenFiles::remove(CachedFile& file) {
  (file.older_ == nullptr ? oldest_ : file.older_->newer_) = file.newer_;
  (file.newer_ == nullptr ? newest_ : file.newer_->older_) = file.older_;
  file.older_ = file.newer_ = nullptr;
  --count_;
}

void OpenFiles::shrink_to(std::size_t count) {
  while (count_ > count) oldest_->release();
}

bool OpenFiles::make_room() {
  if (count_ == 0) return false;
  shrink_to(count_ - (count_ + 3) / 4);
  return true;
}

io::Task<Result<std::shared_ptr<io::File>>> CachedFile::open(std::string path, io::OpenMode mode) {
  if (file_ != nullptr) co_return use();
  // Before and not after: the bound holds while this one is being opened too.
  if (open_files_ != nullptr && open_files_->most_ != OpenFiles::kUnlimited) {
    open_files_->shrink_to(open_files_->most_ - 1);
  }
  Result<std::shared_ptr<io::File>> opened =
      co_await with_descriptors(open_files_, [&] { return files_->open(path, mode); });
  KLAMM_CO_TRY(opened);
  hold(*opened);
  co_return opened;
}

const std::shared_ptr<io::File>& CachedFile::use() {
  KLAMM_CHECK(file_ != nullptr, "a file that is not open");
  if (open_files_ != nullptr && open_files_->newest_ != this) {
    open_files_->remove(*this);
    open_files_->add(*this);
  }
  return file_;
}

void CachedFile::hold(std::shared_ptr<io::File> file) {
  release();  // two may have opened it at the same time
  file_ = std::move(file);
  if (open_files_ == nullptr) return;
  open_files_->add(*this);
  open_files_->shrink_to(open_files_->most_);
}

void CachedFile::release() {
  if (file_ == nullptr) return;
  if (open_files_ != nullptr) open_files_->remove(*this);
  file_.reset();
}

}  // namespace klamm::storage
