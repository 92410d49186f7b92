// Kernels of the stem lipschitz, one set per instruction set.
#pragma once

#include <cstdint>

#include "core/isa.hpp"
#include "core/job.hpp"

namespace kxfast::lipschitz {

// A matrix of doubles: element (i, j) is data[i * stride + j], and of a complex one the imaginary part is
// `plane` further on.
struct Planes {
  double* data;
  int64_t stride, plane;
  Planes at(int64_t i, int64_t j) const { return {data + i * stride + j, stride, plane}; }
};

// A stride for n columns that is an odd number of cache lines: rows a power of two apart would fall into few
// sets of the cache.
template <class T = double>
int64_t odd_lines(int64_t n) {
  constexpr int64_t kLine = 64 / sizeof(T);
  return ((n + kLine - 1) / kLine | 1) * kLine;
}

// activation.cpp: f(z) to y and f'(z) to slope, where they are not null.
enum class Curve : int { tanh, elu, relu, leaky_relu, softplus, lipswish, sigmoid };

// The largest size of an entry, and the sum of all squares, rounded.
struct Extent {
  double largest, squares;
};

// matvec.cpp: each adds to `t`, where it has one; rows_and_back also sets u = W v - before (none if null).
// scaling.cpp: out = a x + b y (without y where it is null, kept nowhere where out is null) and the sum of
// its squares; out = w by, and out = g by - weight u v' for a row-major g (rows, cols); `past` the caches,
// else out may be w or g.
#define KXFAST_DECLARE_SCALING(T)                                                                        \
  double mix(const T* x, T a, const T* y, T b, int64_t n, T* out);                                       \
  double inner(const T* a, const T* b, int64_t n);                                                       \
  void scaled(const T* w, int64_t n, T by, T* out, bool past);                                           \
  void scaled_less_outer(const T* g, int64_t rows, int64_t cols, T by, const T* u, T weight, const T* v, \
                         T* out, bool past);

#define KXFAST_DECLARE_TYPES(T, V)                                                  \
  void rows_times_vector(const T* w, int64_t rows, int64_t cols, const V* v, V* u); \
  void add_weighted_rows(const T* w, int64_t rows, int64_t cols, const V* u, V* t); \
  void rows_and_back(const T* w, int64_t rows, int64_t cols, const V* v, const V* before, V* u, V* t);

#define KXFAST_DECLARE_PATCHES(T)                                                                           \
  void spread_patch(const T* const* pixels, int64_t rows, int64_t channels, T* to, int64_t plane);          \
  void collect_patch(const T* from, int64_t plane, int64_t rows, int64_t channels, const T* bias,           \
                     int64_t high, int64_t wide, T* const* pixels);                                         \
  void spread_taps(const T* taps, int64_t high, int64_t wide, int64_t columns, const T* down, int64_t rows, \
                   const T* along, T* to, int64_t plane);

// tile.cpp, reduce.cpp, mixing.cpp: see there.
// patches.cpp: `rows` (1 or 6) by 6 pixels as values at as many points, `plane` apart; products at the points
// as high x wide pixels (null: left out); and taps (high, wide, columns) with the kernel's values at the
// points.
#define KXFAST_DECLARE(set)                                                                                 \
  namespace set {                                                                                           \
  KXFAST_DECLARE_TYPES(float, float)                                                                        \
  KXFAST_DECLARE_TYPES(double, double)                                                                      \
  KXFAST_DECLARE_TYPES(float, double)                                                                       \
  KXFAST_DECLARE_SCALING(float)                                                                             \
  KXFAST_DECLARE_SCALING(double)                                                                            \
  void activate(Curve curve, const float* z, int64_t n, float* y, float* slope);                            \
  void activate(Curve curve, const double* z, int64_t n, double* y, double* slope);                         \
  void multiply_by(float* x, const float* y, int64_t n);                                                    \
  void multiply_by(double* x, const double* y, int64_t n);                                                  \
  Extent survey(const float* a, int64_t n);                                                                 \
  Extent survey(const double* a, int64_t n);                                                                \
  void add_product(const double* a, int64_t a_stride, const double* b, int64_t b_stride, int64_t depth,     \
                   double* c, int64_t c_stride, int64_t rows, int64_t cols);                                \
  void add_product_of_floats(const float* a, int64_t a_stride, const float* b, int64_t b_stride,            \
                             int64_t depth, int64_t run, double* c, int64_t c_stride, int64_t rows,         \
                             int64_t cols);                                                                 \
  void subtract_gram(Planes a, Planes b, int64_t depth, Planes c, int64_t rows, int64_t cols);              \
  void solve_rows(Planes r, int64_t size, Planes c, int64_t cols);                                          \
  void combine(const double* h, int64_t h_stride, int64_t terms, const double* factors, double* out,        \
               int64_t out_stride, int64_t length);                                                         \
  int64_t lanes_together();                                                                                 \
  void tridiagonal(double* a, int64_t n, double* diagonal, double* beside, double* work);                   \
  void hermitian_times(Planes g, int64_t n, const double* x, double* y);                                    \
  void symmetric_times(const double* upper, int64_t stride, int64_t rows, int64_t n, const double* x,       \
                       double* y);                                                                          \
  void symmetric_times(const float* upper, int64_t stride, int64_t rows, int64_t n, const double* x,        \
                       double* y);                                                                          \
  double residual(const double* y, const float* g, const double* x, int64_t n, double* r);                  \
  double residual(const double* y, const double* g, const double* x, int64_t n, double* r);                 \
  void note_residual(const double* r, double by, int64_t n, float* last, const float* moved, float* change, \
                     float* along);                                                                         \
  void inner_products(const float* vectors, int64_t count, const float* v, int64_t n, double* products);    \
  void inner_products(const double* vectors, int64_t count, const double* v, int64_t n, double* products);  \
  void move_on(const double* r, const float* vectors, int64_t count, const double* weights, double unit,    \
               int64_t n, double* x, float* moved);                                                         \
  KXFAST_DECLARE_PATCHES(float)                                                                             \
  KXFAST_DECLARE_PATCHES(double)                                                                            \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE
#undef KXFAST_DECLARE_TYPES
#undef KXFAST_DECLARE_SCALING
#undef KXFAST_DECLARE_PATCHES

// digits_amx.cpp: a matrix as three or four digits of 8 bits, and products of these.
//
// An entry times a factor, rounded, is the sum of digit i times 256^(last - i), digits from -128 to 127.
// Those of number i are a plane of tiles: of 16 rows of the short side by 64 of the long one, up to
// kDigitsAlong one after another along it, strip after strip, then the next block of depth; and once more
// with the words of a tile transposed, as columns.
constexpr int64_t kDigits = 4, kStrip = 16, kAlong = 64, kTileBytes = kStrip * kAlong, kDigitsAlong = 32;

struct DigitPlanes {
  int8_t *rows, *columns;
  int64_t digits, plane;  // how many planes, bytes from one to the next
};

// Products of digits that count the same.
struct DigitPairs {
  int count, first[3], second[3];
  double weight;
};
constexpr int kGroups = 3;  // at most

struct DigitBlock {
  DigitPlanes planes;
  int64_t strip, along, columns;  // bytes to the next strip, tiles of one, pairs of strips
  const DigitPairs* pairs;
  int groups;
  double* g;
  int64_t stride;
  bool fresh;  // g is set, not added to
};

// to_digits: of rows `a` of T apart by `down`, elements by `along`; adds the squares of each plane's digits.
// add_digit_products: to rows of g from pairs of strips first .. last - 1, columns those of one pair.
#define KXFAST_DECLARE_DIGITS(set)                                                                    \
  namespace set {                                                                                     \
  void to_digits(const float* a, int64_t rows, int64_t cols, int64_t down, int64_t along, double by,  \
                 const DigitPlanes& to, int64_t* squares);                                            \
  void to_digits(const double* a, int64_t rows, int64_t cols, int64_t down, int64_t along, double by, \
                 const DigitPlanes& to, int64_t* squares);                                            \
  void add_digit_products(const DigitBlock& block, int64_t first, int64_t last, int64_t column);      \
  }
KXFAST_DECLARE_DIGITS(emulated)
#ifdef KXFAST_X86
KXFAST_DECLARE_DIGITS(amx)
#endif
#undef KXFAST_DECLARE_DIGITS

constexpr int64_t kTogether = 4;  // frequencies that combine() computes at a time

// `n_iter` steps v = normalize(W'u), u = normalize(W v) in place, then returns sigma = u' W v.
template <class T>
T power_iteration(const T* w, int64_t rows, int64_t cols, T* u, T* v, int64_t n_iter, T eps, Job& job);

}  // namespace kxfast::lipschitz
