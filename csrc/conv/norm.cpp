// Normalisation over channels and its gradient. Sums over rows are made per block of 64 rows and then in
// block order, so that they do not depend on the number of threads.
#include "conv/norm.hpp"

#include <cmath>

namespace kxfast::conv {
namespace {

constexpr double kEpsilon = 1e-7;
constexpr int64_t kBlock = 64;

// Sums in double: a row is short, and its variance must not cancel.
template <class T>
void moments(const T* u, int64_t n, double& mean, double& deviation) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(u[i]);
  mean = sum / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) {
    const double centred = static_cast<double>(u[i]) - mean;
    squares += centred * centred;
  }
  deviation = std::sqrt(squares / static_cast<double>(n) + kEpsilon);
}

// One row of dz, and its share of the sums for gamma, beta and alpha. `work` has room for 3 n.
template <class T>
void row_backward(const Layer<T>& layer, const Panels& panels, const T* scale, const T* dy, T* dz,
                  double* sums, T* work) {
  const int64_t n = layer.out;
  T *u = work, *normal = work + n, *dnormal = work + 2 * n;
  for (int64_t p = 0; p < panels.count(); ++p)
    for (int64_t i = 0, first = panels.first(p); i < panels.width(p); ++i)
      u[first + i] = dz[2 * first + i] * dz[2 * first + panels.padded(p) + i];
  double mean, deviation, even = 0, along = 0;
  moments(u, n, mean, deviation);
  for (int64_t i = 0; i < n; ++i) {
    normal[i] = static_cast<T>((static_cast<double>(u[i]) - mean) / deviation);
    const T dn = layer.alpha * dy[i];
    sums[i] += static_cast<double>(dn * normal[i]);
    sums[n + i] += static_cast<double>(dn);
    sums[2 * n] += static_cast<double>(dy[i] * (normal[i] * layer.gamma[i] + layer.beta[i]));
    dnormal[i] = dn * layer.gamma[i];
    even += static_cast<double>(dnormal[i]);
    along += static_cast<double>(dnormal[i] * normal[i]);
  }
  const T middle = static_cast<T>(even / static_cast<double>(n)),
          slope = static_cast<T>(along / static_cast<double>(n));
  for (int64_t p = 0; p < panels.count(); ++p) {
    const int64_t first = panels.first(p), padded = panels.padded(p), width = panels.width(p);
    T *c = dz + 2 * first, *g = c + padded;
    for (int64_t i = 0; i < width; ++i) {
      const int64_t o = first + i;
      const T du = (dnormal[o] - middle - normal[o] * slope) / static_cast<T>(deviation), opens = g[i];
      g[i] = du * c[i] * opens * (T{1} - opens) * (scale ? scale[o] : T{1});
      c[i] = du * opens;
    }
    std::fill(c + width, c + padded, T{0});
    std::fill(g + width, g + padded, T{0});
  }
}

}  // namespace

template <class T>
void normalize(const Layer<T>& layer, const Rows& rows, const T* const* skip, T* y) {
  const int64_t n = layer.out;
  const auto task = [&](int64_t block) {
    for (int64_t i = block * kBlock; i < std::min(rows.count, (block + 1) * kBlock); ++i) {
      T* u = y + *rows.number(i) * n;
      double mean, deviation;
      moments(u, n, mean, deviation);
      const double inverse = 1 / deviation;
      for (int64_t o = 0; o < n; ++o) {
        const T normal = static_cast<T>((static_cast<double>(u[o]) - mean) * inverse);
        u[o] = skip[i][o] + layer.alpha * (normal * layer.gamma[o] + layer.beta[o]);
      }
    }
  };
  parallel_for((rows.count + kBlock - 1) / kBlock, task);
}

template <class T>
void normalize_backward(const Layer<T>& layer, const Rows& rows, const Panels& panels, const T* scale,
                        const T* dy, T* dz, int64_t dz_stride, const Gradients<T>& gradients) {
  const int64_t n = layer.out, blocks = (rows.count + kBlock - 1) / kBlock, each = 2 * n + 1;
  Buffer<double> sums(static_cast<size_t>(blocks * each));
  Buffer<T> work(static_cast<size_t>(blocks * 3 * n));
  const auto task = [&](int64_t block) {
    double* mine = sums.data() + block * each;
    std::fill(mine, mine + each, 0.0);
    for (int64_t i = block * kBlock; i < std::min(rows.count, (block + 1) * kBlock); ++i) {
      const int64_t row = *rows.number(i);
      row_backward(layer, panels, scale ? scale + row * n : nullptr, dy + row * n, dz + row * dz_stride, mine,
                   work.data() + block * 3 * n);
    }
  };
  parallel_for(blocks, task);
  const auto total = [&](int64_t i) {
    double sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += sums[static_cast<size_t>(block * each + i)];
    return static_cast<T>(sum);
  };
  for (int64_t o = 0; o < n; ++o) gradients.dgamma[o] += total(o), gradients.dbeta[o] += total(n + o);
  *gradients.dalpha += total(2 * n);
}

#define KXFAST_INSTANTIATE(T)                                                                           \
  template void normalize(const Layer<T>&, const Rows&, const T* const*, T*);                           \
  template void normalize_backward(const Layer<T>&, const Rows&, const Panels&, const T*, const T*, T*, \
                                   int64_t, const Gradients<T>&);
KXFAST_INSTANTIATE(float)
KXFAST_INSTANTIATE(double)
#undef KXFAST_INSTANTIATE

}  // namespace kxfast::conv
