#include "tools/record_formatter.h"

#include <fmt/format.h>

#include <bit>

#include "tools/output.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kPackage = "org.apache.kafka.tools.consumer.";

void append_number(std::string& out, std::int64_t number) {
  fmt::format_to(std::back_inserter(out), FMT_STRING("{}"), number);
}

// Java's text of a floating point number: always with a fraction.
template <typename Float>
void append_float(std::string& out, Float number) {
  std::string text = fmt::format("{}", number);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  out += text;
}

}  // namespace

Result<RecordFormatter::Decoder> RecordFormatter::decoder_of(const std::string& class_name) {
  struct Row {
    std::string_view name;
    Decoder decoder;
  };
  static constexpr Row kRows[] = {
      {"StringDeserializer", Decoder::text},    {"ByteArrayDeserializer", Decoder::text},
      {"ShortDeserializer", Decoder::int16},    {"IntegerDeserializer", Decoder::int32},
      {"LongDeserializer", Decoder::int64},     {"FloatDeserializer", Decoder::float32},
      {"DoubleDeserializer", Decoder::float64}, {"BooleanDeserializer", Decoder::boolean},
      {"UUIDDeserializer", Decoder::uuid},
  };
  constexpr std::string_view kSerialization = "org.apache.kafka.common.serialization.";
  std::string_view name = class_name;
  if (name.starts_with(kSerialization)) name.remove_prefix(kSerialization.size());
  for (const Row& row : kRows) {
    if (row.name == name) return row.decoder;
  }
  return fail(Errc::invalid_argument, "deserializer " + class_name +
                                          ": klamm has String, Short, Integer, Long, Float, Double, Boolean and UUID");
}

Result<RecordFormatter> RecordFormatter::create(std::string_view class_name, const Config& properties) {
  RecordFormatter formatter;
  if (class_name.starts_with(kPackage)) {
    const std::string_view name = class_name.substr(kPackage.size());
    formatter.nothing_ = name == "NoOpMessageFormatter";
    if (!formatter.nothing_ && name != "DefaultMessageFormatter" && name != "LoggingMessageFormatter") class_name = {};
  } else {
    class_name = {};
  }
  if (class_name.empty()) {
    return fail(Errc::invalid_argument,
                "klamm has the formatters DefaultMessageFormatter, LoggingMessageFormatter and NoOpMessageFormatter of "
                "org.apache.kafka.tools.consumer");
  }
  const auto flag = [&](std::string_view name, bool& into) {
    if (const auto text = properties.get(name)) into = is_true(*text);
  };
  const auto text = [&](std::string_view name, std::string& into) {
    if (const auto value = properties.get(name)) into = *value;
  };
  flag("print.timestamp", formatter.print_timestamp_);
  flag("print.partition", formatter.print_partition_);
  flag("print.offset", formatter.print_offset_);
  flag("print.epoch", formatter.print_epoch_);
  flag("print.headers", formatter.print_headers_);
  flag("print.key", formatter.print_key_);
  flag("print.value", formatter.print_value_);
  text("key.separator", formatter.key_separator_);
  text("line.separator", formatter.line_separator_);
  text("headers.separator", formatter.headers_separator_);
  text("null.literal", formatter.null_literal_);
  const std::pair<std::string_view, Decoder*> decoders[] = {
      {"key.deserializer", &formatter.key_decoder_},
      {"value.deserializer", &formatter.value_decoder_},
      {"headers.deserializer", &formatter.headers_decoder_},
      {"header.deserializer", &formatter.headers_decoder_},
  };
  for (const auto& [name, into] : decoders) {
    const std::optional<std::string> value = properties.get(name);
    if (!value || value->empty()) continue;
    Result<Decoder> decoder = decoder_of(*value);
    KLAMM_TRY(decoder);
    *into = *decoder;
  }
  return formatter;
}

Result<void> RecordFormatter::append(Decoder decoder, const NullableBytes& bytes, std::string& out) const {
  if (bytes.is_null()) {
    out += null_literal_;
    return {};
  }
  const auto sized = [&](std::size_t size) { return bytes.size() == size; };
  const std::byte* data = bytes.data();
  const char* name = "";
  switch (decoder) {
    case Decoder::bytes:
    case Decoder::text: out.append(bytes.text()); return {};
    case Decoder::int16:
      name = "ShortDeserializer is not 2";
      if (!sized(2)) break;
      append_number(out, load_big_endian<std::int16_t>(data));
      return {};
    case Decoder::int32:
      name = "IntegerDeserializer is not 4";
      if (!sized(4)) break;
      append_number(out, load_big_endian<std::int32_t>(data));
      return {};
    case Decoder::int64:
      name = "LongDeserializer is not 8";
      if (!sized(8)) break;
      append_number(out, load_big_endian<std::int64_t>(data));
      return {};
    case Decoder::float32:
      name = "FloatDeserializer is not 4";
      if (!sized(4)) break;
      append_float(out, std::bit_cast<float>(load_big_endian<std::uint32_t>(data)));
      return {};
    case Decoder::float64:
      name = "DoubleDeserializer is not 8";
      if (!sized(8)) break;
      append_float(out, std::bit_cast<double>(load_big_endian<std::uint64_t>(data)));
      return {};
    case Decoder::boolean:
      name = "BooleanDeserializer is not 1";
      if (!sized(1)) break;
      out += data[0] == std::byte{0} ? "false" : "true";
      return {};
    case Decoder::uuid: out.append(bytes.text()); return {};
  }
  return fail(Errc::invalid_argument, std::string("Size of data received by ") + name);
}

Result<void> RecordFormatter::append_headers(const RecordView& record, std::string& out) const {
  if (record.headers.empty()) {
    out += "NO_HEADERS";
    return {};
  }
  bool first = true;
  for (const Header& header : record.headers) {
    if (!first) out += headers_separator_;
    first = false;
    out.append(header.key).append(":");
    Result<void> value = append(headers_decoder_, header.value, out);
    KLAMM_TRY(value);
  }
  return {};
}

Result<void> RecordFormatter::format(const RecordView& record, std::string& out) const {
  if (nothing_) return {};
  bool first = true;
  const auto field = [&](bool wanted) {
    if (!wanted) return false;
    if (!first) out += key_separator_;
    first = false;
    return true;
  };
  if (field(print_timestamp_)) {
    if (record.timestamp == kNoTimestamp) {
      out += "NO_TIMESTAMP";
    } else {
      out += record.timestamp_type == TimestampType::log_append_time ? "LogAppendTime:" : "CreateTime:";
      append_number(out, record.timestamp);
    }
  }
  if (field(print_partition_)) {
    out += "Partition:";
    append_number(out, record.partition);
  }
  if (field(print_offset_)) {
    out += "Offset:";
    append_number(out, record.offset);
  }
  if (field(print_epoch_)) {
    out += "Epoch:";
    if (record.leader_epoch < 0) out += "NOT_PRESENT";
    if (record.leader_epoch >= 0) append_number(out, record.leader_epoch);
  }
  if (field(print_headers_)) {
    Result<void> headers = append_headers(record, out);
    KLAMM_TRY(headers);
  }
  if (field(print_key_)) {
    Result<void> key = append(key_decoder_, record.key, out);
    KLAMM_TRY(key);
  }
  if (field(print_value_)) {
    Result<void> value = append(value_decoder_, record.value, out);
    KLAMM_TRY(value);
  }
  if (!first) out += line_separator_;
  return {};
}

}  // namespace klamm::tools
