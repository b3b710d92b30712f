# SPDX-License-Identifier: MIT
# Imported target arrow::parquet: libparquet and libarrow out of the PyPI wheel `pyarrow`, headers included, where it lies beside
# torch. The wheel holds the libraries under their versioned names only.
include(FindPackageHandleStandardArgs)
set(_pyarrow ${MMADA_TORCH_DIR}/../pyarrow)
find_path(ArrowParquet_INCLUDE_DIR parquet/file_reader.h HINTS ${_pyarrow}/include NO_DEFAULT_PATH)
file(GLOB _arrow "${_pyarrow}/libarrow.so.[0-9]*")
file(GLOB _parquet "${_pyarrow}/libparquet.so.[0-9]*")
set(ArrowParquet_ARROW "${_arrow}")
set(ArrowParquet_LIBRARY "${_parquet}")
find_package_handle_standard_args(ArrowParquet REQUIRED_VARS ArrowParquet_LIBRARY ArrowParquet_ARROW ArrowParquet_INCLUDE_DIR)
if(ArrowParquet_FOUND AND NOT TARGET arrow::parquet)
  add_library(arrow::arrow SHARED IMPORTED)
  set_target_properties(arrow::arrow PROPERTIES IMPORTED_LOCATION ${ArrowParquet_ARROW})
  add_library(arrow::parquet SHARED IMPORTED)
  set_target_properties(arrow::parquet PROPERTIES IMPORTED_LOCATION ${ArrowParquet_LIBRARY}
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${ArrowParquet_INCLUDE_DIR} INTERFACE_INCLUDE_DIRECTORIES ${ArrowParquet_INCLUDE_DIR}
    INTERFACE_LINK_LIBRARIES arrow::arrow)
endif()
