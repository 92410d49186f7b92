// W v, W' u, and both in one read (u = W v - before, t += W' u) for a row-major W (rows, cols).
// Vectors are of W's type, or doubles beside a W of floats: half the traffic, and exact products.
//
// All walk W row by row, so memory is read once, in order, and bandwidth is the limit from L2 on: what counts
// is the number of reads. The fused form takes four rows, which stay in the L1 or L2 cache between their
// inner products with v and their addition to t. Four rows at a time are four streams of memory: one row
// after another took a fifth longer. So did a sum that goes on while their inner products are formed. Of
// the next four rows two are asked for while inner products are formed and two while rows are added to t: a
// sixth less time for matrices in the L3 cache; all four in the second loop, or three and one, gained less.
// Of long rows only two are asked for, while rows are added to t, and to the L2 cache, since four of them and
// the vectors do not fit into L1: 4 % less for 1024 x 4096, 0.56 of whose 0.62 ms it takes to read 16 MB; of
// short rows this lost. Inner products keep 2 x 64 bytes of partial sums of each row in a fixed order: the
// same bits on every instruction set, since nothing is contracted to a fused multiply-add. Four rows at a
// time are added to t, which is read and written once for them.
#include <cstring>

#include "lipschitz/kernels.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

constexpr int64_t kLong = 8 << 10;  // bytes of a row: four of them and the vectors leave the L1 cache

// Registers of V, and as many elements of T.
template <class T, class V>
struct Lanes {
  static constexpr int64_t kWidth = 64 / sizeof(V);
  typedef V Vector __attribute__((vector_size(64), aligned(sizeof(V)), may_alias));
  typedef T Source __attribute__((vector_size(sizeof(T) * kWidth), aligned(sizeof(T)), may_alias));
};

// Eight floats as doubles: GCC 12 takes __builtin_convertvector apart. A macro, for a function that returned
// a register wider than the set has would have no fixed ABI.
#if defined(__AVX512F__)
inline Lanes<double, double>::Vector widened(const Lanes<float, double>::Source* from) {
  return _mm512_maskz_cvtps_pd(0xFF, _mm256_loadu_ps(reinterpret_cast<const float*>(from)));
}
#define KXFAST_WIDENED(L, from) widened(from)
inline Lanes<double, double>::Vector widened(const Lanes<double, double>::Source* from) {
  return *from;
}
inline Lanes<float, float>::Vector widened(const Lanes<float, float>::Source* from) {
  return *from;
}
#else
#define KXFAST_WIDENED(L, from) __builtin_convertvector(*(from), typename L::Vector)
#endif

// The sum of a register, by halves: kept in registers, where a loop over its elements went through memory.
template <class V, size_t BYTES = 64>
inline V total(const void* from) {
  if constexpr (BYTES == sizeof(V)) {
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
  } else {
    typedef V Half __attribute__((vector_size(BYTES / 2)));
    Half low, high;
    std::memcpy(&low, from, sizeof low);
    std::memcpy(&high, static_cast<const char*>(from) + sizeof low, sizeof high);
    low += high;
    return total<V, BYTES / 2>(&low);
  }
}

// Inner products of ROWS rows with b, each in two chains: several rows at once are as many streams of memory.
template <int ROWS, bool AHEAD, class T, class V>
void dots(const T* a, int64_t stride, const V* b, int64_t n, V* out) {
  using L = Lanes<T, V>;
  using Vector = typename L::Vector;
  using Source = typename L::Source;
  constexpr int64_t kWidth = L::kWidth, kStep = 2 * kWidth, kLine = 64 / sizeof(T);
  Vector even[ROWS] = {}, odd[ROWS] = {};
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    const Vector low = *reinterpret_cast<const Vector*>(b + i);
    const Vector high = *reinterpret_cast<const Vector*>(b + i + kWidth);
    if constexpr (AHEAD)
      for (int64_t k = i; k < i + kStep; k += kLine)
        for (const int64_t row : {4, 5}) __builtin_prefetch(a + row * stride + k);
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r) {
      even[r] += KXFAST_WIDENED(L, reinterpret_cast<const Source*>(a + r * stride + i)) * low;
      odd[r] += KXFAST_WIDENED(L, reinterpret_cast<const Source*>(a + r * stride + i + kWidth)) * high;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < ROWS; ++r) {
    Vector sum = even[r] + odd[r];
    if (i < n) {
      V lanes[kWidth];
      for (int64_t k = 0; k < kWidth; ++k) lanes[k] = sum[k];
      for (int64_t k = i; k < n; ++k) lanes[k % kWidth] += static_cast<V>(a[r * stride + k]) * b[k];
      sum = *reinterpret_cast<const Vector*>(lanes);
    }
    out[r] = total<V>(&sum);
  }
}

template <bool LONG, class T, class V>
void multiply(const T* w, int64_t rows, int64_t cols, const V* v, V* out) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) dots<4, !LONG>(w + i * cols, cols, v, cols, out + i);
  for (; i < rows; ++i) dots<1, false>(w + i * cols, cols, v, cols, out + i);
}

template <bool LONG, class T, class V>
void accumulate(const T* w, int64_t rows, int64_t cols, const V* u, V* __restrict out) {
  constexpr int64_t kLine = 64 / sizeof(T);
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const T *a = w + i * cols, *b = a + cols, *c = b + cols, *d = c + cols;
    const V ua = u[i], ub = u[i + 1], uc = u[i + 2], ud = u[i + 3];
    const auto add = [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j)
        out[j] += (ua * static_cast<V>(a[j]) + ub * static_cast<V>(b[j])) +
                  (uc * static_cast<V>(c[j]) + ud * static_cast<V>(d[j]));
    };
    int64_t j = 0;
    for (; j + kLine <= cols; j += kLine) {
      for (const T* row : {c, d}) __builtin_prefetch(row + 4 * cols + j, 0, LONG ? 2 : 3);
      add(j, j + kLine);
    }
    add(j, cols);
  }
  for (; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) out[j] += u[i] * static_cast<V>(w[i * cols + j]);
}

template <bool LONG, class T, class V>
void multiply_and_back(const T* w, int64_t rows, int64_t cols, const V* v, const V* before, V* u, V* t) {
  for (int64_t i = 0; i < rows; i += 4) {
    const int64_t count = rows - i < 4 ? rows - i : 4;
    multiply<LONG>(w + i * cols, count, cols, v, u + i);
    if (before)
      for (int64_t k = i; k < i + count; ++k) u[k] -= before[k];
    accumulate<LONG>(w + i * cols, count, cols, u + i, t);
  }
}

// Sizes are compared in T, two registers of doubles or one of floats at a time; squares are summed in double.
template <class T>
Extent survey_of(const T* a, int64_t n) {
  using L = Lanes<T, T>;
  using Wide = Lanes<T, double>;
  constexpr int64_t kWidth = L::kWidth, kChains = 2, kEach = kWidth / Wide::kWidth;
  typename L::Vector best[kChains] = {};
  typename Wide::Vector sum[kChains * kEach] = {};
  int64_t i = 0;
  for (; i + kChains * kWidth <= n; i += kChains * kWidth)
#pragma GCC unroll 2
    for (int64_t k = 0; k < kChains; ++k) {
      const T* from = a + i + k * kWidth;
      const auto x = *reinterpret_cast<const typename L::Vector*>(from);
      const typename L::Vector size = x < 0 ? -x : x;
      best[k] = size > best[k] ? size : best[k];
#pragma GCC unroll 2
      for (int64_t h = 0; h < kEach; ++h) {
        const typename Wide::Vector y =
            KXFAST_WIDENED(Wide, reinterpret_cast<const typename Wide::Source*>(from + h * Wide::kWidth));
        sum[k * kEach + h] += y * y;
      }
    }
  Extent all{0, 0};
  for (int64_t k = 0; k < kChains; ++k)
    for (int64_t j = 0; j < kWidth; ++j)
      all.largest = best[k][j] > all.largest ? static_cast<double>(best[k][j]) : all.largest;
  for (const auto& each : sum)
    for (int64_t j = 0; j < Wide::kWidth; ++j) all.squares += each[j];
  for (; i < n; ++i) {
    const double x = static_cast<double>(a[i]), size = x < 0 ? -x : x;
    all.largest = size > all.largest ? size : all.largest;
    all.squares += x * x;
  }
  return all;
}

}  // namespace

#define KXFAST_DEFINE(T, V)                                                                                 \
  void rows_times_vector(const T* w, int64_t rows, int64_t cols, const V* v, V* out) {                      \
    multiply<false>(w, rows, cols, v, out);                                                                 \
  }                                                                                                         \
  void add_weighted_rows(const T* w, int64_t rows, int64_t cols, const V* u, V* out) {                      \
    accumulate<false>(w, rows, cols, u, out);                                                               \
  }                                                                                                         \
  void rows_and_back(const T* w, int64_t rows, int64_t cols, const V* v, const V* before, V* u, V* t) {     \
    const bool far = cols * static_cast<int64_t>(sizeof(T)) >= kLong;                                       \
    (far ? multiply_and_back<true, T, V> : multiply_and_back<false, T, V>)(w, rows, cols, v, before, u, t); \
  }
KXFAST_DEFINE(float, float)
KXFAST_DEFINE(double, double)
KXFAST_DEFINE(float, double)
#undef KXFAST_DEFINE

Extent survey(const float* a, int64_t n) {
  return survey_of(a, n);
}
Extent survey(const double* a, int64_t n) {
  return survey_of(a, n);
}

}  // namespace kxfast::lipschitz::KXFAST_ISA
