// Masked attention of a block of queries of one head in bfloat16 by tiles of the matrix extension AMX,
// compiled for it and, with emulated tiles, for any machine (core/amx.hpp). No machine with AMX was at hand:
// checked in emulation, never measured.
//
// A part of 48 queries meets a tile of 64 keys at a time. Four tiles of sums are scores of 32 queries and 32
// keys: for 32 channels, two tiles of queries and two of keys are loaded for four products. Weights are made
// from the scores as for pairs (half.hpp), and tiles of them, 16 queries by 32 keys, are multiplied with
// values in pairs of rows; sums of values are read from the cache into tiles, added to, and written back.
// Rows that end, and channels and keys that do not fill a tile, are copied, 1 KB, with zeros behind them.
#include "attention/simd/half.hpp"
#include "core/amx.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

constexpr int64_t kRows = matrix::kRows, kDeep = 32;  // rows of a tile, numbers of one of its rows
constexpr matrix::Shapes kShapes = matrix::whole_tiles();
static_assert(kPartRows % kRows == 0 && kTile % kDeep == 0);

// A tile of rows `apart` elements apart, of which `rows` of `used` elements are there.
template <int TILE>
void load_tile(matrix::Tiles& tiles, const Bfloat16* from, int64_t apart, int64_t rows, int64_t used) {
  if (rows >= kRows && used >= kDeep) return tiles.load<TILE>(from, 2 * apart);
  alignas(64) Bfloat16 copy[kRows][kDeep] = {};
  for (int64_t i = 0; i < rows && i < kRows; ++i)
    std::memcpy(copy[i], from + i * apart, static_cast<size_t>(2 * (used < kDeep ? used : kDeep)));
  tiles.load<TILE>(copy, sizeof copy[0]);
}

// Scores of 32 queries from `row` on, of which `rows` are there, and 32 keys from `key` on.
void scores(matrix::Tiles& tiles, const Forward<Bfloat16>& x, int64_t row, int64_t rows,
            const Bfloat16* panel, int64_t key, float* s) {
  const int64_t width = packed_columns<Bfloat16>(x.d), step = 2 * kTile;
  const bool both = rows > kRows;
  tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
  for (int64_t k = 0; k < width; k += kDeep) {
    const Bfloat16 *keys = panel + k / 2 * step + 2 * key, *queries = x.q + row * x.q_row + k;
    load_tile<6>(tiles, keys, step, (width - k) / 2, kDeep);
    load_tile<7>(tiles, keys + kDeep, step, (width - k) / 2, kDeep);
    load_tile<4>(tiles, queries, x.q_row, rows, width - k);
    tiles.multiply<0, 4, 6>();
    tiles.multiply<1, 4, 7>();
    if (!both) continue;
    load_tile<5>(tiles, queries + kRows * x.q_row, x.q_row, rows - kRows, width - k);
    tiles.multiply<2, 5, 6>();
    tiles.multiply<3, 5, 7>();
  }
  tiles.store<0>(s + key, 4 * kTile);
  tiles.store<1>(s + key + kRows, 4 * kTile);
  if (!both) return;
  tiles.store<2>(s + kRows * kTile + key, 4 * kTile);
  tiles.store<3>(s + kRows * kTile + key + kRows, 4 * kTile);
}

// Sums of values of 16 queries += their weights p times the values of a tile of keys.
void add_values(matrix::Tiles& tiles, const Forward<Bfloat16>& x, const Bfloat16* p, int64_t tile,
                float* sums) {
  const int64_t pairs = (x.k_len + 1) / 2 - tile * kTile / 2, step = 2 * x.value_row;
  for (int64_t j = 0; j < x.value_row; j += kRows) {
    tiles.load<0>(sums + j, 4 * x.value_row);
    for (int64_t k = 0; k < kTile && k < 2 * pairs; k += kDeep) {
      tiles.load<4>(p + k, 2 * kTile);
      load_tile<6>(tiles, x.values + (tile * kTile + k) * x.value_row + 2 * j, step, pairs - k / 2, kDeep);
      tiles.multiply<0, 4, 6>();
    }
    tiles.store<0>(sums + j, 4 * x.value_row);
  }
}

// A part of the block, from query `part` on, and a tile of keys.
void attend_part(matrix::Tiles& tiles, const Forward<Bfloat16>& x, const Work& w, int64_t part,
                 int64_t tile) {
  const int64_t rows = x.rows - part < kPartRows ? x.rows - part : kPartRows;
  GroupBits groups[kPartRows / kGroup];
  uint64_t any = 0;
  for (int64_t row = 0; row < rows; row += kGroup)
    any |= (groups[row / kGroup] = group_bits(x.mask, part + row, x.rows, tile, x.k_len)).any;
  if (!any) return;
  const Bfloat16* panel = x.keys + tile * kTile * packed_columns<Bfloat16>(x.d);
  for (int64_t row = 0; row < rows; row += 2 * kRows)
    for (int64_t key = 0; key < kTile; key += kDeep)
      if (any >> key & 0xffffffff)
        scores(tiles, x, part + row, rows - row, panel, key, w.scores + row * kTile);
  for (int64_t row = 0; row < rows; row += kGroup) {
    const GroupBits& bits = groups[row / kGroup];
    Bfloat16* p = w.rounded + row * kTile;
    if (bits.any != ~uint64_t{0}) std::memset(p, 0, sizeof *p * kGroup * kTile);
    if (bits.any) weigh(x, w, bits, part + row, tile, w.scores + row * kTile, p);
  }
  for (int64_t row = 0; row < rows; row += kRows)
    add_values(tiles, x, w.rounded + row * kTile, tile, w.values + (part + row) * x.value_row);
}

}  // namespace

bool attend(const Forward<Bfloat16>& block) {
  const Work work(block);
  begin(work);
  std::memset(work.rounded, 0, sizeof(Bfloat16) * kPartRows * kTile);  // rows beyond the last group's too
  matrix::Tiles tiles;
  tiles.configure(kShapes);
  const Tiles run = tiles_of(block.mask, block.rows, block.k_len);
  for (int64_t tile = run.first; tile < run.last; ++tile)
    for (int64_t part = 0; part < block.rows; part += kPartRows) attend_part(tiles, block, work, part, tile);
  tiles.release();
  return finish(block, work);
}

}  // namespace kxfast::attention::KXFAST_ISA
