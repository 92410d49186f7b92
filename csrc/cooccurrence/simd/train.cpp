// One record (i, j, PMI, f): e = <v_i, c_j> - PMI, gradients f e c_j and f e v_i, an AdaGrad step for each.
//
// The two vectors and their accumulators are read once, the moves wait in two short buffers until their sums
// are known to be finite, and are then applied. Everything is element-wise over the dimension but the inner
// product, whose eight partial sums have a fixed order, so all instruction sets give the same bits. Square
// roots and divisions are the limit (two of each for an element); records follow one another, as the result
// depends on their order.
#include "cooccurrence/train.hpp"

namespace kxfast::cooccurrence::KXFAST_ISA {
namespace {

double dot(const double* a, const double* b, int64_t n) {
  constexpr int kLanes = 8;
  double lanes[kLanes] = {};
  int64_t k = 0;
  for (; k + kLanes <= n; k += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += a[k + lane] * b[k + lane];
  for (int half = kLanes / 2; half; half /= 2)
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  for (; k < n; ++k) lanes[0] += a[k] * b[k];
  return lanes[0];
}

// move = eta g / sqrt(G + g^2 + 1e-8) with g = q x. False if one is not finite: x - x is 0 for finite x
// alone.
bool find_moves(const double* x, const double* seen, double q, double eta, int64_t n,
                double* __restrict move) {
  for (int64_t k = 0; k < n; ++k) {
    const double g = q * x[k];
    move[k] = eta * g / __builtin_sqrt(seen[k] + g * g + 1e-8);
  }
  double wrong = 0;
  for (int64_t k = 0; k < n; ++k) wrong += move[k] - move[k];
  return wrong == 0;
}

}  // namespace

double train_records(const Records& records, int64_t begin, int64_t end, const Model& model, double eta,
                     double* moves) {
  const int64_t n = model.dim;
  double cost = 0;
  for (int64_t r = begin; r < end; ++r) {
    double *v = model.vectors + records.rows[r] * n, *c = model.contexts + records.columns[r] * n;
    double* seen_v = model.seen_vectors + records.rows[r] * n;
    double* seen_c = model.seen_contexts + records.columns[r] * n;
    const double e = dot(v, c, n) - records.values[r], q = records.weights[r] * e;
    if (!(e - e == 0) || !(q - q == 0)) continue;
    cost += 0.5 * q * e;
    double *move_v = moves, *move_c = moves + n;
    if (!find_moves(c, seen_v, q, eta, n, move_v) || !find_moves(v, seen_c, q, eta, n, move_c)) continue;
    for (int64_t k = 0; k < n; ++k) {
      const double g_v = q * c[k], g_c = q * v[k];
      seen_v[k] += g_v * g_v;
      seen_c[k] += g_c * g_c;
      v[k] -= move_v[k];
      c[k] -= move_c[k];
    }
  }
  return cost;
}

}  // namespace kxfast::cooccurrence::KXFAST_ISA
