// SPDX-License-Identifier: MIT
// The field numbers are those of tensorflow/core/util/event.proto, and of summary.proto, tensor.proto and
// tensor_shape.proto in tensorflow/core/framework.
#include "mmada/trainer/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <filesystem>

#include "mmada/core/check.h"

namespace mmada {
namespace {

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = crc_table();

/// TFRecord stores a CRC rotated and offset, so that the CRC of data that holds CRCs stays useful.
uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

template <class Integer>
std::string little_endian(Integer value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string key(uint32_t field, uint32_t wire_type) { return varint(field << 3 | wire_type); }
std::string varint_field(uint32_t field, int64_t value) {
  return key(field, 0) + varint(static_cast<uint64_t>(value));
}
std::string double_field(uint32_t field, double value) {
  return key(field, 1) + little_endian(std::bit_cast<uint64_t>(value));
}
std::string float_field(uint32_t field, float value) {
  return key(field, 5) + little_endian(std::bit_cast<uint32_t>(value));
}
std::string bytes_field(uint32_t field, std::string_view value) {
  return key(field, 2) + varint(value.size()) + std::string(value);
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

constexpr uint32_t kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5,
                   kEventSessionLog = 7;
constexpr uint32_t kSummaryValue = 1, kValueTag = 1, kValueSimple = 2, kValueImage = 4, kValueTensor = 8,
                   kValueMetadata = 9;
constexpr uint32_t kMetadataPlugin = 1, kPluginName = 1;
constexpr uint32_t kTensorType = 1, kTensorShape = 2, kTensorString = 8, kShapeDimension = 2,
                   kDimensionSize = 1;
constexpr int64_t kTypeString = 7;
constexpr uint32_t kImageHeight = 1, kImageWidth = 2, kImageColorspace = 3, kImageEncoded = 4;
constexpr uint32_t kSessionStatus = 1;
constexpr int64_t kSessionStart = 1;

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) crc = kCrcTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff] ^ crc >> 8;
  return ~crc;
}

TensorBoardWriter::TensorBoardWriter(const std::string& directory, int64_t first_step) {
  std::filesystem::create_directories(directory);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  path_ =
      cat(directory, "/events.out.tfevents.", std::chrono::duration_cast<std::chrono::seconds>(now).count(),
          ".", host_name(), ".", ::getpid());
  file_.open(path_, std::ios::binary | std::ios::app);
  MMADA_CHECK(file_.is_open(), path_, ": cannot be opened for writing");
  event(0, bytes_field(kEventFileVersion, "brain.Event:2"));
  event(first_step, bytes_field(kEventSessionLog, varint_field(kSessionStatus, kSessionStart)));
}

void TensorBoardWriter::scalar(std::string_view tag, int64_t step, double value) {
  const std::string entry =
      bytes_field(kValueTag, tag) + float_field(kValueSimple, static_cast<float>(value));
  event(step, bytes_field(kEventSummary, bytes_field(kSummaryValue, entry)));
}

void TensorBoardWriter::image(std::string_view tag, int64_t step, const Image& image) {
  const std::string picture =
      varint_field(kImageHeight, image.height) + varint_field(kImageWidth, image.width) +
      varint_field(kImageColorspace, image.channels) + bytes_field(kImageEncoded, encode_png(image));
  const std::string entry = bytes_field(kValueTag, tag) + bytes_field(kValueImage, picture);
  event(step, bytes_field(kEventSummary, bytes_field(kSummaryValue, entry)));
}

void TensorBoardWriter::text(std::string_view tag, int64_t step, std::string_view text) {
  const std::string plugin = bytes_field(kMetadataPlugin, bytes_field(kPluginName, "text"));
  const std::string tensor =
      varint_field(kTensorType, kTypeString) +
      bytes_field(kTensorShape, bytes_field(kShapeDimension, varint_field(kDimensionSize, 1))) +
      bytes_field(kTensorString, text);
  const std::string entry =
      bytes_field(kValueTag, tag) + bytes_field(kValueTensor, tensor) + bytes_field(kValueMetadata, plugin);
  event(step, bytes_field(kEventSummary, bytes_field(kSummaryValue, entry)));
}

void TensorBoardWriter::flush() {
  file_.flush();
  MMADA_CHECK(file_.good(), path_, ": writing failed");
}

void TensorBoardWriter::event(int64_t step, std::string_view field) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  record(double_field(kEventWallTime, now.count()) + varint_field(kEventStep, step) + std::string(field));
}

void TensorBoardWriter::record(std::string_view data) {
  const std::string length = little_endian(static_cast<uint64_t>(data.size()));
  file_ << length << little_endian(masked_crc(length)) << data << little_endian(masked_crc(data));
}

}  // namespace mmada
