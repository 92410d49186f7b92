#include "core/workspace.hpp"

#include <malloc.h>
#include <sys/mman.h>

#include <atomic>

namespace kxfast {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kMostKept = 0;  // so that a use after the end is seen
#else
constexpr size_t kMostKept = size_t{128} << 20;
#endif
constexpr size_t kLeast = size_t{64} << 10;  // smaller blocks the allocator keeps itself
constexpr size_t kHuge = size_t{4} << 20, kPage = 4096;

std::atomic<void*> slots[32];
std::atomic<size_t> kept{0};

void put_back(void* block, size_t size) noexcept {
  for (auto& slot : slots) {
    void* empty = nullptr;
    if (slot.compare_exchange_strong(empty, block, std::memory_order_acq_rel)) return;
  }
  kept.fetch_sub(size, std::memory_order_relaxed);
  std::free(block);
}

}  // namespace

void* take_memory(size_t bytes) {
  bytes = (bytes + 63) & ~size_t{63};
  if (bytes >= kLeast && kept.load(std::memory_order_relaxed) >= bytes)
    for (auto& slot : slots) {
      void* block = slot.exchange(nullptr, std::memory_order_acq_rel);
      if (!block) continue;
      const size_t size = malloc_usable_size(block);
      if (size >= bytes && size <= 2 * bytes) {
        kept.fetch_sub(size, std::memory_order_relaxed);
        return block;
      }
      put_back(block, size);
    }
  void* block = std::aligned_alloc(64, bytes);
  if (!block) throw std::bad_alloc();
  if (bytes >= kHuge) {  // advice that may be refused
    const auto begin = (reinterpret_cast<uintptr_t>(block) + kPage - 1) & ~(kPage - 1);
    madvise(reinterpret_cast<void*>(begin), (bytes - kPage) & ~(kPage - 1), MADV_HUGEPAGE);
  }
  return block;
}

void give_memory(void* block) noexcept {
  if (!block) return;
  const size_t size = malloc_usable_size(block);
  if (size < kLeast || size > kMostKept) return std::free(block);
  if (kept.fetch_add(size, std::memory_order_relaxed) + size <= kMostKept) return put_back(block, size);
  kept.fetch_sub(size, std::memory_order_relaxed);
  std::free(block);
}

}  // namespace kxfast
