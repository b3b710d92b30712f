// SPDX-License-Identifier: MIT
// All there is of libmmada_parquet.so: the one file that sees Arrow.
#include <parquet/column_reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/schema.h>

#include <array>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/data/parquet_column.h"
#include "mmada/formats/input_file.h"

namespace mmada {
namespace {

class ArrowColumn final : public ParquetColumn {
 public:
  ArrowColumn(std::string path, std::string column) : path_(std::move(path)), column_(std::move(column)) {
    const auto file = open();
    const auto* schema = file->metadata()->schema();
    index_ = schema->ColumnIndex(column_);
    MMADA_CHECK(index_ >= 0, path_, ": found no column ", quote(column_), ", expected one of strings");
    const auto* descriptor = schema->Column(index_);
    MMADA_CHECK(descriptor->physical_type() == parquet::Type::BYTE_ARRAY &&
                    descriptor->max_repetition_level() == 0 && descriptor->max_definition_level() <= 1,
                path_, ": column ", quote(column_), ": found ",
                parquet::TypeToString(descriptor->physical_type()), ", expected strings, one a row");
    for (int i = 0; i < file->metadata()->num_row_groups(); ++i)
      rows_.push_back(file->metadata()->RowGroup(i)->num_rows());
  }

  std::vector<int64_t> row_groups() const override { return rows_; }

  std::vector<std::string> read(int64_t row_group) const override try {
    // A reader for each call: Arrow's own may not be shared by threads.
    const auto file = open();
    const auto column = file->RowGroup(static_cast<int>(row_group))->Column(index_);
    auto& reader = static_cast<parquet::ByteArrayReader&>(*column);
    std::array<parquet::ByteArray, 1024> values;
    std::array<int16_t, 1024> levels;
    std::vector<std::string> strings;
    while (reader.HasNext()) {
      int64_t count = 0;
      const int64_t read = reader.ReadBatch(values.size(), levels.data(), nullptr, values.data(), &count);
      MMADA_CHECK(count == read && read > 0, path_, ": row group ", row_group, ", column ", quote(column_),
                  ": found a row without a value, expected a string in every row");
      for (int64_t i = 0; i < count; ++i)
        strings.emplace_back(reinterpret_cast<const char*>(values[i].ptr), values[i].len);
    }
    MMADA_CHECK(static_cast<int64_t>(strings.size()) == rows_[row_group], path_, ": row group ", row_group,
                ": found ", strings.size(), " rows, expected ", rows_[row_group]);
    return strings;
  } catch (const parquet::ParquetException& error) {
    throw Error(cat(path_, ": row group ", row_group, ": ", printable(error.what(), 300)));
  }

 private:
  std::unique_ptr<parquet::ParquetFileReader> open() const {
    const InputFile regular(path_);  // refuses folders and pipes, and has our messages
    try {
      return parquet::ParquetFileReader::OpenFile(path_, false);
    } catch (const parquet::ParquetException& error) {
      throw Error(cat(path_, ": found ", printable(error.what(), 300), ", expected a Parquet file"));
    }
  }

  std::string path_, column_;
  int index_ = -1;
  std::vector<int64_t> rows_;
};

}  // namespace
}  // namespace mmada

extern "C" mmada::ParquetColumn* mmada_open_parquet_column(const std::string& path,
                                                           const std::string& column) {
  return new mmada::ArrowColumn(path, column);
}
