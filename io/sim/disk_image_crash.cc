// What a crash leaves of a simulated disk.
#include <cstring>
#include <set>

#include "io/sim/disk_image.h"
#include "io/sim/disk_pages.h"

namespace klamm::io::sim {

namespace {

// How much of many small things a crash keeps: nothing, all, a prefix, or each by chance.
class Survival {
 public:
  Survival(Unsynced unsynced, std::size_t count, Random& random) : random_(random) {
    if (unsynced == Unsynced::lose_all) return;
    mode_ = random.below(4);
    if (mode_ == 2) prefix_ = random.below(count + 1);
  }
  bool next() {
    const std::size_t position = position_++;
    if (mode_ < 2) return mode_ == 1;
    return mode_ == 2 ? position < prefix_ : random_.chance(0.5);
  }
  bool scattered() const { return mode_ == 3; }

 private:
  Random& random_;
  std::uint64_t mode_ = 0;
  std::size_t prefix_ = 0;
  std::size_t position_ = 0;
};

// What the disk holds of a page that was being written: the old or new content, one in between, or a mix of sectors.
DiskImage::PageRef settle_page(const DiskImage::PageRef& old, const DiskImage::PageRef& earlier,
                               const DiskImage::PageRef& latest, bool keep, bool scattered, Random& random) {
  if (!scattered) return keep ? latest : old;
  switch (random.below(4)) {
    case 0: return old;
    case 1: return latest;
    case 2: return earlier ? earlier : latest;
    default: break;
  }
  const DiskImage::PageRef torn = copy_of(old);
  const DiskImage::PageRef source = copy_of(latest);
  for (std::uint64_t sector = 0; sector < DiskImage::kPageBytes; sector += DiskImage::kSectorBytes) {
    if (random.chance(0.5)) std::memcpy(torn->data() + sector, source->data() + sector, DiskImage::kSectorBytes);
  }
  return torn;
}

}  // namespace

void DiskImage::settle_names(Unsynced unsynced, Random& random) {
  Survival survival(unsynced, changes_.size(), random);
  const std::vector<Change> changes = std::move(changes_);
  changes_.clear();
  for (const Change& change : changes) {
    if (survival.next()) apply_durably(change);
  }
}

void DiskImage::settle_content(Inode& file, Unsynced unsynced, Random& random) {
  if (unsynced == Unsynced::lose_all) {
    file.dirty.clear();
    return;
  }
  const bool cut = file.smallest_size < file.durable_size;
  Survival survival(unsynced, file.dirty.size(), random);
  const bool cut_is_lost = cut && random.chance(0.5);
  if (cut && !cut_is_lost) {
    trim(file.durable_pages, file.smallest_size);
    file.durable_size = file.smallest_size;
  }
  const std::uint64_t untouched_from = cut_is_lost ? file.smallest_size / kPageBytes : ~std::uint64_t{0};
  for (const auto& [index, earlier] : file.dirty) {
    const bool keep = survival.next();
    if (index >= untouched_from) continue;  // the truncation and all that came after it there never happened
    set_page(file.durable_pages, index,
             settle_page(page_at(file.durable_pages, index), earlier, page_at(file.pages, index), keep,
                         survival.scattered(), random));
  }
  file.dirty.clear();
  if (cut_is_lost) return;
  if (file.durable_size < file.size) {  // grown: the new size, the old one, or one in between
    const std::uint64_t grown_by = file.size - file.durable_size;
    const std::uint64_t choice = random.below(3);
    if (choice == 1) file.durable_size += random.below(grown_by + 1);
    if (choice == 2) file.durable_size = file.size;
  }
  trim(file.durable_pages, file.durable_size);
}

void DiskImage::rebuild_from_durable() {
  std::set<Number> reached{kRoot};
  std::vector<Number> open{kRoot};
  used_pages_ = 0;
  while (!open.empty()) {
    Inode& at = *inode(open.back());
    open.pop_back();
    at.entries = at.durable_entries;
    at.location = at.durable_location;
    at.pages = at.durable_pages;
    at.size = at.smallest_size = at.durable_size;
    at.reserved_pages = std::min(at.reserved_pages, pages_of(at.size));
    if (at.number != kRoot) used_pages_ += at.used_pages();
    for (const auto& [name, number] : at.entries) {
      if (reached.insert(number).second) open.push_back(number);
    }
  }
  std::erase_if(inodes_, [&](const auto& entry) { return !reached.contains(entry.first); });
}

void DiskImage::crash(Unsynced unsynced, Random& random) {
  if (unsynced == Unsynced::keep_all) return;
  settle_names(unsynced, random);
  for (const auto& [number, inode] : inodes_) {
    if (!inode->is_directory) settle_content(*inode, unsynced, random);
  }
  rebuild_from_durable();
}

}  // namespace klamm::io::sim
