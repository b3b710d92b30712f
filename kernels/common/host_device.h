// SPDX-License-Identifier: MIT
#pragma once

/// Mathematics shared by CPU and CUDA kernels is written once, as inline functions for both.
#ifdef __CUDACC__
#define MMADA_HOST_DEVICE __host__ __device__
#else
#define MMADA_HOST_DEVICE
#endif

/// Puts a function, with everything inlined into it, through the compiler once per vector width; the loader
/// picks the widest the processor has. Off under sanitizers, whose runtime is not ready when the loader asks.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MMADA_SIMD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MMADA_SIMD_CLONES
#endif
