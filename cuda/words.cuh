// Counts of all n-grams of characters up to an order, and the entropies of what stands beside them, from one
// order of the text's places: a place's key holds the characters from it on, packed to the fewest bits.
//
// Behind the end of its run of characters a key holds 0, which is less than any character. The lowest bit
// says whether the place has a neighbour on the other side, because only occurrences with both count for
// entropies. Keys go forward for what stands right of an n-gram and backward for what stands left of it. In
// sorted keys every n is a series of runs, a run of n-grams one of runs of (n+1)-grams: one byte for each
// key, in how many characters it is like the one before, finds the runs of all n (words_selection.cuh).
//
// The sum of an entropy has an order of its own: a lane adds up a few terms, a warp many, so chance has no
// part in it. What limits all is reading keys (8 bytes a word and place) and the byte beside them, twice for
// each n; the sort, a library's work, is expected to take several times as long. Not tried: prefix sums of c
// log c, whose differences would lose the digits that small entropies need.
#include "words_selection.cuh"

namespace kx::words {

constexpr int kFew = 32;  // terms that a lane sums by itself

__device__ inline void pack(const u32* codes, const u32* number, const Packing& p, int step, u64* keys) {
  const i64 i = place_of_thread();
  if (i >= p.size) return;
  const auto at = [&](i64 place) { return place < 0 || place >= p.size ? 0u : number[codes[place]]; };
  bool inside = true;
  const int words = p.words();
  for (int w = 0, j = 0; w < words; ++w) {
    u64 key = p.flag && w == words - 1 && at(i - step) ? 1 : 0;
    for (; j < p.order && j < (w + 1) * p.each; ++j) {
      const u32 character = inside ? at(i + step * j) : 0;
      inside = character != 0;
      key |= static_cast<u64>(character) << p.shift(j);
    }
    keys[(words - 1 - w) * p.size + i] = key;
  }
}

// In how many leading characters a sorted key is like the one before (the first like none).
__device__ inline void alike(const u64* keys, const Packing& p, u8* depth) {
  const i64 i = place_of_thread();
  if (i >= p.size) return;
  int n = 0;
  while (i && n < p.order && p.character(keys, i, n) == p.character(keys, i - 1, n)) ++n;
  depth[i] = static_cast<u8>(n);
}

// The n-grams that are kept, as code points, and their counts.
__device__ inline void table(const u64* keys, const Packing& p, const u32* alphabet, const int* begins,
                             const int* kept, i64 rows, int n, u32* grams, i64* counts) {
  const i64 row = place_of_thread();
  if (row >= rows) return;
  const int run = kept[row];
  for (int j = 0; j < n; ++j) grams[row * n + j] = alphabet[p.character(keys, begins[run], j)];
  counts[row] = begins[run + 1] - begins[run];
}

// The first run of order n + 1 that begins at a key or behind it.
__device__ __forceinline__ int run_at(const int* begins, int runs, int key) {
  int low = 0, high = runs;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (begins[middle] < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// The entropy of the characters after each n-gram that is kept; `runs` of order n + 1 begin at `longer`. Of
// the terms of a warp's n-grams first those that each lane sums by itself, then those of one n-gram after
// another.
__device__ inline void entropies(const u64* keys, const Packing& p, const int* begins, const int* kept,
                                 i64 rows, int n, const int* longer, int runs, const int* flagged,
                                 double* entropy) {
  Shared shared;
  double* const inverse = shared.take<double>(Logarithm::kEntries);
  double* const log = shared.take<double>(Logarithm::kEntries);
  const Logarithm logarithm(inverse, log, threadIdx.x, blockDim.x);
  __syncthreads();
  const i64 row = place_of_thread();
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  int from = 0, to = 0, seen = 0;
  if (row < rows) {
    const int begin = begins[kept[row]], end = begins[kept[row] + 1];
    from = run_at(longer, runs, begin), to = run_at(longer, runs, end);
    if (!p.character(keys, begin, n)) ++from;  // nothing comes after it there
    seen = flagged[end] - flagged[longer[from]];
  }
  const bool many = to - from > kFew;
  int first = from, last = many ? from : to, step = 1, owner = lane, total = seen;
  for (u32 waiting = __ballot_sync(kAllLanes, many);; waiting &= waiting - 1) {
    double sum = 0;
    for (int r = first; r < last; r += step) {
      const int count = flagged[longer[r + 1]] - flagged[longer[r]];
      const double share = static_cast<double>(count) / total;
      if (count) sum += share * logarithm.minus_log(share);
    }
    for (int by = kWarp / 2; step > 1 && by; by /= 2) sum += __shfl_xor_sync(kAllLanes, sum, by);
    if (lane == owner && row < rows && many == (step > 1)) entropy[row] = sum;
    if (!waiting) return;
    owner = __ffs(static_cast<int>(waiting)) - 1;
    first = __shfl_sync(kAllLanes, from, owner) + lane, last = __shfl_sync(kAllLanes, to, owner);
    total = __shfl_sync(kAllLanes, seen, owner), step = kWarp;
  }
}

// The entropies of wanted n-grams, 0 for one that is not there: a search among those of an order of keys,
// which read n-grams backward if `backward`.
__device__ inline void look_up(const u64* keys, const Packing& p, const u32* alphabet, const int* begins,
                               const int* kept, i64 rows, int n, bool backward, const double* entropy,
                               const u32* wanted, i64 count, double* found) {
  const i64 i = place_of_thread();
  if (i >= count) return;
  const auto compare = [&](i64 row) {  // negative, 0 or positive: the row comes before, is it, or comes after
    for (int j = 0; j < n; ++j) {
      const u32 a = alphabet[p.character(keys, begins[kept[row]], j)];
      const u32 b = wanted[i * n + (backward ? n - 1 - j : j)];
      if (a != b) return a < b ? -1 : 1;
    }
    return 0;
  };
  i64 low = 0, high = rows;
  while (low < high) {
    const i64 middle = (low + high) / 2;
    if (compare(middle) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  found[i] = low < rows && compare(low) == 0 ? entropy[low] : 0;
}

}  // namespace kx::words

#define KX_KERNEL extern "C" __global__ void __launch_bounds__(256)
#define KX_PACKING kx::i64 size, int bits, int each, int flag, int order
#define KX_PACKED {size, bits, each, flag, order}

KX_KERNEL mark(const kx::u32* __restrict__ codes, kx::i64 size, kx::u8* seen) {
  const kx::i64 i = kx::words::place_of_thread();
  if (i < size) seen[codes[i]] = 1;  // whoever writes, writes the same
}
KX_ENTRY(mark)
KX_KERNEL pack(const kx::u32* __restrict__ codes, const kx::u32* __restrict__ number, KX_PACKING, int step,
               kx::u64* keys) {
  kx::words::pack(codes, number, KX_PACKED, step, keys);
}
KX_ENTRY(pack)
KX_KERNEL alike(const kx::u64* __restrict__ keys, KX_PACKING, kx::u8* depth) {
  kx::words::alike(keys, KX_PACKED, depth);
}
KX_ENTRY(alike)
#define KX_SELECTION(name, Which, Parameters, ...)                                                    \
  KX_KERNEL tally_##name(Parameters, kx::i64 items, kx::u32* tallies) {                               \
    kx::words::tally(kx::words::Which{__VA_ARGS__}, items, tallies);                                  \
  }                                                                                                   \
  KX_ENTRY(tally_##name)                                                                              \
  KX_KERNEL select_##name(Parameters, kx::i64 items, const kx::u32* __restrict__ tallies, int* out) { \
    kx::words::select(kx::words::Which{__VA_ARGS__}, items, tallies, out);                            \
  }                                                                                                   \
  KX_ENTRY(select_##name)
#define KX_RUNS const kx::u8* __restrict__ depth, int n
#define KX_FREQUENT \
  const kx::u64 *__restrict__ keys, KX_PACKING, const int *__restrict__ begins, int n, kx::i64 least
#define KX_FLAGGED const kx::u64* __restrict__ keys
KX_SELECTION(runs, Runs, KX_RUNS, depth, n)
KX_SELECTION(frequent, Frequent, KX_FREQUENT, keys, KX_PACKED, begins, n, least)
KX_SELECTION(flagged, Flagged, KX_FLAGGED, keys)

extern "C" __global__ void __launch_bounds__(1024) add_up(kx::u32* tallies, kx::i64 tiles) {
  kx::words::add_up(tallies, tiles);
}
KX_ENTRY(add_up)
KX_KERNEL table(const kx::u64* __restrict__ keys, KX_PACKING, const kx::u32* __restrict__ alphabet,
                const int* __restrict__ begins, const int* __restrict__ kept, kx::i64 rows, int n,
                kx::u32* grams, kx::i64* counts) {
  kx::words::table(keys, KX_PACKED, alphabet, begins, kept, rows, n, grams, counts);
}
KX_ENTRY(table)
KX_KERNEL entropies(const kx::u64* __restrict__ keys, KX_PACKING, const int* __restrict__ begins,
                    const int* __restrict__ kept, kx::i64 rows, int n, const int* __restrict__ longer,
                    int runs, const int* __restrict__ flagged, double* entropy) {
  kx::words::entropies(keys, KX_PACKED, begins, kept, rows, n, longer, runs, flagged, entropy);
}
KX_ENTRY(entropies)
KX_KERNEL look_up(const kx::u64* __restrict__ keys, KX_PACKING, const kx::u32* __restrict__ alphabet,
                  const int* __restrict__ begins, const int* __restrict__ kept, kx::i64 rows, int n,
                  int backward, const double* __restrict__ entropy, const kx::u32* __restrict__ wanted,
                  kx::i64 count, double* found) {
  kx::words::look_up(keys, KX_PACKED, alphabet, begins, kept, rows, n, backward != 0, entropy, wanted, count,
                     found);
}
KX_ENTRY(look_up)
