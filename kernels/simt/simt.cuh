// SPDX-License-Identifier: MIT
#pragma once

/// What a .cu file of this project includes instead of CUDA's own headers: under nvcc a launcher and about
/// ten PTX wrappers (device.cuh); under a C++ compiler the same names on the emulator (emulated.cuh), so that
/// the very same file runs on a CPU, thread by thread (kernels/simt/emulator.h).
///
/// Rules for such a file: launch with simt::launch; dynamic shared memory only, through
/// simt::shared_memory() (it is poisoned with NaN and its end is watched); no inline PTX of its own.
#if defined(__CUDACC__)
#include "kernels/simt/device.cuh"
#else
#include "kernels/simt/emulated.cuh"
#endif
