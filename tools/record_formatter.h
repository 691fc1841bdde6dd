// Records as text: Apache Kafka's DefaultMessageFormatter, by its properties. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "klamm/config.h"
#include "klamm/record.h"

namespace klamm::tools {

class RecordFormatter {
 public:
  // `class_name` as for --formatter. Fails with the sentence to print for an unknown class, property value or
  // deserializer.
  static Result<RecordFormatter> create(std::string_view class_name, const Config& properties);

  // Appends the record's text. Fails if a deserializer does not take the bytes; then `out` holds a part of it.
  Result<void> format(const RecordView& record, std::string& out) const;

 private:
  // What bytes mean, by the deserializer's name.
  enum class Decoder { bytes, text, int16, int32, int64, float32, float64, boolean, uuid };
  static Result<Decoder> decoder_of(const std::string& class_name);
  Result<void> append(Decoder decoder, const NullableBytes& bytes, std::string& out) const;
  Result<void> append_headers(const RecordView& record, std::string& out) const;

  bool nothing_ = false;  // NoOpMessageFormatter
  bool print_timestamp_ = false;
  bool print_partition_ = false;
  bool print_offset_ = false;
  bool print_epoch_ = false;
  bool print_headers_ = false;
  bool print_key_ = false;
  bool print_value_ = true;
  std::string key_separator_ = "\t";
  std::string line_separator_ = "\n";
  std::string headers_separator_ = ",";
  std::string null_literal_ = "null";
  Decoder key_decoder_ = Decoder::bytes;
  Decoder value_decoder_ = Decoder::bytes;
  Decoder headers_decoder_ = Decoder::bytes;
};

}  // namespace klamm::tools
