#include "io/sim/disk_image.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io/sim/disk_pages.h"

namespace klamm::io::sim {
namespace {

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      parts.emplace_back(part);
    }
  }
  return parts;
}

Error not_found(std::string_view path) { return {Errc::not_found, std::string(path)}; }

}  // namespace

DiskImage::DiskImage() {
  auto root = std::make_shared<Inode>();
  root->number = kRoot;
  root->is_directory = true;
  inodes_.emplace(kRoot, std::move(root));
}

DiskImage::DiskImage(const DiskImage& other) { *this = other; }

DiskImage& DiskImage::operator=(const DiskImage& other) {
  if (this == &other) return *this;
  inodes_.clear();
  for (const auto& [number, inode] : other.inodes_) inodes_.emplace(number, std::make_shared<Inode>(*inode));
  changes_ = other.changes_;
  next_number_ = other.next_number_;
  used_pages_ = other.used_pages_;
  return *this;
}

DiskImage::InodeRef DiskImage::inode(Number number) const {
  const auto found = inodes_.find(number);
  return found == inodes_.end() ? nullptr : found->second;
}

std::string DiskImage::normalized(std::string_view path) {
  std::string text;
  for (const std::string& part : split(path)) text += "/" + part;
  return text.empty() ? "/" : text;
}

Result<DiskImage::InodeRef> DiskImage::find(std::string_view path) const {
  InodeRef at = inode(kRoot);
  for (const std::string& part : split(path)) {
    if (!at->is_directory) return fail(system_error(ENOTDIR, std::string(path)));
    const auto entry = at->entries.find(part);
    if (entry == at->entries.end()) return fail(not_found(path));
    at = inode(entry->second);
  }
  return at;
}

Result<DiskImage::InodeRef> DiskImage::parent_of(const std::vector<std::string>& parts, std::string_view path) const {
  InodeRef at = inode(kRoot);
  for (std::size_t index = 0; index + 1 < parts.size(); ++index) {
    const auto entry = at->entries.find(parts[index]);
    if (entry == at->entries.end()) return fail(not_found(path));
    at = inode(entry->second);
    if (!at->is_directory) return fail(system_error(ENOTDIR, std::string(path)));
  }
  return at;
}

void DiskImage::link(Inode& inode, Location to) {
  this->inode(to.directory)->entries[to.name] = inode.number;
  if (!inode.location) used_pages_ += inode.used_pages();
  inode.location = std::move(to);
}

void DiskImage::unlink(Inode& inode) {
  if (!inode.location) return;
  this->inode(inode.location->directory)->entries.erase(inode.location->name);
  inode.location.reset();
  used_pages_ -= inode.used_pages();
}

Result<DiskImage::InodeRef> DiskImage::create(std::string_view path, bool directory, TimestampMs now_ms) {
  const std::vector<std::string> parts = split(path);
  if (parts.empty()) return fail(Errc::already_exists, std::string(path));
  Result<InodeRef> parent = parent_of(parts, path);
  KLAMM_TRY(parent);
  if ((*parent)->entries.contains(parts.back())) return fail(Errc::already_exists, std::string(path));
  auto made = std::make_shared<Inode>();
  made->number = next_number_++;
  made->is_directory = directory;
  made->modified_ms = now_ms;
  inodes_.emplace(made->number, made);
  const Location at{(*parent)->number, parts.back()};
  link(*made, at);
  changes_.push_back({made->number, std::nullopt, at});
  return made;
}

Result<void> DiskImage::make_directories(std::string_view path, TimestampMs now_ms) {
  std::string prefix;
  for (const std::string& part : split(path)) {
    prefix += "/" + part;
    Result<InodeRef> there = find(prefix);
    if (there) {
      if (!(*there)->is_directory) return fail(system_error(ENOTDIR, std::string(path)));
      continue;
    }
    Result<InodeRef> made = create(prefix, true, now_ms);
    KLAMM_TRY(made);
  }
  return {};
}

Result<void> DiskImage::rename(std::string_view from, std::string_view to) {
  Result<InodeRef> moved = find(from);
  KLAMM_TRY(moved);
  Inode& inode = **moved;
  const std::vector<std::string> parts = split(to);
  if (parts.empty() || inode.number == kRoot) return fail(system_error(EBUSY, std::string(to)));
  Result<InodeRef> parent = parent_of(parts, to);
  KLAMM_TRY(parent);
  for (InodeRef up = *parent; up->number != kRoot; up = this->inode(up->location->directory)) {
    if (up->number == inode.number) return fail(system_error(EINVAL, std::string(to)));
  }
  const auto displaced = (*parent)->entries.find(parts.back());
  if (displaced != (*parent)->entries.end()) {
    const InodeRef old = this->inode(displaced->second);
    if (old->number == inode.number) return {};
    if (old->is_directory && !inode.is_directory) return fail(system_error(EISDIR, std::string(to)));
    if (!old->is_directory && inode.is_directory) return fail(system_error(ENOTDIR, std::string(to)));
    if (!old->entries.empty()) return fail(system_error(ENOTEMPTY, std::string(to)));
    unlink(*old);
  }
  const Location source = *inode.location;
  const Location target{(*parent)->number, parts.back()};
  this->inode(source.directory)->entries.erase(source.name);
  link(inode, target);
  changes_.push_back({inode.number, source, target});
  return {};
}

Result<void> DiskImage::remove(std::string_view path) {
  Result<InodeRef> gone = find(path);
  KLAMM_TRY(gone);
  Inode& inode = **gone;
  if (inode.number == kRoot) return fail(system_error(EBUSY, std::string(path)));
  if (!inode.entries.empty()) return fail(system_error(ENOTEMPTY, std::string(path)));
  const Location source = *inode.location;
  unlink(inode);
  changes_.push_back({inode.number, source, std::nullopt});
  return {};
}

void DiskImage::remove_durably(Inode& inode) {
  if (!inode.durable_location) return;
  const InodeRef directory = this->inode(inode.durable_location->directory);
  if (directory) directory->durable_entries.erase(inode.durable_location->name);
  inode.durable_location.reset();
}

// An inode has one durable name at most, so that a rename that is kept is atomic in itself.
void DiskImage::place_durably(Inode& inode, const Location& to) {
  const InodeRef directory = this->inode(to.directory);
  if (!directory) return;
  remove_durably(inode);
  const auto there = directory->durable_entries.find(to.name);
  if (there != directory->durable_entries.end()) {
    const InodeRef displaced = this->inode(there->second);
    remove_durably(*displaced);
    forget_if_gone(displaced->number);
  }
  directory->durable_entries[to.name] = inode.number;
  inode.durable_location = to;
}

void DiskImage::apply_durably(const Change& change) {
  const InodeRef changed = inode(change.inode);
  if (!changed) return;
  if (change.to) {
    place_durably(*changed, *change.to);
  } else if (changed->durable_location == change.from) {
    remove_durably(*changed);
  }
}

void DiskImage::forget_if_gone(Number number) {
  const InodeRef candidate = inode(number);
  if (!candidate || candidate->location || candidate->durable_location) return;
  for (const Change& change : changes_) {
    if (change.inode == number) return;
  }
  inodes_.erase(number);
}

Result<void> DiskImage::sync_directory(std::string_view path) {
  Result<InodeRef> found = find(path);
  KLAMM_TRY(found);
  const InodeRef directory = *found;
  if (!directory->is_directory) return fail(system_error(ENOTDIR, std::string(path)));
  const std::map<std::string, Number> before = directory->durable_entries;
  std::vector<Number> touched;
  for (const auto& [name, number] : before) {
    const auto now = directory->entries.find(name);
    if (now != directory->entries.end() && now->second == number) continue;
    touched.push_back(number);
    const InodeRef left = inode(number);
    if (!left) continue;   // displaced by one before it
    if (left->location) {  // renamed away: durable at its new name in the same breath
      place_durably(*left, Location(*left->location));
    } else {
      remove_durably(*left);
    }
  }
  for (const auto& [name, number] : directory->entries) {
    const Location at{directory->number, name};
    const InodeRef entry = inode(number);
    if (entry->durable_location != at) place_durably(*entry, at);
  }
  std::erase_if(changes_, [&](const Change& change) {
    const bool here = (change.from && change.from->directory == directory->number) ||
                      (change.to && change.to->directory == directory->number);
    const InodeRef changed = inode(change.inode);
    const bool settled = !changed || changed->durable_location == changed->location;
    if (here || settled) touched.push_back(change.inode);
    return here || settled;
  });
  for (const Number number : touched) forget_if_gone(number);
  return {};
}

std::size_t DiskImage::read(const Inode& file, std::uint64_t offset, MutableBytes into) const {
  if (offset >= file.size) return 0;
  const std::size_t wanted = std::min<std::uint64_t>(into.size(), file.size - offset);
  for (std::size_t done = 0; done < wanted;) {
    const std::uint64_t inside = (offset + done) % kPageBytes;
    const std::size_t size = std::min<std::uint64_t>(wanted - done, kPageBytes - inside);
    const auto page = file.pages.find((offset + done) / kPageBytes);
    if (page == file.pages.end()) {
      std::memset(into.data() + done, 0, size);
    } else {
      std::memcpy(into.data() + done, page->second->data() + inside, size);
    }
    done += size;
  }
  return wanted;
}

DiskImage::Page& DiskImage::writable_page(Inode& file, std::uint64_t index) {
  PageRef& page = file.pages[index];
  if (!page) {
    page = std::make_shared<Page>();
  } else if (page.use_count() != 1) {
    page = std::make_shared<Page>(*page);
  }
  return *page;
}

std::size_t DiskImage::write(Inode& file, std::uint64_t offset, Bytes bytes, std::uint64_t capacity_bytes,
                             Random& random, double writeback_chance) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::uint64_t index = (offset + done) / kPageBytes;
    const std::uint64_t inside = (offset + done) % kPageBytes;
    const std::size_t size = std::min<std::uint64_t>(bytes.size() - done, kPageBytes - inside);
    const bool grows = !file.pages.contains(index) && file.pages.size() >= file.reserved_pages;
    if (grows && file.location && (used_pages_ + 1) * kPageBytes > capacity_bytes) break;
    const auto dirty = file.dirty.find(index);
    if (dirty == file.dirty.end()) {
      file.dirty.emplace(index, nullptr);
    } else if (random.chance(writeback_chance)) {
      dirty->second = copy_of(page_at(file.pages, index));
    }
    std::memcpy(writable_page(file, index).data() + inside, bytes.data() + done, size);
    if (grows && file.location) ++used_pages_;
    done += size;
    file.size = std::max(file.size, offset + done);
  }
  return done;
}

void DiskImage::truncate(Inode& file, std::uint64_t size) {
  const std::uint64_t used_before = file.used_pages();
  if (size < file.size) {
    const std::uint64_t first_cut = size / kPageBytes;  // a page that is cut in its middle is written
    for (auto page = file.pages.lower_bound(first_cut); page != file.pages.end(); ++page)
      file.dirty.try_emplace(page->first);
    for (auto page = file.durable_pages.lower_bound(first_cut); page != file.durable_pages.end(); ++page) {
      file.dirty.try_emplace(page->first);
    }
    trim(file.pages, size);
    file.reserved_pages = std::min(file.reserved_pages, pages_of(size));
  }
  file.size = size;
  file.smallest_size = std::min(file.smallest_size, size);
  if (file.location) used_pages_ = used_pages_ - used_before + file.used_pages();
}

bool DiskImage::allocate(Inode& file, std::uint64_t size, std::uint64_t capacity_bytes) {
  const std::uint64_t reserved = std::max(file.reserved_pages, pages_of(size));
  const std::uint64_t used = std::max<std::uint64_t>(file.pages.size(), reserved);
  if (file.location) {
    if ((used_pages_ - file.used_pages() + used) * kPageBytes > capacity_bytes) return false;
    used_pages_ = used_pages_ - file.used_pages() + used;
  }
  file.reserved_pages = reserved;
  file.size = std::max(file.size, size);
  return true;
}

DiskImage::SyncSnapshot DiskImage::begin_sync(const Inode& file) const {
  SyncSnapshot snapshot;
  for (const auto& [index, earlier] : file.dirty) snapshot.pages.emplace(index, page_at(file.pages, index));
  snapshot.size = file.size;
  return snapshot;
}

void DiskImage::finish_sync(Inode& file, const SyncSnapshot& snapshot) {
  for (const auto& [index, page] : snapshot.pages) {
    set_page(file.durable_pages, index, page);
    const auto dirty = file.dirty.find(index);
    if (dirty == file.dirty.end()) continue;
    if (page_at(file.pages, index) == page) {
      file.dirty.erase(dirty);
    } else {
      dirty->second = nullptr;
    }
  }
  file.durable_size = snapshot.size;
  trim(file.durable_pages, file.durable_size);
  file.smallest_size = std::min(snapshot.size, file.size);
}

void DiskImage::fail_sync(Inode& file, Random& random) {
  for (const auto& [index, earlier] : file.dirty) {
    if (random.chance(0.3)) set_page(file.durable_pages, index, page_at(file.pages, index));
  }
  file.dirty.clear();
  if (random.chance(0.5)) {
    file.durable_size = file.size;
    trim(file.durable_pages, file.durable_size);
    file.smallest_size = file.size;
  }
}

// ---------------------------------------------------------------------------------------------------------- for tests

Result<std::string> DiskImage::content(std::string_view path) const {
  Result<InodeRef> file = find(path);
  KLAMM_TRY(file);
  std::string text((*file)->size, '\0');
  read(**file, 0, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

bool DiskImage::flip_bit(std::string_view path, std::uint64_t offset, unsigned bit) {
  Result<InodeRef> file = find(path);
  if (!file || offset >= (*file)->size) return false;
  for (Pages* pages : {&(*file)->pages, &(*file)->durable_pages}) {
    PageRef page = copy_of(page_at(*pages, offset / kPageBytes));
    (*page)[offset % kPageBytes] ^= static_cast<std::byte>(1U << bit);
    (*pages)[offset / kPageBytes] = std::move(page);
  }
  return true;
}

std::vector<std::string> DiskImage::tree() const {
  std::vector<std::string> lines;
  std::vector<std::pair<Number, std::string>> open{{kRoot, ""}};
  while (!open.empty()) {
    const auto [number, path] = open.back();
    open.pop_back();
    const InodeRef at = inode(number);
    if (number != kRoot) lines.push_back(path + (at->is_directory ? "/" : " " + std::to_string(at->size)));
    for (const auto& [name, child] : at->entries) open.emplace_back(child, path + "/" + name);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace klamm::io::sim
