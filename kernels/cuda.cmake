# SPDX-License-Identifier: MIT
# libmmada_cuda.so: the CUDA kernels and their torch registrations. Nothing links it: libmmada.so loads it from its own folder
# where there is a CUDA driver (mmada/ops/load_cuda.cpp). Compiles without a GPU.
if(NOT CMAKE_CUDA_COMPILER AND EXISTS /usr/local/cuda/bin/nvcc)
  set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)  # the toolkit's usual place is on no PATH by default
endif()
# A100, H100/H200 and B100/B200; PTX for what comes after.
set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;100-real;100-virtual" CACHE STRING "GPUs the CUDA kernels are compiled for")
enable_language(CUDA)
find_package(LibtorchCuda REQUIRED)

add_library(mmada_cuda SHARED
  adamw_8bit/adamw_8bit.cu
  attention/attention.cu
  attention/attention_backward.cu
  group_norm_silu/group_norm_silu.cu
  lfq/lfq.cu
  remask/remask.cu
  rms_norm/rms_norm.cu
  rope/rope.cu
  select/select.cu
  swiglu/swiglu.cu
  ${PROJECT_SOURCE_DIR}/mmada/distributed/cuda/nccl.cpp
  ${PROJECT_SOURCE_DIR}/mmada/ops/cuda/adamw_8bit.cpp
  ${PROJECT_SOURCE_DIR}/mmada/ops/cuda/attention.cpp
  ${PROJECT_SOURCE_DIR}/mmada/ops/cuda/group_norm_silu.cpp
  ${PROJECT_SOURCE_DIR}/mmada/ops/cuda/lfq.cpp
  ${PROJECT_SOURCE_DIR}/mmada/ops/cuda/remask.cpp
  ${PROJECT_SOURCE_DIR}/mmada/ops/cuda/rms_norm.cpp
  ${PROJECT_SOURCE_DIR}/mmada/ops/cuda/rope.cpp
  ${PROJECT_SOURCE_DIR}/mmada/ops/cuda/select.cpp
  ${PROJECT_SOURCE_DIR}/mmada/ops/cuda/swiglu.cpp
)
set_target_properties(mmada_cuda PROPERTIES
  CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Shared
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/mmada  # beside libmmada.so
  BUILD_RPATH "${MMADA_CUDA_RPATH}" INSTALL_RPATH "$ORIGIN;${MMADA_CUDA_RPATH}" INSTALL_RPATH_USE_LINK_PATH ON)
# c10d's header of the NCCL process group wants NCCL's, of the version that libtorch was built with.
set_source_files_properties(${PROJECT_SOURCE_DIR}/mmada/distributed/cuda/nccl.cpp TARGET_DIRECTORY mmada_cuda PROPERTIES
  INCLUDE_DIRECTORIES ${LibtorchCuda_NCCL} COMPILE_DEFINITIONS "USE_DISTRIBUTED;USE_C10D_NCCL")
target_compile_options(mmada_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:
  -Werror=all-warnings -Xcompiler=-Wall,-Wextra,-Werror -Xptxas=-warn-spills,-warn-lmem-usage,-Werror>)
target_link_libraries(mmada_cuda PRIVATE mmada mmada_kernels torch::cuda mmada_options)
# libtorch_cuda has to come along though no symbol of it is used: loading it is what teaches ATen about GPUs.
target_link_options(mmada_cuda PRIVATE LINKER:--no-as-needed)
install(TARGETS mmada_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
