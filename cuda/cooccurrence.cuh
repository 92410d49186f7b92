// Pairs of words as numbers to be sorted: for each position and each distance of a slab the left word times
// the size of the vocabulary plus the right one, or the largest number where there is no pair.
//
// Keys lie distance by distance, so that neighbouring threads read neighbouring tokens and write neighbouring
// keys; tokens of a window come from the first cache. The kernel writes one key for 8 bytes that it reads at
// most, and sorting the keys, a library's work, takes several times as long: counts are the runs of equal
// keys. Only pairs with the left word first are written; the other direction is the transpose. Considered,
// not tried: a histogram in shared memory for each centre word, which needs the positions sorted by word
// first.
#include "common.cuh"

namespace kx::cooccurrence {

// keys[k * positions + i] for position first + i and distance nearest + k.
template <class Key>
__device__ inline void pair_keys(const int* ids, const int* document, i64 tokens, i64 words, i64 first,
                                 i64 positions, i64 nearest, i64 distances, Key* keys) {
  const i64 step = static_cast<i64>(gridDim.x) * blockDim.x;
  for (i64 slot = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; slot < positions * distances;
       slot += step) {
    const i64 left = first + slot % positions, right = left + nearest + slot / positions;
    const bool together =
        right < tokens && ids[left] >= 0 && ids[right] >= 0 && document[left] == document[right];
    keys[slot] = together ? static_cast<Key>(ids[left] * words + ids[right]) : static_cast<Key>(~Key{0});
  }
}

}  // namespace kx::cooccurrence

#define KX_PAIR_KEYS(name, Key)                                                                            \
  extern "C" __global__ void __launch_bounds__(256)                                                        \
      name(const int* __restrict__ ids, const int* __restrict__ document, kx::i64 tokens, kx::i64 words,   \
           kx::i64 first, kx::i64 positions, kx::i64 nearest, kx::i64 distances, Key* keys) {              \
    kx::cooccurrence::pair_keys(ids, document, tokens, words, first, positions, nearest, distances, keys); \
  }                                                                                                        \
  KX_ENTRY(name)
KX_PAIR_KEYS(pair_keys_32, kx::u32)
KX_PAIR_KEYS(pair_keys_64, kx::u64)
