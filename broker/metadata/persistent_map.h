// An immutable sorted map whose copies share structure: what the parts of a MetadataImage are made of. Copying a map
// is one reference count; with() makes a changed map and copies only the chunks that the changes fall into, and an
// array of one pointer for each chunk. Any thread may read; a map object itself belongs to its holder.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace klamm::metadata {

template <typename Key, typename Value, typename Less = std::less<>>
class PersistentMap {
 public:
  using Entry = std::pair<Key, Value>;
  // What with() applies: a value to set, or nothing to remove the key.
  using Changes = std::map<Key, std::optional<Value>, Less>;

 private:
  static constexpr std::size_t kMost = 64;   // entries of a chunk
  static constexpr std::size_t kLeast = 16;  // smaller chunks are joined with their predecessor where they fit
  using Chunk = std::vector<Entry>;          // sorted, never empty
  using ChunkRef = std::shared_ptr<const Chunk>;
  struct Top {
    std::vector<ChunkRef> chunks;
    std::size_t size = 0;
  };

 public:
  // Walks the entries in key order. Valid while the map that gave it lives unchanged.
  class Iterator {
   public:
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::forward_iterator_tag;
    using pointer = const Entry*;
    using reference = const Entry&;
    Iterator() = default;
    const Entry& operator*() const { return (*top_->chunks[chunk_])[index_]; }
    const Entry* operator->() const { return &**this; }
    Iterator& operator++() {
      if (++index_ == top_->chunks[chunk_]->size()) {
        ++chunk_;
        index_ = 0;
      }
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const Iterator& left, const Iterator& right) {
      return left.chunk_ == right.chunk_ && left.index_ == right.index_;
    }

   private:
    friend class PersistentMap;
    Iterator(const Top* top, std::size_t chunk, std::size_t index) : top_(top), chunk_(chunk), index_(index) {}
    const Top* top_ = nullptr;
    std::size_t chunk_ = 0;
    std::size_t index_ = 0;
  };

  std::size_t size() const { return top_ ? top_->size : 0; }
  bool empty() const { return size() == 0; }
  Iterator begin() const { return {top_.get(), 0, 0}; }
  Iterator end() const { return {top_.get(), top_ ? top_->chunks.size() : 0, 0}; }

  // Null if absent.
  template <typename K>
  const Value* find(const K& key) const {
    const Iterator at = lower_bound(key);
    if (at == end() || Less()(key, at->first)) return nullptr;
    return &at->second;
  }
  template <typename K>
  bool contains(const K& key) const {
    return find(key) != nullptr;
  }
  // The first entry whose key is not less than `key`.
  template <typename K>
  Iterator lower_bound(const K& key) const {
    if (!top_) return end();
    const auto& chunks = top_->chunks;
    const auto chunk = std::lower_bound(chunks.begin(), chunks.end(), key, [](const ChunkRef& ref, const K& wanted) {
      return Less()(ref->back().first, wanted);
    });
    if (chunk == chunks.end()) return end();
    const auto entry =
        std::lower_bound((*chunk)->begin(), (*chunk)->end(), key,
                         [](const Entry& candidate, const K& wanted) { return Less()(candidate.first, wanted); });
    return {top_.get(), static_cast<std::size_t>(chunk - chunks.begin()),
            static_cast<std::size_t>(entry - (*chunk)->begin())};
  }

  // This map with the changes made. No changes: the same structure.
  PersistentMap with(const Changes& changes) const {
    if (changes.empty()) return *this;
    auto top = std::make_shared<Top>();
    auto change = changes.begin();
    const std::size_t old_chunks = top_ ? top_->chunks.size() : 0;
    top->chunks.reserve(old_chunks + changes.size() / kMost + 1);
    for (std::size_t index = 0; index < old_chunks; ++index) {
      const ChunkRef& old = top_->chunks[index];
      // Changes up to the next chunk's first key fall into this one.
      const auto last =
          index + 1 < old_chunks ? changes.lower_bound(top_->chunks[index + 1]->front().first) : changes.end();
      if (change == last) {
        top->size += old->size();
        top->chunks.push_back(old);
        continue;
      }
      add(*top, merged(*old, change, last));
      change = last;
    }
    if (old_chunks == 0) add(*top, merged({}, change, changes.end()));
    PersistentMap result;
    if (top->size > 0) result.top_ = std::move(top);
    return result;
  }
  PersistentMap with(Key key, Value value) const {
    Changes changes;
    changes.emplace(std::move(key), std::move(value));
    return with(changes);
  }

  // True if both have the very same structure (a cheap sign that nothing changed).
  bool shares_all_with(const PersistentMap& other) const { return top_ == other.top_; }

  friend bool operator==(const PersistentMap& left, const PersistentMap& right) {
    return left.top_ == right.top_ ||
           (left.size() == right.size() && std::equal(left.begin(), left.end(), right.begin()));
  }

 private:
  using ChangeIterator = typename Changes::const_iterator;

  static Chunk merged(const Chunk& old, ChangeIterator change, ChangeIterator last) {
    Chunk result;
    result.reserve(old.size() + 8);
    auto entry = old.begin();
    while (entry != old.end() || change != last) {
      if (change == last || (entry != old.end() && Less()(entry->first, change->first))) {
        result.push_back(*entry++);
        continue;
      }
      if (entry != old.end() && !Less()(change->first, entry->first)) ++entry;
      if (change->second) result.emplace_back(change->first, *change->second);
      ++change;
    }
    return result;
  }
  static void add(Top& top, Chunk entries) {
    top.size += entries.size();
    if (entries.empty()) return;
    if (entries.size() < kLeast && !top.chunks.empty() && top.chunks.back()->size() + entries.size() <= kMost) {
      Chunk joined = *top.chunks.back();
      joined.insert(joined.end(), std::make_move_iterator(entries.begin()), std::make_move_iterator(entries.end()));
      top.chunks.back() = std::make_shared<const Chunk>(std::move(joined));
      return;
    }
    if (entries.size() <= kMost) {
      top.chunks.push_back(std::make_shared<const Chunk>(std::move(entries)));
      return;
    }
    const std::size_t pieces = (entries.size() + kMost / 2 - 1) / (kMost / 2);
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      const auto from = entries.begin() + static_cast<std::ptrdiff_t>(entries.size() * piece / pieces);
      const auto to = entries.begin() + static_cast<std::ptrdiff_t>(entries.size() * (piece + 1) / pieces);
      top.chunks.push_back(std::make_shared<const Chunk>(std::make_move_iterator(from), std::make_move_iterator(to)));
    }
  }

  std::shared_ptr<const Top> top_;
};

}  // namespace klamm::metadata
