#include "base/bytes.h"

#include <cstdlib>
#include <new>

namespace klamm {

Buffer::Ref Buffer::allocate(std::size_t capacity) {
  void* memory = std::malloc(sizeof(Buffer) + capacity);
  if (memory == nullptr) throw std::bad_alloc();
  return Ref(new (memory) Buffer(capacity));
}

void Buffer::destroy(Buffer* buffer) noexcept {
  buffer->~Buffer();
  std::free(buffer);
}

Slice Slice::copy(Bytes bytes) {
  if (bytes.empty()) return {};
  Buffer::Ref buffer = Buffer::allocate(bytes.size());
  std::memcpy(buffer->data(), bytes.data(), bytes.size());
  return {std::move(buffer), bytes.size()};
}

}  // namespace klamm
