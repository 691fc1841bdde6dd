// What follows from a message's table: in which versions each struct is used, its order, its smallest size.
#include <functional>

#include "protocol/schema/compiler/parse.h"

namespace klamm::schema {

const Struct& Message::find(const std::string& struct_name) const {
  for (const Struct& candidate : structs) {
    if (candidate.name == struct_name) return candidate;
  }
  give_up(name, "no struct " + struct_name);
}

namespace {

Struct& find_mutable(Message& message, const std::string& name) { return const_cast<Struct&>(message.find(name)); }

// Fields that exist in no valid version (any more).
void drop_dead_fields(Message& message, Struct& subject) {
  std::erase_if(subject.fields, [&](const Field& field) { return field.versions.cut(message.valid).empty(); });
}

// Structs after those that they use. A struct inside itself would make decoding recurse as deep as a sender likes.
void put_in_order(Message& message) {
  std::vector<Struct> ordered;
  std::set<std::string> open;
  std::set<std::string> done;
  const std::function<void(const Struct&)> visit = [&](const Struct& subject) {
    if (!open.insert(subject.name).second) give_up(message.name, subject.name + " contains itself");
    for (const Field& field : subject.fields) {
      if (field.kind == Kind::structure && done.count(field.struct_name) == 0) visit(message.find(field.struct_name));
    }
    open.erase(subject.name);
    if (subject.name != message.name && done.insert(subject.name).second) ordered.push_back(subject);
  };
  visit(message.root);
  message.structs = ordered;
}

void spread_use(Message& message, Struct& subject, Range used) {
  subject.used = subject.used.hull(used);
  for (const Field& field : subject.fields) {
    const Range inside = used.cut(field.versions);
    if (field.kind == Kind::structure && !inside.empty()) {
      spread_use(message, find_mutable(message, field.struct_name), inside);
    }
  }
}

int least_bytes_of(const Message& message, const Field& field, bool flexible) {
  const int length = flexible ? 1 : 4;
  if (field.is_array) return length;
  switch (field.kind) {
    case Kind::boolean:
    case Kind::int8: return 1;
    case Kind::int16:
    case Kind::uint16: return 2;
    case Kind::int32:
    case Kind::uint32: return 4;
    case Kind::int64:
    case Kind::float64: return 8;
    case Kind::uuid: return 16;
    case Kind::string: return flexible ? 1 : 2;
    case Kind::bytes:
    case Kind::records: return length;
    case Kind::structure: return field.can_be_null() ? 1 : message.find(field.struct_name).least_bytes;
  }
  return 0;
}

// The smallest over all versions in which the struct occurs.
int least_bytes_of(const Message& message, const Struct& subject) {
  int least = kNoLimit;
  for (int version = subject.used.low; version <= subject.used.high; ++version) {
    const Range only{version, version};
    const bool flexible = message.flexible.contains(only);
    int bytes = flexible ? 1 : 0;
    for (const Field& field : subject.fields) {
      if (field.versions.contains(only) && !field.tagged.contains(only))
        bytes += least_bytes_of(message, field, flexible);
    }
    least = std::min(least, bytes);
  }
  return least;
}

bool field_needs_check(const Message& message, const Struct& subject, const Field& field) {
  if (field.kind == Kind::string) return true;
  if (!field.ignorable && !field.versions.contains(subject.used)) return true;
  const bool holds_null = field.can_be_null() || (field.kind == Kind::records && !field.is_array);
  if (holds_null && !field.nullable.contains(field.versions.cut(subject.used))) return true;
  return field.kind == Kind::structure && message.find(field.struct_name).needs_check;
}

void derive(const Message& message, Struct& subject) {
  subject.least_bytes = least_bytes_of(message, subject);
  subject.needs_check = !message.flexible.empty();  // for its unknown tags
  for (const Field& field : subject.fields) {
    subject.needs_check = subject.needs_check || field_needs_check(message, subject, field);
    subject.has_records = subject.has_records || field.kind == Kind::records ||
                          (field.kind == Kind::structure && message.find(field.struct_name).has_records);
    if (field.is_array && field.kind == Kind::structure && message.find(field.struct_name).least_bytes == 0) {
      give_up(message.name, field.name + ": elements that may take no bytes");
    }
  }
}

}  // namespace

void analyze(Message& message) {
  drop_dead_fields(message, message.root);
  for (Struct& subject : message.structs) drop_dead_fields(message, subject);
  put_in_order(message);
  spread_use(message, message.root, message.valid);
  for (Struct& subject : message.structs) derive(message, subject);
  derive(message, message.root);
}

}  // namespace klamm::schema
