#include "klamm/record.h"

#include "protocol/record/varint.h"

namespace klamm {

// The bytes were checked when the record was decoded; a fault here ends the walk all the same.
void HeaderRange::Iterator::load() {
  if (left_ == 0) return;
  std::int32_t size = 0;
  const std::byte* at = record::read_varint(at_, end_, size);
  if (at == nullptr || size < 0 || size > end_ - at) {
    left_ = 0;
    return;
  }
  header_.key = as_text(Bytes(at, static_cast<std::size_t>(size)));
  at += size;
  at = record::read_varint(at, end_, size);
  if (at == nullptr || size < -1 || size > end_ - at) {
    left_ = 0;
    return;
  }
  header_.value = size < 0 ? NullableBytes() : NullableBytes(Bytes(at, static_cast<std::size_t>(size)));
  at_ = at + (size > 0 ? size : 0);
}

std::optional<NullableBytes> HeaderRange::find(std::string_view key) const {
  std::optional<NullableBytes> found;
  for (const Header& header : *this) {
    if (header.key == key) found = header.value;
  }
  return found;
}

}  // namespace klamm
