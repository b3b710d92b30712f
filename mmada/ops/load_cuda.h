// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace mmada {

/// What became of the CUDA half of the library, libmmada_cuda.so, when this one was loaded.
struct CudaLibrary {
  bool loaded = false;
  std::string reason;  ///< why it was not
};
const CudaLibrary& cuda_library();

}  // namespace mmada
