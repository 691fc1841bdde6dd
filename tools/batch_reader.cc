#include "tools/batch_reader.h"

#include <algorithm>
#include <array>
#include <cerrno>

namespace klamm::tools {

Result<BatchReader> BatchReader::open(const std::string& path, std::uint64_t limit_bytes) {
  File file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file || std::fseek(file.get(), 0, SEEK_END) != 0) return fail(system_error(errno, path));
  BatchReader reader(std::move(file));
  reader.file_bytes_ = static_cast<std::uint64_t>(std::max(0L, std::ftell(reader.file_.get())));
  reader.end_ = std::min(reader.file_bytes_, limit_bytes);
  return reader;
}

bool BatchReader::next() {
  std::array<std::byte, record::kEntryHeadSize> head{};
  if (next_ + head.size() > end_ || std::fseek(file_.get(), static_cast<long>(next_), SEEK_SET) != 0) return false;
  if (std::fread(head.data(), 1, head.size(), file_.get()) != head.size()) return false;
  const record::EntryHead peeked = record::peek_entry(head);
  if (peeked.status == record::EntryStatus::malformed || peeked.size_bytes < head.size()) return false;
  if (next_ + peeked.size_bytes > end_) return false;
  Buffer::Ref buffer = Buffer::allocate(peeked.size_bytes);
  std::copy(head.begin(), head.end(), buffer->data());
  const std::size_t rest = peeked.size_bytes - head.size();
  if (std::fread(buffer->data() + head.size(), 1, rest, file_.get()) != rest) return false;
  entry_ = Slice(std::move(buffer), peeked.size_bytes);
  head_ = record::peek_entry(entry_.bytes());
  if (head_.status != record::EntryStatus::whole) return false;
  position_ = next_;
  next_ += peeked.size_bytes;
  return true;
}

}  // namespace klamm::tools
