#include "protocol/wire/writer.h"

#include <bit>
#include <limits>

#include "protocol/wire/size.h"

namespace klamm::wire {

std::size_t size_of(const std::vector<std::string>& texts, bool flexible) noexcept {
  std::size_t bytes = size_of_length(texts.size(), flexible);
  for (const std::string& text : texts) bytes += size_of(std::string_view(text), flexible);
  return bytes;
}

std::size_t size_of(const std::optional<std::vector<std::string>>& texts, bool flexible) noexcept {
  return texts ? size_of(*texts, flexible) : size_of_null(flexible);
}

std::size_t size_of(const UnknownTags& tags) noexcept {
  std::size_t bytes = 0;
  for (const UnknownTag& field : tags) bytes += size_of_tagged(field.tag, field.value.size());
  return bytes;
}

void Writer::cut() {
  if (at_ != piece_) pieces_.emplace_back(Slice(buffer_, piece_, static_cast<std::size_t>(at_ - piece_)));
  piece_ = at_;
}

io::Pieces Writer::take_pieces() {
  KLAMM_CHECK(at_ == end_, "fewer bytes written than were announced");
  cut();
  return std::move(pieces_);
}

Slice Writer::take_slice() {
  KLAMM_CHECK(at_ == end_, "fewer bytes written than were announced");
  KLAMM_CHECK(pieces_.empty(), "records were spliced");
  return Slice(std::move(buffer_), piece_, static_cast<std::size_t>(at_ - piece_));
}

void Writer::write_float64(double value) { write_fixed(std::bit_cast<std::uint64_t>(value)); }

void Writer::write_uvarint(std::uint64_t value) {
  while (value >= 0x80) {
    *room(1) = static_cast<std::byte>(value | 0x80);
    value >>= 7;
  }
  *room(1) = static_cast<std::byte>(value);
}

void Writer::write_raw(Bytes bytes) {
  if (!bytes.empty()) std::memcpy(room(bytes.size()), bytes.data(), bytes.size());
}

void Writer::write_string(std::string_view text, bool flexible) {
  KLAMM_CHECK(text.size() <= static_cast<std::size_t>(std::numeric_limits<std::int16_t>::max()), "a string too long");
  if (flexible) {
    write_uvarint(text.size() + 1);
  } else {
    write_int16(static_cast<std::int16_t>(text.size()));
  }
  write_raw(as_bytes(text));
}

void Writer::write_string(const std::optional<std::string>& text, bool flexible) {
  if (text) {
    write_string(std::string_view(*text), flexible);
  } else if (flexible) {
    write_uvarint(0);
  } else {
    write_int16(-1);
  }
}

void Writer::write_count(std::size_t count, bool flexible) {
  KLAMM_CHECK(count <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()), "a length over 2^31");
  if (flexible) {
    write_uvarint(count + 1);
  } else {
    write_int32(static_cast<std::int32_t>(count));
  }
}

void Writer::write_null(bool flexible) {
  if (flexible) {
    write_uvarint(0);
  } else {
    write_int32(-1);
  }
}

void Writer::write_bytes(const Slice& bytes, bool flexible) {
  write_count(bytes.size(), flexible);
  write_raw(bytes);
}

void Writer::write_bytes(const std::optional<Slice>& bytes, bool flexible) {
  if (bytes) {
    write_bytes(*bytes, flexible);
  } else {
    write_null(flexible);
  }
}

void Writer::write_records(const Records& records, bool flexible) {
  if (records.is_null()) {
    write_null(flexible);
    return;
  }
  const auto size = static_cast<std::size_t>(records.size());
  write_count(size, flexible);
  if (size == 0) return;
  if (mode_ == RecordsMode::copy) {
    records.copy_to(room(size));
  } else {
    cut();
    records.append_to(pieces_);
  }
}

template <typename Int>
void Writer::write_ints(const std::vector<Int>& values, bool flexible) {
  write_count(values.size(), flexible);
  std::byte* to = room(values.size() * sizeof(Int));
  for (const Int value : values) {
    store_big_endian(to, value);
    to += sizeof(Int);
  }
}

void Writer::write_array(const std::vector<std::int8_t>& values, bool flexible) { write_ints(values, flexible); }
void Writer::write_array(const std::vector<std::int16_t>& values, bool flexible) { write_ints(values, flexible); }
void Writer::write_array(const std::vector<std::int32_t>& values, bool flexible) { write_ints(values, flexible); }
void Writer::write_array(const std::vector<std::int64_t>& values, bool flexible) { write_ints(values, flexible); }

void Writer::write_array(const std::vector<Uuid>& values, bool flexible) {
  write_count(values.size(), flexible);
  for (const Uuid& value : values) write_uuid(value);
}

void Writer::write_array(const std::vector<std::string>& values, bool flexible) {
  write_count(values.size(), flexible);
  for (const std::string& value : values) write_string(value, flexible);
}

std::size_t Writer::write_unknown_tags(const UnknownTags& tags, std::size_t from, std::uint32_t limit) {
  for (; from < tags.size() && tags[from].tag < limit; ++from) {
    write_tag(tags[from].tag, tags[from].value.size());
    write_raw(tags[from].value);
  }
  return from;
}

}  // namespace klamm::wire
