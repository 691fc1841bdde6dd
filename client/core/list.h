// A doubly linked list through hooks inside its elements: no allocation, removal from the middle in a few stores. The
// elements belong to somebody else and must leave the list before they are destroyed.
#pragma once

#include "base/check.h"

namespace klamm::client {

template <typename T>
struct ListHook {
  T* previous = nullptr;
  T* next = nullptr;
  bool listed = false;
};

template <typename T, ListHook<T> T::*hook>
class IntrusiveList {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  T* front() const noexcept { return first_; }
  static T* next(const T& element) noexcept { return (element.*hook).next; }
  static bool listed(const T& element) noexcept { return (element.*hook).listed; }

  void push_back(T& element) noexcept { insert_before(nullptr, element); }
  // Before `position`; at the end for null.
  void insert_before(T* position, T& element) noexcept {
    ListHook<T>& own = element.*hook;
    KLAMM_CHECK(!own.listed);
    own.listed = true;
    own.next = position;
    own.previous = position ? (position->*hook).previous : last_;
    (own.previous ? (own.previous->*hook).next : first_) = &element;
    (position ? (position->*hook).previous : last_) = &element;
  }
  // Nothing if it is not in the list.
  void remove(T& element) noexcept {
    ListHook<T>& own = element.*hook;
    if (!own.listed) return;
    (own.previous ? (own.previous->*hook).next : first_) = own.next;
    (own.next ? (own.next->*hook).previous : last_) = own.previous;
    own = {};
  }

 private:
  T* first_ = nullptr;
  T* last_ = nullptr;
};

}  // namespace klamm::client
