# SPDX-License-Identifier: MIT
# Imported targets torch::cpu, libtorch_cpu and libc10 out of the PyPI wheel and nothing of CUDA, and torch::openmp, the
# OpenMP runtime that they use: code that calls at::parallel_for has to be compiled with -fopenmp and linked to this one.
# (at::parallel_for is a template: without OpenMP where it is compiled it runs on the calling thread. A second OpenMP runtime
# in the process would have threads of its own.)
#
# find_package(Torch) would link libtorch_cuda into every user and load 470 MB at start (ARCHITECTURE.md, idea 5 of
# CONTRIBUTING.md). Looks in MMADA_TORCH_DIR, then asks the Python on PATH.
if(NOT MMADA_TORCH_DIR)
  find_program(_mmada_python NAMES python3 python)
  execute_process(
    COMMAND ${_mmada_python} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE _mmada_torch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(MMADA_TORCH_DIR "${_mmada_torch}" CACHE PATH "The torch package folder of a Python environment" FORCE)
endif()
include(FindPackageHandleStandardArgs)
find_path(LibtorchCpu_INCLUDE_DIR ATen/ATen.h HINTS ${MMADA_TORCH_DIR}/include NO_DEFAULT_PATH)
find_library(LibtorchCpu_LIBRARY torch_cpu HINTS ${MMADA_TORCH_DIR}/lib NO_DEFAULT_PATH)
find_library(LibtorchCpu_C10 c10 HINTS ${MMADA_TORCH_DIR}/lib NO_DEFAULT_PATH)
file(GLOB _mmada_openmp "${MMADA_TORCH_DIR}/lib/libgomp*.so*")
list(POP_FRONT _mmada_openmp LibtorchCpu_OPENMP)
find_package_handle_standard_args(LibtorchCpu
  REQUIRED_VARS LibtorchCpu_LIBRARY LibtorchCpu_C10 LibtorchCpu_OPENMP LibtorchCpu_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "Set MMADA_TORCH_DIR to the torch folder of a Python environment (third_party/setup.sh makes one).")
if(LibtorchCpu_FOUND AND NOT TARGET torch::cpu)
  add_library(torch::c10 SHARED IMPORTED)
  set_target_properties(torch::c10 PROPERTIES IMPORTED_LOCATION ${LibtorchCpu_C10})
  add_library(torch::cpu SHARED IMPORTED)
  set_target_properties(torch::cpu PROPERTIES
    IMPORTED_LOCATION ${LibtorchCpu_LIBRARY}
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${LibtorchCpu_INCLUDE_DIR};${LibtorchCpu_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_INCLUDE_DIRECTORIES "${LibtorchCpu_INCLUDE_DIR};${LibtorchCpu_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_LINK_LIBRARIES torch::c10)
  add_library(torch::openmp SHARED IMPORTED)
  set_target_properties(torch::openmp PROPERTIES IMPORTED_LOCATION ${LibtorchCpu_OPENMP})
endif()
