#include "core/workspace.hpp"

#include <malloc.h>
#include <sys/mman.h>

#include <atomic>
#include <iterator>

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
std::atomic<size_t> kept{0}, oldest{0};

// Puts a block in the place of one that waits, each slot's in turn: what nobody has taken for long goes.
void replace(void* block) noexcept {
  void* old = slots[oldest.fetch_add(1, std::memory_order_relaxed) % std::size(slots)].exchange(
      block, std::memory_order_acq_rel);
  if (old) kept.fetch_sub(malloc_usable_size(old), std::memory_order_relaxed);
  std::free(old);
}

// Counts a block as kept, if there is room, or others can make room.
bool keep(size_t size) noexcept {
  if (size > kMostKept) return false;
  for (size_t tries = 0; tries <= std::size(slots); ++tries) {
    if (kept.fetch_add(size, std::memory_order_relaxed) + size <= kMostKept) return true;
    kept.fetch_sub(size, std::memory_order_relaxed);
    replace(nullptr);
  }
  return false;
}

void put_back(void* block) noexcept {
  for (auto& slot : slots) {
    void* empty = nullptr;
    if (slot.compare_exchange_strong(empty, block, std::memory_order_acq_rel)) return;
  }
  replace(block);
}

// The blocks of places, which count as kept while nobody has them.
std::atomic<void*> placed[128];
constexpr size_t kMostPlaced = size_t{8} << 20;

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
      put_back(block);
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
  if (size < kLeast || !keep(size)) return std::free(block);
  put_back(block);
}

Scratch::Scratch(size_t place, size_t bytes) : place_(place) {
  void* block =
      place < std::size(placed) ? placed[place].exchange(nullptr, std::memory_order_acq_rel) : nullptr;
  const size_t size = block ? malloc_usable_size(block) : 0;
  kept.fetch_sub(size, std::memory_order_relaxed);
  if (size < bytes) {
    std::free(block);
    block = std::aligned_alloc(64, (bytes + 63) & ~size_t{63});
    if (!block) throw std::bad_alloc();
  }
  block_ = next_ = static_cast<char*>(block);
}

Scratch::~Scratch() {
  void* empty = nullptr;
  const size_t size = block_ ? malloc_usable_size(block_) : 0;
  if (place_ < std::size(placed) && size <= kMostPlaced && keep(size)) {
    if (placed[place_].compare_exchange_strong(empty, block_, std::memory_order_acq_rel)) return;
    kept.fetch_sub(size, std::memory_order_relaxed);
  }
  std::free(block_);
}

}  // namespace kxfast
