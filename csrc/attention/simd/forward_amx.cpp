// Masked attention of a block of queries of one head in bfloat16 by tiles of the matrix extension AMX,
// compiled for it and, with emulated tiles, for any machine (core/amx.hpp).
//
// The block's queries pass by a panel of 128 keys, 32 at a time. Their scores, products of 2 x 2 tiles of
// sums, go through 16 KB to vectors, which make weights of them and round these to tiles, 16 queries by 32
// keys; weights are multiplied with values in pairs of rows, and sums of values are read from the cache into
// tiles, added to for all of the panel, and written back. Results do not depend on how queries are shared out
// to blocks: the same operations make a weight, masked or not.
//
// 32 x 32 pairs of 64 channels take 300 to 360 ns of a core of a Xeon: alone, scores are 75, weights 130 and
// values 50 of them. A cubic in place of exp2 of the pairs' kernel, and scaling by an instruction, took a
// third off the weights. Tried and lost: steps of products between the rows of weights (units that could
// work at the same time do so little: no gain); panels of 64 and 256 keys and blocks of 32 to 96 queries (the
// same or slower); with the same keys over and over, in the L1 cache, it is 5 to 10 % faster, no more.
#include "attention/simd/cells.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

constexpr int64_t kPanel = kPanelTiles * kTile, kCells = kPanel / kCell;
using BlockWords = Words<kBlockRows>;

// 32 queries against a panel: the cells from `first` to before `last` have all that is allowed.
struct Step {
  const BlockWords* words;
  int64_t row, rows, tile, first = kCells, last = 0;
  bool every = true;  // pair of these cells is allowed

  Step(const Forward<Bfloat16>& x, const BlockWords* all, int64_t index, int64_t begin)
      : words(all), row(index * kCell), rows(x.rows - row < kCell ? x.rows - row : kCell), tile(begin) {
    for (int64_t cell = 0; cell < kCells; ++cell)
      if (any(cell)) last = cell + 1, first = first < cell ? first : cell;
    for (int64_t cell = first; cell < last; ++cell)
      every &= !~half_of(words[cell / kHalves].every[index], cell % kHalves);
  }
  bool any(int64_t cell) const { return half_of(words[cell / kHalves].any[row / kCell], cell % kHalves); }
  uint64_t bits(int64_t i, int64_t key) const { return words[key / kTile].row[row + i] >> key % kTile; }
};

// Scores become weights in bfloat16; sums of weights grow.
template <bool EVERY>
void weigh_cells(const Forward<Bfloat16>& x, const Work& w, const Step& step, Floats scale) {
  const int64_t from = step.first * kCell, to = step.last * kCell;
  const auto bits = [&](int64_t i, int64_t c) { return EVERY ? ~uint64_t{0} : step.bits(i, c); };
  for (int64_t i = 0; i < step.rows; ++i) {
    const float* s = w.scores + i * kPanel;
    Floats highest = all(-kInfinity<float>);
    for (int64_t c = from; c < to; c += kFloats) highest = larger_where(bits(i, c), highest, load(s + c));
    highest = highest * scale;
    float *top = w.top + (step.row + i) * kVector, *weights = w.weights + (step.row + i) * kVector;
    if (exceeds(highest, all(*top + 8)))
      raise(top, weights, w.values + (step.row + i) * x.value_row, x.value_row, largest_of<float>(highest));
    const Floats m = all(*top == -kInfinity<float> ? 0 : -*top);
    Floats total[2] = {load(weights), {}};
    for (int64_t c = from; c < to; c += 2 * kFloats) {
      Floats p[2];
      for (int64_t j = 0; j < 2; ++j) {
        const int64_t at = c + j * kFloats;
        p[j] = exp2_where(bits(i, at), fused(load(s + at), scale, m));
        total[j] += p[j];
      }
      store_in_row(p[0], p[1], w.rounded + c / kCell * 2 * kTileSize + i * kCell + c % kCell);
    }
    store(weights, total[0] + total[1]);
  }
}

// The same for any scale: the highest score is that of the highest product only where it is above 0.
void weigh(const Forward<Bfloat16>& x, const Work& w, const Step& step) {
  float scale = log2_scale(x);
  if (scale <= 0) {
    for (float* s = w.scores; s < w.scores + kCell * kPanel; ++s) *s *= scale;
    scale = 1;
  }
  if (step.every)
    weigh_cells<true>(x, w, step, all(scale));
  else
    weigh_cells<false>(x, w, step, all(scale));
}

// A block's walk over panels. Values of a step are added up when the scores of the next one are made, not on
// the heels of the vectors that write weights: 4 % where masks are bits, nothing elsewhere.
class Walk {
 public:
  explicit Walk(const Forward<Bfloat16>& block) : x_(block), w_(block) {
    begin(w_);
    std::memset(w_.scores, 0, sizeof(float) * kHalfScores * 3 / 2);  // rows beyond the last too
    tiles_.configure(kShapes);
  }
  void panel(int64_t tile);
  bool finish();

 private:
  void make_scores(const Step& step);
  void add_values();

  const Forward<Bfloat16>& x_;
  Work w_;
  matrix::Tiles tiles_;
  const Bfloat16* weights_;  // of the step whose values are to be added
  int64_t row_, key_, cells_ = 0;
};

void Walk::make_scores(const Step& step) {
  const int64_t width = x_.q_row;
  const Bfloat16* q = whole_cell(x_.q, step.row, x_.rows, width, w_.last);
  for (int64_t cell = step.first; cell < step.last; ++cell) {
    if (!step.any(cell)) continue;  // what stands there is masked
    const int64_t tile = step.tile + cell / kHalves;
    products(tiles_, q, width, x_.keys + tile * kTile * width, cell % kHalves * kCell,
             w_.scores + cell * kCell, kPanel);
  }
}

// Sums of values += weights times values.
void Walk::add_values() {
  const int64_t width = x_.value_row;
  for (int64_t j = 0; j < width && cells_; j += kCell) {
    float* sums = w_.values + row_ * width + j;
    load_sums(tiles_, sums, width);
    for (int64_t cell = 0; cell < cells_; ++cell)
      multiply(tiles_, tiles_at(weights_ + cell * 2 * kTileSize),
               {x_.values + (key_ + cell * kCell) * width + 2 * j, 2 * width, kCell});
    store_sums(tiles_, sums, width);
  }
  cells_ = 0;
}

void Walk::panel(int64_t tile) {
  BlockWords words[kPanelTiles];
  for (int64_t t = 0; t < kPanelTiles; ++t) read_words(x_.mask, 0, x_.rows, tile + t, x_.k_len, words[t]);
  for (int64_t i = 0; i * kCell < x_.rows; ++i) {
    const Step step(x_, words, i, tile);
    if (step.first >= step.last) continue;
    make_scores(step);
    add_values();
    if (x_.bias.data)
      for (int64_t cell = step.first; cell < step.last; ++cell)
        add_bias(x_, step.row, tile * kTile + cell * kCell, w_.scores + cell * kCell, kPanel);
    weigh(x_, w_, step);
    weights_ = w_.rounded + step.first * 2 * kTileSize, row_ = step.row;
    key_ = tile * kTile + step.first * kCell, cells_ = step.last - step.first;
  }
}

bool Walk::finish() {
  add_values();
  tiles_.release();
  return attention::KXFAST_ISA::finish(x_, w_);
}

}  // namespace

bool attend(const Forward<Bfloat16>& block) {
  Walk walk(block);
  const Tiles run = tiles_of(block.mask, block.rows, block.k_len);
  for (int64_t tile = run.first / kPanelTiles * kPanelTiles; tile < run.last; tile += kPanelTiles)
    walk.panel(tile);
  return walk.finish();
}

}  // namespace kxfast::attention::KXFAST_ISA
