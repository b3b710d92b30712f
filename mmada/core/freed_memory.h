// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace mmada {

/// Blocks from so many bytes on always come fresh from the system and go back to it when they are freed
/// (glibc's largest M_MMAP_THRESHOLD); smaller ones that are freed stay with the process for the next ones.
inline constexpr int64_t kFreshBlockBytes = int64_t{32} << 20;

/// Gives the memory of smaller blocks that were freed back to the system: it would lie idle beside a fresh
/// block that is about to come. About 10 ms for 100 MiB; does nothing where the C library is not glibc.
void give_back_freed_memory();

}  // namespace mmada
