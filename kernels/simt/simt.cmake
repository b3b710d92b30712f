# SPDX-License-Identifier: MIT
# The emulator that runs .cu files on a CPU (emulator.h), for tests. Needs CUDA's headers, not its compiler.
find_path(MMADA_CUDA_HEADERS cuda_bf16.h
  HINTS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES} ${MMADA_TORCH_DIR}/../nvidia/cu13/include /usr/local/cuda/include)
if(NOT MMADA_CUDA_HEADERS)
  message(STATUS "No cuda_bf16.h (third_party/setup.sh tests brings it): the CUDA kernels are not emulated")
  return()
endif()

# Without sanitizers whatever the rest has: what the emulator does is no memory traffic of a CUDA thread. For the same
# reason its loops must not turn into calls of memset, which ThreadSanitizer watches.
add_library(mmada_simt OBJECT
  ${PROJECT_SOURCE_DIR}/kernels/simt/emulator.cpp
  ${PROJECT_SOURCE_DIR}/kernels/simt/fiber.cpp
  ${PROJECT_SOURCE_DIR}/kernels/simt/warp_matrix.cpp
)
target_compile_features(mmada_simt PUBLIC cxx_std_20)
target_include_directories(mmada_simt PUBLIC ${PROJECT_SOURCE_DIR})
target_include_directories(mmada_simt SYSTEM PUBLIC ${MMADA_CUDA_HEADERS})
target_compile_options(mmada_simt PRIVATE -O2 -Wall -Wextra -Werror $<$<CXX_COMPILER_ID:GNU>:-fno-tree-loop-distribute-patterns>)

find_path(MMADA_BOOST_CONTEXT_HEADERS boost/context/detail/fcontext.hpp)
find_library(MMADA_BOOST_CONTEXT boost_context)
if(MMADA_BOOST_CONTEXT_HEADERS AND MMADA_BOOST_CONTEXT)
  target_compile_definitions(mmada_simt PRIVATE MMADA_SIMT_BOOST)
  target_include_directories(mmada_simt SYSTEM PRIVATE ${MMADA_BOOST_CONTEXT_HEADERS})
  target_link_libraries(mmada_simt INTERFACE ${MMADA_BOOST_CONTEXT})
endif()
