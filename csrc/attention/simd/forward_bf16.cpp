// Masked attention of a block of queries of one head in bfloat16: forward.cpp with products of pairs.
//
// Scores of a group of 6 queries and a tile of 64 keys come from pairs of channels, in floats; weights 2^(s -
// m) are rounded to bfloat16 and meet values whose rows stand in pairs. Sums of weights are those of weights
// before rounding. Products take half the steps of floats, so that weighing, 24 registers of exp2 for each
// group and tile, is a fifth of the time at 64 channels: exp2 has two terms less, and the scale is applied on
// the way.
#include "attention/simd/pairs.hpp"
#include "attention/simd/transpose.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

// As in forward.cpp, but for queries, which are read where they lie.
struct Work {
  int64_t rows;
  float *scores, *values, *weights, *top, *end;
  Bfloat16* rounded;  // weights of a part, (kPartRows, kTile)

  explicit Work(const Forward<Bfloat16>& x) : rows(groups_of(x.rows) * kGroup), scores(x.work) {
    rounded = reinterpret_cast<Bfloat16*>(scores + kGroup * kTile);
    values = scores + kPartRows * kTile, weights = values + rows * x.value_row;
    top = weights + rows * kLanes, end = top + rows * kLanes;
  }
};
static_assert(kGroup * kTile + kPartRows * kTile / 2 <= kPartRows * kTile);

void raise(float* top, float* weights, float* values, int64_t columns, float now) {
  const float factor = *top == -kInfinity<float> ? 0 : exp2(all(*top - now))[0];
  *top = now;
  store(weights, load(weights) * factor);
  for (int64_t j = 0; j < columns; j += kLanes) store(values + j, load(values + j) * factor);
}

// Scores times `scale` become weights in bfloat16; sums of weights grow.
inline void weigh(const float* s, float scale, int from, int to, const Work& w, int64_t row, int64_t columns,
                  Bfloat16* p) {
  for (int64_t i = 0; i < kGroup; ++i, s += kTile, p += kTile) {
    Floats highest = all(-kInfinity<float>);
    for (int c = from; c < to; ++c) highest = larger(highest, load(s + c * kLanes));
    highest = highest * scale;
    float *top = w.top + (row + i) * kLanes, *weights = w.weights + (row + i) * kLanes;
    if (exceeds(highest, all(*top + 8)))
      raise(top, weights, w.values + (row + i) * columns, columns, largest_of<float>(highest));
    const Floats m = all(*top == -kInfinity<float> ? 0 : -*top);
    Floats total = load(weights);
    for (int c = from; c < to; ++c) {
      const Floats each = exp2_roughly(fused(load(s + c * kLanes), all(scale), m));
      store_rounded(each, p + c * kLanes);
      total += each;
    }
    store(weights, total);
  }
}

// One group's weights of a tile; returns the pairs of keys that some query of it may attend to.
inline PairRun weigh_group(const Forward<Bfloat16>& x, const Work& w, int64_t row, int64_t tile,
                           Bfloat16* p) {
  const GroupBits bits = group_bits(x.mask, row, x.rows, tile, x.k_len);
  if (!bits.any) return {0, 0};
  const int from = __builtin_ctzll(bits.any) / kLanes, to = (63 - __builtin_clzll(bits.any)) / kLanes + 1;
  const Bfloat16* q[kGroup];
  row_pointers(x.q, x.q_row, row, x.rows, q);
  scores(q, x.keys + tile * kTile * packed_columns<Bfloat16>(x.d), x.d, from, to, w.scores);
  float scale = log2_scale(x);
  if (x.bias.data || scale <= 0 || bits.every != ~uint64_t{0}) {
    finish_scores<false>(x, bits, row, tile, from, to, w.scores);
    scale = 1;
  }
  weigh(w.scores, scale, from, to, w, row, x.value_row, p);
  return pairs_of(bits.any);
}

void run(const Forward<Bfloat16>& x, const Work& w) {
  for (float* each = w.values; each < w.top; ++each) *each = 0;
  for (float* each = w.top; each < w.end; ++each) *each = -kInfinity<float>;
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

// Writes the results; false if one is not finite.
bool finish(const Forward<Bfloat16>& x, const Work& w) {
  Floats strange = {};
  for (int64_t i = 0; i < x.rows; ++i) {
    const float total = sum_of<float>(load(w.weights + i * kLanes)), factor = total == 0 ? 0 : 1 / total;
    const float* from = w.values + i * x.value_row;
    const int64_t place = x.places ? x.places[i] : i;
    write_scaled(from, x.dv, factor, x.out + place * x.out_row);
    for (int64_t j = 0; j < x.value_row; j += kLanes) strange += load(from + j) * factor * 0;
    const float log2_total = __builtin_log2f(total);
    x.lse[place] = total == 0 ? -kInfinity<float> : (w.top[i * kLanes] + log2_total) * 0.6931471805599453f;
  }
  return sum_of<float>(strange) == 0;
}

}  // namespace

bool attend(const Forward<Bfloat16>& block) {
  const Work work(block);
  run(block, work);
  return finish(block, work);
}

void write_scaled(const float* from, int64_t count, float scale, Bfloat16* to) {
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) store_rounded(load(from + j) * scale, to + j);
  if (j == count) return;
  const __mmask16 rest = static_cast<__mmask16>((1u << (count - j)) - 1);
  const Floats last = (Floats)_mm512_maskz_loadu_ps(rest, from + j) * scale;
  _mm256_mask_storeu_epi16(to + j, rest, (__m256i)_mm512_cvtneps_pbh((__m512)last));
}

// Rows as a tile of 64 in pairs of channels: out[pair][row][2], zeros beyond them.
void pack_tiles(const Source<Bfloat16>& x, Bfloat16* out) {
  for (int64_t j = 0; j < kTile; j += 16, out += 2 * 16) {
    const Bfloat16* row[16];
    for (int64_t i = 0; i < 16; ++i) row[i] = x.row(j + i < x.rows ? j + i : 0);
    int64_t k = 0;
    if (j + 16 <= x.rows)
      for (; k + 8 <= x.d; k += 8)
        transpose_sixteen(row, k, reinterpret_cast<float*>(out + k * kTile), kTile);
    for (; k < x.d; k += 2)
      for (int64_t i = 0; i < 16; ++i) {
        Bfloat16* to = out + k * kTile + 2 * i;
        to[0] = j + i < x.rows ? row[i][k] : Bfloat16{};
        to[1] = j + i < x.rows && k + 1 < x.d ? row[i][k + 1] : Bfloat16{};
      }
  }
}

// Rows (rows, width), width a multiple of 16, two by two: out[pair][column][2], zeros where a row is missing.
void pack_pairs(const Bfloat16* x, int64_t rows, int64_t width, Bfloat16* out) {
  for (int64_t r = 0; r < rows; r += 2)
    for (int64_t j = 0; j < width; j += kLanes) {
      const Floats low = load_wide(x + r * width + j);
      const Floats high = r + 1 < rows ? load_wide(x + (r + 1) * width + j) : Floats{};
      const __m512i both = _mm512_or_si512(_mm512_srli_epi32((__m512i)low, 16), (__m512i)high);
      _mm512_storeu_si512(out + r * width + 2 * j, both);
    }
}

}  // namespace kxfast::attention::KXFAST_ISA
