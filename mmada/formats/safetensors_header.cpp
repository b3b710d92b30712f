// SPDX-License-Identifier: MIT
#include <algorithm>
#include <nlohmann/json.hpp>

#include "mmada/core/check.h"
#include "mmada/core/checked.h"
#include "mmada/core/quote.h"
#include "mmada/formats/safetensors.h"

namespace mmada {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";

/// Takes the header event by event: nothing is stored but entries, so memory stays a small multiple of the
/// text.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(const std::string& source, const Limits& limits) : source_(source), limits_(limits) {}

  std::vector<TensorEntry> entries;
  std::map<std::string, std::string> metadata;

  bool null() override { unexpected("null"); }
  bool boolean(bool value) override { unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { unexpected(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { unexpected(text); }
  bool binary(binary_t&) override { unexpected("binary"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<uint64_t>(INT64_MAX)) unexpected(std::to_string(value));
      MMADA_CHECK(entry().shape.size() < limits_.safetensors_rank, where(), ": found more than ",
                  limits_.safetensors_rank, " dimensions");
      entry().shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ != Place::kOffsets || offset_count_ == 2) unexpected(std::to_string(value));
    (offset_count_++ == 0 ? entry().begin : entry().end) = value;
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      MMADA_CHECK(metadata.size() < limits_.safetensors_entries, source_, ": found more than ",
                  limits_.safetensors_entries, " metadata pairs");
      MMADA_CHECK(metadata.emplace(key_, value).second, source_, ": metadata key ", quote(key_),
                  " appears twice");
      return true;
    }
    if (place_ != Place::kTensor || field_ != Field::kDType) unexpected(quote(value, 60));
    const auto dtype = dtype_from_name(value);
    MMADA_CHECK(dtype, where(), ": found dtype ", quote(value, 60),
                ", expected BOOL, U8, I8, I16, I32, I64, F16, BF16, F32 or F64");
    entry().dtype = *dtype;
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kHeader;
    } else if (place_ == Place::kHeader && key_ == kMetadataKey) {
      MMADA_CHECK(!metadata_seen_, source_, ": key \"__metadata__\" appears twice");
      metadata_seen_ = true;
      place_ = Place::kMetadata;
    } else if (place_ == Place::kHeader) {
      MMADA_CHECK(entries.size() < limits_.safetensors_entries, source_, ": found more than ",
                  limits_.safetensors_entries, " tensors");
      entries.emplace_back().name = key_;
      seen_[0] = seen_[1] = seen_[2] = false;
      place_ = Place::kTensor;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(string_t& name) override {
    MMADA_CHECK(name.find('\0') == std::string::npos, source_, ": name ", quote(name), " holds a NUL");
    if (place_ != Place::kTensor) {
      key_ = std::move(name);
      return true;
    }
    constexpr std::string_view kFields[] = {"dtype", "shape", "data_offsets"};
    const auto* found = std::find(std::begin(kFields), std::end(kFields), name);
    MMADA_CHECK(found != std::end(kFields), where(), ": unknown field ", quote(name),
                ", expected dtype, shape and data_offsets");
    field_ = static_cast<Field>(found - std::begin(kFields));
    bool& seen = seen_[static_cast<int>(field_)];
    MMADA_CHECK(!seen, where(), ": field ", quote(name), " appears twice");
    seen = true;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor)
      MMADA_CHECK(seen_[0] && seen_[1] && seen_[2], where(), ": found no ",
                  !seen_[0]   ? "dtype"
                  : !seen_[1] ? "shape"
                              : "data_offsets");
    place_ = place_ == Place::kHeader ? Place::kEnd : Place::kHeader;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kTensor || field_ == Field::kDType) unexpected("a list");
    place_ = field_ == Field::kShape ? Place::kShape : Place::kOffsets;
    offset_count_ = 0;
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kOffsets)
      MMADA_CHECK(offset_count_ == 2, where(), ": found ", offset_count_, " data_offsets, expected 2");
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    throw Error(cat(source_, ": the header is not valid JSON (in UTF-8) at byte ", position));
  }

 private:
  enum class Place { kStart, kHeader, kMetadata, kTensor, kShape, kOffsets, kEnd };
  enum class Field { kDType, kShape, kOffsets };

  TensorEntry& entry() { return entries.back(); }

  std::string where() const {
    const bool inside = place_ == Place::kTensor || place_ == Place::kShape || place_ == Place::kOffsets;
    if (place_ == Place::kStart) return source_ + ": header";
    return source_ + (inside ? ": tensor " + quote(entries.back().name) : ": key " + quote(key_));
  }

  [[noreturn]] void unexpected(const std::string& found) const {
    const auto expected = [&]() -> std::string_view {
      if (place_ == Place::kMetadata) return "metadata strings";
      if (place_ == Place::kShape) return "dimensions from 0 to 2^63-1 as shape";
      if (place_ == Place::kOffsets) return "two byte offsets as data_offsets";
      if (place_ != Place::kTensor) return "an object";
      if (field_ == Field::kDType) return "a dtype name";
      return field_ == Field::kShape ? "a list of dimensions as shape" : "two byte offsets as data_offsets";
    };
    throw Error(cat(where(), ": found ", found, ", expected ", expected()));
  }

  const std::string& source_;
  const Limits& limits_;
  Place place_ = Place::kStart;
  Field field_ = Field::kDType;
  std::string key_;
  bool metadata_seen_ = false;
  bool seen_[3] = {};
  int offset_count_ = 0;
};

/// The lexer holds a string several times over while it reads it, so too long ones are refused beforehand.
void check_text(std::string_view json, const std::string& source, const Limits& limits) {
  MMADA_CHECK(json.size() <= limits.safetensors_header_bytes, source, ": found a header of ", json.size(),
              " bytes, expected at most ", limits.safetensors_header_bytes);
  MMADA_CHECK(!json.empty() && json.front() == '{', source, ": found a header that starts with ",
              quote(json.substr(0, 1)), ", expected \"{\"");
  // nlohmann's lexer takes a NUL for the end of its input: text behind it would go unseen
  const auto nul = json.find('\0');
  MMADA_CHECK(nul == std::string_view::npos, source, ": found a NUL at byte ", nul, " of the header");
  bool inside = false;
  uint64_t begin = 0;
  for (uint64_t i = 0; i < json.size(); ++i) {
    if (inside && json[i] == '\\') {
      ++i;
    } else if (json[i] == '"') {
      inside = !inside;
      begin = i;
    }
    MMADA_CHECK(!inside || i - begin <= limits.safetensors_string_bytes, source,
                ": found a string longer than ", limits.safetensors_string_bytes, " bytes in the header");
  }
}

void check_names(const std::vector<TensorEntry>& entries, const std::string& source) {
  std::vector<const std::string*> names;
  names.reserve(entries.size());
  for (const auto& entry : entries) names.push_back(&entry.name);
  std::sort(names.begin(), names.end(), [](const auto* a, const auto* b) { return *a < *b; });
  for (size_t i = 1; i < names.size(); ++i)
    MMADA_CHECK(*names[i - 1] != *names[i], source, ": tensor ", quote(*names[i]),
                " appears twice, expected every name once");
}

void check_offsets(const std::vector<TensorEntry>& entries, uint64_t data_bytes, const std::string& source) {
  uint64_t covered = 0;
  for (const auto& entry : entries) {
    const std::string where = source + ": tensor " + quote(entry.name);
    MMADA_CHECK(entry.begin <= entry.end, where, ": found data_offsets [", entry.begin, ", ", entry.end,
                "], expected them to ascend");
    MMADA_CHECK(entry.end <= data_bytes, where, ": found data_offsets [", entry.begin, ", ", entry.end,
                "], expected them within the file's ", data_bytes, " data bytes");
    MMADA_CHECK(entry.begin >= covered, where, ": its data overlap another tensor: found begin ", entry.begin,
                ", expected ", covered);
    MMADA_CHECK(entry.begin == covered, where, ": a hole precedes its data: found begin ", entry.begin,
                ", expected ", covered);
    const auto bytes = tensor_bytes(entry.shape, entry.dtype);
    MMADA_CHECK(bytes, where, ": its shape overflows, expected fewer than 2^63 bytes");
    MMADA_CHECK(entry.end - entry.begin == *bytes, where, ": found ", entry.end - entry.begin,
                " bytes of data, expected ", *bytes, " from its shape and dtype ", dtype_name(entry.dtype));
    covered = entry.end;
  }
  MMADA_CHECK(covered == data_bytes, source, ": found ", data_bytes, " data bytes, expected ", covered,
              " (the tensors' total)");
}

}  // namespace

std::optional<uint64_t> tensor_bytes(const std::vector<int64_t>& shape, DType dtype) {
  std::optional<uint64_t> bytes = dtype_size(dtype);
  uint64_t elements = 1;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    const auto product = checked_mul(elements, static_cast<uint64_t>(size));
    if (!product) return std::nullopt;
    elements = *product;
  }
  bytes = checked_mul(elements, *bytes);
  if (bytes && *bytes > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return bytes;
}

std::vector<TensorEntry> parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                                  const std::string& source,
                                                  std::map<std::string, std::string>* metadata,
                                                  const Limits& limits) {
  check_text(json, source, limits);
  HeaderReader reader(source, limits);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  check_names(reader.entries, source);
  std::sort(reader.entries.begin(), reader.entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_offsets(reader.entries, data_bytes, source);
  if (metadata != nullptr) *metadata = std::move(reader.metadata);
  return std::move(reader.entries);
}

}  // namespace mmada
