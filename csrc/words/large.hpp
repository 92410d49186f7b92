// Memory for large arrays, in large pages where the system has them: a page fault for every 4 KB of what a
// corpus yields took as long as its sort.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

#include "core/workspace.hpp"

namespace kxfast::words {

inline void advise_large_pages(void* begin, size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kPage = uintptr_t{1} << 21;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + kPage - 1) & ~(kPage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(begin) + bytes) & ~(kPage - 1);
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);  // a wish: no error
#else
  static_cast<void>(begin), static_cast<void>(bytes);
#endif
}

template <class T>
Buffer<T> large_buffer(size_t size) {
  Buffer<T> buffer(size);
  advise_large_pages(buffer.data(), size * sizeof(T));
  return buffer;
}

}  // namespace kxfast::words
