// A stack of gated convolutions in one launch, for inputs so small that launches would be most of the time.
//
// All blocks are resident together; each layer's tiles (conv_gated.cuh) are dealt out among them, and a
// barrier over the grid stands between layers: a counter in memory that every block adds to. A layer reads
// what the one before has left in the second cache, so that memory is hardly touched; what limits it are the
// barriers and the depth of a tile's product, which are both latencies. Two buffers take turns. Not tried:
// tiles that make the rows around them too and need no barrier; their halo grows with the sum of the
// dilations, 27 to 32 positions a side for the stacks in use, more than half of a tile again.
#include "conv_gated.cuh"

namespace kx::conv {

// A layer, in the order of the table that Python makes.
struct StackLayer {
  i64 weight, bias, deep, channels, first_tap, end_tap, step, origin, skip, first, masks_input, sign;
};
constexpr int kFields = 12;

template <class T>
__device__ __forceinline__ const T* place(i64 address) {
  return reinterpret_cast<const T*>(static_cast<u64>(address));
}

}  // namespace kx::conv

// Layer i reads what layer i - 1 wrote: `even` and `odd` in turn, y in the end. `arrived` begins at 0.
extern "C" __global__ void __launch_bounds__(128, 2)
    conv_stack(const kx::i64* table, kx::i64 layers, const KX_T* x, KX_T* even, KX_T* odd, KX_T* y,
               const kx::u8* mask, kx::i64 rows, kx::i64 length, kx::u64 threshold, kx::u64 key, double kept,
               kx::u32* arrived) {
  using namespace kx;
  using namespace kx::conv;
  using T = KX_T;
  Shared shared;
  T* const memory = shared.take<T>(kTiles<T>);
  const T* from = x;
  for (i64 i = 0; i < layers; ++i) {
    const i64* const row = table + i * kFields;
    const StackLayer at = {row[0], row[1], row[2], row[3], row[4],  row[5],
                           row[6], row[7], row[8], row[9], row[10], row[11]};
    T* const to = i == layers - 1 ? y : i % 2 ? odd : even;
    const u8* const readable = at.masks_input ? mask : nullptr;
    const Input<T> in = {from, readable, rows, length, at.deep, at.first_tap, at.end_tap, at.step, at.origin};
    const Gate<T> gate = {place<T>(at.bias),
                          at.skip == kAdd ? nullptr : mask,
                          static_cast<Skip>(at.skip),
                          at.first != 0,
                          {from, nullptr, at.skip == kAdd ? readable : nullptr, at.channels},
                          {threshold, key + static_cast<u64>(i), kept, static_cast<double>(at.sign)},
                          to,
                          nullptr,
                          nullptr};
    const i64 tiles = (rows + kRows - 1) / kRows * ((at.channels + kN - 1) / kN);
    for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x)
      gated_tile<T>(memory, in, place<T>(at.weight), gate, tile);
    from = to;
    if (i == layers - 1) return;
    wait_for_all_blocks(arrived, static_cast<u32>(i + 1));
  }
}
KX_ENTRY(conv_stack)
