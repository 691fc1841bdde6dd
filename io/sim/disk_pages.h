// Helpers on the pages of a simulated file. Internal to io/sim.
#pragma once

#include <algorithm>
#include <memory>

#include "io/sim/disk_image.h"

namespace klamm::io::sim {

inline std::uint64_t pages_of(std::uint64_t bytes) {
  return (bytes + DiskImage::kPageBytes - 1) / DiskImage::kPageBytes;
}

inline DiskImage::PageRef copy_of(const DiskImage::PageRef& page) {
  return page ? std::make_shared<DiskImage::Page>(*page) : std::make_shared<DiskImage::Page>();
}

inline DiskImage::PageRef page_at(const DiskImage::Pages& pages, std::uint64_t index) {
  const auto found = pages.find(index);
  return found == pages.end() ? nullptr : found->second;
}

inline void set_page(DiskImage::Pages& pages, std::uint64_t index, DiskImage::PageRef page) {
  if (page) {
    pages[index] = std::move(page);
  } else {
    pages.erase(index);
  }
}

// Cuts pages to `size` bytes: later pages go, the tail of the last becomes zeros.
inline void trim(DiskImage::Pages& pages, std::uint64_t size) {
  pages.erase(pages.lower_bound(pages_of(size)), pages.end());
  const std::uint64_t tail = size % DiskImage::kPageBytes;
  const auto last = tail == 0 ? pages.end() : pages.find(size / DiskImage::kPageBytes);
  if (last == pages.end()) return;
  last->second = copy_of(last->second);
  std::fill(last->second->begin() + static_cast<std::ptrdiff_t>(tail), last->second->end(), std::byte{0});
}

}  // namespace klamm::io::sim
