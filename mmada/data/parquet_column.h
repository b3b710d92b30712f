// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mmada {

/// One column of strings of a Parquet file, read by row group.
class ParquetColumn {
 public:
  virtual ~ParquetColumn() = default;
  /// Rows of every row group.
  virtual std::vector<int64_t> row_groups() const = 0;
  /// The strings of a row group; a row without a value is an error. May be called by several threads.
  virtual std::vector<std::string> read(int64_t row_group) const = 0;
};

/// Opens a file; loads libmmada_parquet.so, and Arrow with it, at the first call. A library built without
/// Parquet says so. Errors name the file.
std::unique_ptr<ParquetColumn> open_parquet(const std::string& path, const std::string& column);

}  // namespace mmada
