// Arrays of generated structs; included by generated sources only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/wire/checker.h"
#include "protocol/wire/reader.h"
#include "protocol/wire/size.h"
#include "protocol/wire/writer.h"

namespace klamm::wire {

template <typename Struct>
void read_structs(Reader& reader, std::vector<Struct>& into, std::size_t count, std::int16_t version) {
  into.clear();
  std::size_t done = 0;
  while (done < count && reader.ok()) {
    if (done == into.size()) Struct::resize(into, done + reader.reservable(count - done, sizeof(Struct)));
    into[done++].decode(reader, version);
  }
  if (done < into.size()) Struct::resize(into, done);
}
template <typename Struct>
void read_structs(Reader& reader, std::optional<std::vector<Struct>>& into, std::optional<std::size_t> count,
                  std::int16_t version) {
  into.reset();
  if (count) read_structs(reader, into.emplace(), *count, version);
}

template <typename Struct>
void write_structs(Writer& writer, const std::vector<Struct>& structs, std::int16_t version, bool flexible) {
  writer.write_count(structs.size(), flexible);
  for (const Struct& element : structs) element.encode(writer, version);
}
template <typename Struct>
void write_structs(Writer& writer, const std::optional<std::vector<Struct>>& structs, std::int16_t version,
                   bool flexible) {
  if (structs) {
    write_structs(writer, *structs, version, flexible);
  } else {
    writer.write_null(flexible);
  }
}

template <typename Struct>
std::size_t size_of_structs(const std::vector<Struct>& structs, std::int16_t version, bool flexible) {
  std::size_t bytes = size_of_length(structs.size(), flexible);
  for (const Struct& element : structs) bytes += element.encoded_size(version);
  return bytes;
}
template <typename Struct>
std::size_t size_of_structs(const std::optional<std::vector<Struct>>& structs, std::int16_t version, bool flexible) {
  return structs ? size_of_structs(*structs, version, flexible) : size_of_null(flexible);
}

template <typename Struct>
std::size_t records_size_of_structs(const std::vector<Struct>& structs, std::int16_t version) {
  std::size_t bytes = 0;
  for (const Struct& element : structs) bytes += element.records_size(version);
  return bytes;
}

template <typename Struct>
void check_structs(Checker& checker, const std::vector<Struct>& structs, std::int16_t version) {
  for (const Struct& element : structs) element.check(checker, version);
}
template <typename Struct>
void check_structs(Checker& checker, const std::optional<std::vector<Struct>>& structs, std::int16_t version) {
  if (structs) check_structs(checker, *structs, version);
}

}  // namespace klamm::wire
