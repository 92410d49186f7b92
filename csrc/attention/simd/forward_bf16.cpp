// Masked attention of a block of queries of one head in bfloat16: forward.cpp with products of pairs.
//
// Scores of a group of 6 queries and a tile of 64 keys come from pairs of channels, in floats; weights 2^(s -
// m) are rounded to bfloat16 and meet values whose rows stand in pairs. Sums of weights are those of weights
// before rounding. Products take half the steps of floats, so that weighing, 24 registers of exp2 for each
// group and tile, is a fifth of the time at 64 channels: exp2 has two terms less, and the scale is applied on
// the way.
#include "attention/simd/half.hpp"
#include "attention/simd/pairs.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

// One group's weights of a tile; returns the pairs of keys that some query of it may attend to.
inline PairRun weigh_group(const Forward<Bfloat16>& x, const Work& w, int64_t row, int64_t tile,
                           Bfloat16* p) {
  const GroupBits bits = group_bits(x.mask, row, x.rows, tile, x.k_len);
  if (!bits.any) return {0, 0};
  const int from = __builtin_ctzll(bits.any) / kLanes, to = (63 - __builtin_clzll(bits.any)) / kLanes + 1;
  const Bfloat16* q[kGroup];
  row_pointers(x.q, x.q_row, row, x.rows, q);
  scores(q, x.keys + tile * kTile * packed_columns<Bfloat16>(x.d), x.d, from, to, w.scores);
  weigh(x, w, bits, row, tile, w.scores, p);
  return pairs_of(bits.any);
}

void run(const Forward<Bfloat16>& x, const Work& w) {
  begin(w);
  const Tiles tiles = tiles_of(x.mask, x.rows, x.k_len);
  for (int64_t tile = tiles.first; tile < tiles.last; ++tile)
    for (int64_t part = 0; part < x.rows; part += kPartRows) {
      const int64_t end = part + kPartRows < x.rows ? part + kPartRows : x.rows;
      PairRun pairs[kPartRows / kGroup];
      for (int64_t row = part; row < end; row += kGroup)
        pairs[(row - part) / kGroup] = weigh_group(x, w, row, tile, w.rounded + (row - part) * kTile);
      for (int64_t row = part; row < end; row += kGroup) {
        const auto [first, count] = pairs[(row - part) / kGroup];
        const Bfloat16* p[kGroup];
        for (int64_t i = 0; i < kGroup; ++i) p[i] = w.rounded + (row - part + i) * kTile + 2 * first;
        products<true>(p, 2, x.values + (tile * kTile + 2 * first) * x.value_row, 2 * x.value_row, count,
                       w.values + row * x.value_row, x.value_row, x.value_row / kLanes);
      }
    }
}

}  // namespace

bool attend(const Forward<Bfloat16>& block) {
  const Work work(block);
  run(block, work);
  return finish(block, work);
}

void write_scaled(const float* from, int64_t count, float scale, Bfloat16* to) {
  write_rounded(from, count, scale, to);
}

}  // namespace kxfast::attention::KXFAST_ISA
