// What masks that are no intervals are made into before a call: bits, and a class for each tile of pairs.
//
// Bits are 32 keys to a word, made by votes of a warp. A tile's class is 0 if no pair is allowed, 2 if all
// are, 1 in between: one thread a tile reads its words, neighbours reading neighbouring words; for a user's
// function (KX_ALLOWED) one block a tile asks for every pair, once for each batch row and head that it looks
// at.
#include "attention_functions.cuh"

// bits (rows, words) of mask (rows, columns), where columns is k_len or 1, which stands for all.
extern "C" __global__ void __launch_bounds__(256)
    attention_bits(const kx::u8* mask, kx::u32* bits, kx::i64 rows, kx::i64 columns, kx::i64 k_len) {
  const kx::i64 words = (k_len + 31) / 32, warp = (static_cast<kx::i64>(blockIdx.x) * 256 + threadIdx.x) / 32;
  if (warp >= rows * words) return;
  const kx::i64 row = warp / words, key = warp % words * 32 + threadIdx.x % 32;
  const bool mine = key < k_len && mask[row * columns + (columns == 1 ? 0 : key)];
  const kx::u32 word = __ballot_sync(kx::kAllLanes, static_cast<int>(mine));
  if (threadIdx.x % 32 == 0) bits[warp] = word;
}
KX_ENTRY(attention_bits)

// classes (heads, tiles of queries, tiles of keys) of bits (heads, rows, words).
extern "C" __global__ void __launch_bounds__(256)
    attention_classes(const kx::u32* bits, kx::u8* classes, kx::i64 heads, kx::i64 rows, kx::i64 k_len,
                      kx::i64 tile_rows, kx::i64 tile_keys) {
  const kx::i64 words = (k_len + 31) / 32, down = (rows + tile_rows - 1) / tile_rows;
  const kx::i64 across = (k_len + tile_keys - 1) / tile_keys;
  const kx::i64 at = static_cast<kx::i64>(blockIdx.x) * 256 + threadIdx.x;
  if (at >= heads * down * across) return;
  const kx::i64 head = at / (down * across), first = at / across % down * tile_rows,
                key = at % across * tile_keys;
  const kx::i64 end = first + tile_rows < rows ? first + tile_rows : rows;
  kx::u32 any = 0, none = 0;
  for (kx::i64 row = first; row < end; ++row)
    for (kx::i64 j = key; j < key + tile_keys && j < k_len; j = j / 32 * 32 + 32) {
      const kx::i64 left = key + tile_keys < k_len ? key + tile_keys - j : k_len - j;
      const kx::u32 asked = left < 32 ? (1u << left) - 1 : kx::kAllLanes;
      const kx::u32 word = bits[(head * rows + row) * words + j / 32] >> (j % 32);
      any |= word & asked;
      none |= ~word & asked;
    }
  classes[at] = static_cast<kx::u8>(!any ? 0 : none ? 1 : 2);
}
KX_ENTRY(attention_classes)

#ifdef KX_ALLOWED
// The same of a function, for heads counted over batch rows (heads_of of each).
extern "C" __global__ void __launch_bounds__(128)
    attention_function(const kx::i64* captured, kx::u8* classes, kx::i64 heads_of, kx::i64 q_len,
                       kx::i64 k_len, kx::i64 tile_rows, kx::i64 tile_keys) {
  const kx::i64 down = (q_len + tile_rows - 1) / tile_rows, across = (k_len + tile_keys - 1) / tile_keys;
  const kx::i64 head = blockIdx.x / (down * across), b = head / heads_of, h = head % heads_of;
  const kx::i64 first = blockIdx.x / across % down * tile_rows, key = blockIdx.x % across * tile_keys;
  bool any = false, all = true;
  for (kx::i64 pair = threadIdx.x; pair < tile_rows * tile_keys; pair += 128) {
    const kx::i64 i = first + pair / tile_keys, j = key + pair % tile_keys;
    if (i >= q_len || j >= k_len) continue;
    const bool mine = KX_ALLOWED;
    any = any || mine, all = all && mine;
  }
  const bool some = __syncthreads_count(static_cast<int>(any)) > 0;
  const bool each = __syncthreads_count(static_cast<int>(all)) == 128;
  if (threadIdx.x == 0) classes[blockIdx.x] = static_cast<kx::u8>(!some ? 0 : each ? 2 : 1);
}
KX_ENTRY(attention_function)
#endif
