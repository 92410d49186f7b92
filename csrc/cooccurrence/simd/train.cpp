// One record (i, j, PMI, f): e = <v_i, c_j> - PMI, gradients f e c_j and f e v_i, an AdaGrad step for each.
//
// Rows are padded to registers of 64 bytes, and the innermost loop is over the registers of two rows and of
// their accumulators. The first pass is the inner product; the second makes all moves and keeps them in a
// short buffer until it is known that they are finite; the third applies them. A float's 1 / sqrt(G) comes
// from an integer's guess and three steps of Newton's method (to two units in the last place):
// multiplications only, where the processor's own square root and division took most of the time. In double,
// where the reference is followed, they are used. All is element-wise but the inner product, whose partial
// sums have a fixed order, so all instruction sets give the same bits. The limit is the second pass: some 30
// operations for each register. Records follow one another, as the result depends on their order; their order
// by blocks of words (see trainer.cpp) keeps the rows in the L2 cache.
#include "cooccurrence/train.hpp"

namespace kxfast::cooccurrence::KXFAST_ISA {
namespace {

typedef float Floats __attribute__((vector_size(64), may_alias));
typedef int32_t Ints __attribute__((vector_size(64), may_alias));
typedef double Doubles __attribute__((vector_size(64), may_alias));

template <class Real>
struct Registers;
template <>
struct Registers<float> {
  typedef Floats Type;
  static constexpr int64_t kLanes = 16;
};
template <>
struct Registers<double> {
  typedef Doubles Type;
  static constexpr int64_t kLanes = 8;
};

// x becomes 1 / sqrt(x). (Vectors are passed by reference: by value their passing would depend on the
// target.)
inline void invert_root(Floats& x) {
  Floats y = (Floats)(0x5F375A86 - ((Ints)x >> 1));
  const Floats half = 0.5f * x;
  y = y * (1.5f - half * y * y);
  y = y * (1.5f - half * y * y);
  x = y * (1.5f - half * y * y);
}

inline void invert_root(Doubles& x) {
  for (int k = 0; k < 8; ++k) x[k] = 1.0 / __builtin_sqrt(x[k]);
}

template <class Real>
inline Real sum(const typename Registers<Real>::Type& lanes) {
  typename Registers<Real>::Type x = lanes;
  for (int64_t half = Registers<Real>::kLanes / 2; half; half /= 2)
    for (int64_t lane = 0; lane < half; ++lane) x[lane] += x[lane + half];
  return x[0];
}

template <class Real>
double train(const Record<Real>* record, const Record<Real>* end, const Model<Real>& model, Real* moves) {
  typedef typename Registers<Real>::Type Vector;
  const int64_t registers = model.width / Registers<Real>::kLanes;
  double cost = 0;
  for (; record != end; ++record) {
    const int64_t row = record->row * model.width, column = record->column * model.width;
    Vector* v = reinterpret_cast<Vector*>(model.vectors + row);
    Vector* c = reinterpret_cast<Vector*>(model.contexts + column);
    Vector* seen_v = reinterpret_cast<Vector*>(model.seen_vectors + row);
    Vector* seen_c = reinterpret_cast<Vector*>(model.seen_contexts + column);
    Vector* move = reinterpret_cast<Vector*>(moves);
    Vector product = v[0] * c[0];
    for (int64_t k = 1; k < registers; ++k) product += v[k] * c[k];
    const Real e = sum<Real>(product) - record->value, q = record->weight * e;
    if (!(e - e == 0) || !(q - q == 0)) continue;
    cost += 0.5 * static_cast<double>(q) * static_cast<double>(e);
    const Real tiny = static_cast<Real>(1e-8);
    Vector wrong = product - product;  // stays 0 while all is finite: x - x is 0 for finite x alone
    for (int64_t k = 0; k < registers; ++k) {
      const Vector g_v = q * c[k], g_c = q * v[k];
      Vector root_v = seen_v[k] + g_v * g_v + tiny, root_c = seen_c[k] + g_c * g_c + tiny;
      invert_root(root_v);
      invert_root(root_c);
      const Vector move_v = model.eta * g_v * root_v, move_c = model.eta * g_c * root_c;
      move[2 * k] = move_v;
      move[2 * k + 1] = move_c;
      wrong += (move_v - move_v) + (move_c - move_c);
    }
    if (sum<Real>(wrong) != 0) continue;  // NaN too
    for (int64_t k = 0; k < registers; ++k) {
      const Vector g_v = q * c[k], g_c = q * v[k];
      seen_v[k] += g_v * g_v;
      seen_c[k] += g_c * g_c;
      v[k] -= move[2 * k];
      c[k] -= move[2 * k + 1];
    }
  }
  return cost;
}

}  // namespace

double train_records(const Record<float>* begin, const Record<float>* end, const Model<float>& model,
                     float* moves) {
  return train(begin, end, model, moves);
}

double train_records(const Record<double>* begin, const Record<double>* end, const Model<double>& model,
                     double* moves) {
  return train(begin, end, model, moves);
}

}  // namespace kxfast::cooccurrence::KXFAST_ISA
