# SPDX-License-Identifier: MIT
# Imported target torch::cuda: libtorch_cuda and libc10_cuda out of the wheel that FindLibtorchCpu found, with the CUDA runtime.
# LibtorchCuda_NCCL holds the header of the NCCL that comes with the wheel.
# MMADA_CUDA_RPATH is where the wheel's own CUDA libraries lie, empty where the wheel uses the system's.
find_package(LibtorchCpu REQUIRED)
find_package(CUDAToolkit REQUIRED)
include(FindPackageHandleStandardArgs)
find_library(LibtorchCuda_LIBRARY torch_cuda HINTS ${MMADA_TORCH_DIR}/lib NO_DEFAULT_PATH)
find_library(LibtorchCuda_C10 c10_cuda HINTS ${MMADA_TORCH_DIR}/lib NO_DEFAULT_PATH)
find_path(LibtorchCuda_NCCL nccl.h HINTS ${MMADA_TORCH_DIR}/../nvidia/nccl/include NO_DEFAULT_PATH)
find_package_handle_standard_args(LibtorchCuda
  REQUIRED_VARS LibtorchCuda_LIBRARY LibtorchCuda_C10 LibtorchCuda_NCCL
  REASON_FAILURE_MESSAGE "The torch in MMADA_TORCH_DIR was built without CUDA.")
file(GLOB MMADA_CUDA_RPATH LIST_DIRECTORIES true "${MMADA_TORCH_DIR}/../nvidia/cu[0-9]*/lib")
if(LibtorchCuda_FOUND AND NOT TARGET torch::cuda)
  add_library(torch::c10_cuda SHARED IMPORTED)
  set_target_properties(torch::c10_cuda PROPERTIES IMPORTED_LOCATION ${LibtorchCuda_C10})
  add_library(torch::cuda SHARED IMPORTED)
  set_target_properties(torch::cuda PROPERTIES IMPORTED_LOCATION ${LibtorchCuda_LIBRARY}
    INTERFACE_LINK_LIBRARIES "torch::c10_cuda;torch::cpu;CUDA::cudart")
endif()
