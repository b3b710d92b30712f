// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "mmada/formats/image_file.h"

namespace mmada {

/// CRC-32C (Castagnoli) of the bytes.
uint32_t crc32c(std::string_view bytes);

/// Writes a TensorBoard event file: TFRecord framing around proto3 Event messages, scalars, PNG
/// images and texts only.
class TensorBoardWriter {
 public:
  /// Opens DIRECTORY/events.out.tfevents.TIME.HOST.PID; `first_step` tells readers that this process
  /// continues there, so that they drop what an earlier process wrote beyond it.
  TensorBoardWriter(const std::string& directory, int64_t first_step);

  void scalar(std::string_view tag, int64_t step, double value);
  void image(std::string_view tag, int64_t step, const Image& image);
  /// Shown as Markdown.
  void text(std::string_view tag, int64_t step, std::string_view text);
  void flush();
  const std::string& path() const { return path_; }

 private:
  void event(int64_t step, std::string_view field);
  void record(std::string_view data);

  std::string path_;
  std::ofstream file_;
};

}  // namespace mmada
