// Gradients of attention between one tile of 64 keys and all queries of one head in bfloat16 by tiles of the
// matrix extension AMX.
//
// Queries come 32 at a time against 32 keys: scores s = q k' and g = dout v' of such a cell are two products
// of 2 x 2 tiles of sums, which pass through 8 KB of the L1 cache to vectors. These make p = 2^(s - lse) and
// ds = p (g - share), and round them to tiles of the next products: with two queries side by side p and ds,
// and ds in rows. A block of queries has its cells, 6 KB each, in the cache; then dv' += dout' p and dk' +=
// q' ds, channels as rows, over the block's queries, with sums in the cache, and dq += ds k over the tile's
// keys, with sums in memory. So no vector is transposed but the sums of dk and dv, once a tile; q and dout
// are packed twice a call, in rows and in columns of 32 queries.
//
// A cell of 64 channels takes 700 to 780 ns of a core of a Xeon: alone, s and g are 110, vectors 170, dq 110
// and dk and dv 160 of them. Tried and lost: steps of products between the rows of vectors, from queues of
// what can be multiplied by then (10 % slower: stores and loads of the two get in each other's way); blocks
// of 192 and 384 queries (the same).
#include "attention/simd/cells.hpp"
#include "attention/simd/transpose.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

constexpr int64_t kSteps = kCellBlock / kCell;
using BlockWords = Words<kCellBlock>;

// Of a cell: p and ds with rows in pairs, 16 keys of 16 pairs after another, and ds in rows.
struct Cell {
  Bfloat16 p[2 * kTileSize], ds[2 * kTileSize], rows[2 * kTileSize];
};

struct Memory {
  Cell* cell;                    // (kSteps, kHalves)
  float *scores, *gradients;     // (kCell, kCell)
  float *dk, *dv;                // (d_row, kTile), (dv_row, kTile): channels as rows
  Bfloat16 *q_copy, *dout_copy;  // of the last queries

  explicit Memory(const Backward<Bfloat16>& x) : cell(reinterpret_cast<Cell*>(x.work)) {
    scores = reinterpret_cast<float*>(cell + kSteps * kHalves), gradients = scores + kCell * kCell;
    dk = gradients + kCell * kCell, dv = dk + x.d_row * kTile;
    q_copy = reinterpret_cast<Bfloat16*>(dv + x.dv_row * kTile), dout_copy = q_copy + kCell * x.d_row;
  }
};
static_assert(sizeof(Cell) == sizeof(float) * kCellFloats);

// p and ds of a cell of queries from `row` on, whose keys in the tile begin at `key`; PLAIN: every pair is
// allowed, and ds is not asked for.
template <bool PLAIN>
void weigh(const Backward<Bfloat16>& x, int64_t row, const uint64_t* words, int64_t key, const Memory& w,
           Cell& cell) {
  const Floats scale = all(log2_scale(x));
  const int64_t last = x.rows - 1;
  for (int64_t i = 0; i < kCell; i += 2) {
    const int64_t at[2] = {row + i < last ? row + i : last, row + i + 1 < last ? row + i + 1 : last};
    const Floats lse[2] = {all(-x.lse[at[0]]), all(-x.lse[at[1]])};
    const Floats share[2] = {all(x.share[at[0]]), all(x.share[at[1]])};
    for (int64_t c = 0; c < kCell; c += kFloats) {
      Floats p[2], ds[2];
      for (int64_t j = 0; j < 2; ++j) {
        float *s = w.scores + (i + j) * kCell + c, *g = w.gradients + (i + j) * kCell + c;
        const uint64_t bits = PLAIN ? ~uint64_t{0} : words[i + j] >> (key + c);
        p[j] = exp2_where(bits, fused(load(s), scale, lse[j]));
        ds[j] = product_where(bits, p[j], load(g) - share[j]);
        if constexpr (!PLAIN) store(g, ds[j]);
      }
      const int64_t pair = c / kRows * kTileSize + i / 2 * kCell + c % kRows * 2, here = i * kCell + c;
      store_pairs(p[0], p[1], cell.p + pair);
      store_both_ways(ds[0], ds[1], cell.ds + pair, cell.rows + here, cell.rows + here + kCell);
    }
  }
}

void write_dbias(const Backward<Bfloat16>& x, int64_t row, int64_t key, const float* ds) {
  for (int64_t i = 0; i < kCell && row + i < x.rows; ++i)
    for (int64_t k = 0; k < kCell && key + k < x.k_len; ++k)
      x.dbias[(row + i) * x.k_len + key + k] = ds[i * kCell + k] * x.scale;
}

void make_cell(matrix::Tiles& tiles, const Backward<Bfloat16>& x, int64_t row, const uint64_t* words,
               bool every, int64_t tile, int64_t key, const Memory& w, Cell& cell) {
  const Bfloat16* q = whole_cell(x.q, row, x.rows, x.d_row, w.q_copy);
  const Bfloat16* dout = whole_cell(x.dout, row, x.rows, x.dv_row, w.dout_copy);
  products(tiles, q, x.d_row, x.keys + tile * kTile * x.d_row, key, w.scores, kCell);
  products(tiles, dout, x.dv_row, x.values + tile * kTile * x.dv_row, key, w.gradients, kCell);
  if (x.bias.data) add_bias(x, row, tile * kTile + key, w.scores, kCell);
  if (every && !x.dbias)
    weigh<true>(x, row, words, key, w, cell);
  else
    weigh<false>(x, row, words, key, w, cell);
  if (x.dbias) write_dbias(x, row, tile * kTile + key, w.gradients);
}

// sums (width, kTile) += columns of 32 queries each times the cells of half a tile, ds or p.
void add_columns(matrix::Tiles& tiles, const Bfloat16* columns, int64_t width, const BlockWords& words,
                 int64_t half, const Bfloat16* weights, float* sums) {
  for (int64_t j = 0; j < width; j += kCell) {
    float* to = sums + j * kTile + half * kCell;
    load_sums(tiles, to, kTile);
    for (int64_t step = 0; step < kSteps; ++step)
      if (half_of(words.any[step], half))
        multiply(tiles, tiles_at(columns + (step * width + j) * kCell),
                 tiles_at(weights + step * kHalves * kCellFloats * 2));
    store_sums(tiles, to, kTile);
  }
}

// dq of 32 queries += their ds times the keys of the tile.
void add_rows(matrix::Tiles& tiles, const Backward<Bfloat16>& x, int64_t row, uint64_t any, int64_t tile,
              const Cell* cells) {
  for (int64_t j = 0; j < x.d_row; j += kCell) {
    float* to = x.dq + row * x.d_row + j;
    load_sums(tiles, to, x.d_row);
    for (int64_t half = 0; half < kHalves; ++half)
      if (half_of(any, half))
        multiply(tiles, tiles_at(cells[half].rows),
                 {x.k + (tile * kTile + half * kCell) * x.d_row + 2 * j, 2 * x.d_row, 2 * kRows});
    store_sums(tiles, to, x.d_row);
  }
}

void block(matrix::Tiles& tiles, const Backward<Bfloat16>& x, int64_t first, int64_t tile, const Memory& w) {
  BlockWords words;
  read_words(x.mask, first, x.rows, tile, x.k_len, words);
  if (!words.all) return;
  for (int64_t step = 0; step < kSteps; ++step) {
    const uint64_t any = words.any[step];
    const int64_t row = first + step * kCell;
    Cell* cells = w.cell + step * kHalves;
    for (int64_t half = 0; half < kHalves; ++half)
      if (half_of(any, half))
        make_cell(tiles, x, row, words.row + step * kCell, !~half_of(words.every[step], half), tile,
                  half * kCell, w, cells[half]);
    if (any) add_rows(tiles, x, row, any, tile, cells);
  }
  for (int64_t half = 0; half < kHalves; ++half) {
    if (!half_of(words.all, half)) continue;
    add_columns(tiles, x.q_pairs + first * x.d_row, x.d_row, words, half, w.cell[half].ds, w.dk);
    add_columns(tiles, x.dout_pairs + first * x.dv_row, x.dv_row, words, half, w.cell[half].p, w.dv);
  }
}

// to (kTile, width) += sums (width, kTile)
void add_transposed(const float* sums, int64_t width, float* to) {
  for (int64_t j = 0; j < width; j += kRows)
    for (int64_t key = 0; key < kTile; key += 4) {
      alignas(64) float four[4][kRows];
#if defined(__AVX512F__)
      const float* row[kRows];
      for (int64_t i = 0; i < kRows; ++i) row[i] = sums + (j + i) * kTile;
      transpose_sixteen(row, key, four[0], kRows);
#else
      for (int64_t i = 0; i < kRows; ++i)
        for (int64_t k = 0; k < 4; ++k) four[k][i] = sums[(j + i) * kTile + key + k];
#endif
      for (int64_t k = 0; k < 4; ++k)
        for (int64_t i = 0; i < kRows; ++i) to[(key + k) * width + j + i] += four[k][i];
    }
}

}  // namespace

void add_gradients(const Backward<Bfloat16>& head, int64_t tile) {
  const Memory work(head);
  std::memset(work.dk, 0, sizeof(float) * static_cast<size_t>((head.d_row + head.dv_row) * kTile));
  matrix::Tiles tiles;
  tiles.configure(kShapes);
  for (int64_t row = 0; row < head.rows; row += kCellBlock) block(tiles, head, row, tile, work);
  tiles.release();
  add_transposed(work.dk, head.d_row, head.dk);
  add_transposed(work.dv, head.dv_row, head.dv_sum);
}

void row_share(const Bfloat16* dout, const Bfloat16* out, float lse, int64_t dv, float* share,
               float* log2_sum) {
  share_of(dout, out, lse, dv, share, log2_sum);
}

void write_scaled(const float* from, int64_t count, float scale, Bfloat16* to) {
  write_rounded(from, count, scale, to);
}

}  // namespace kxfast::attention::KXFAST_ISA
