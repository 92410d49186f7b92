// One step of power iteration per layer with one read of its weight, then the scaled weight with another.
//
// As in power_iteration.cpp, W'u is taken with the u that is not yet normalised. The second read is of a
// weight that is still in the L2 cache for layers up to a megabyte; of larger ones the last part is there,
// which is why it goes backwards (8 % for layers of 2 MB). For them it, and the write, are two thirds of the
// traffic, which the mode "scale_only" saves. Bandwidth is the limit: one core of a Xeon moves 29.7 GB/s from
// its L3 cache however it asks, line by line or ahead, and a line that is written counts like one that is
// read: 0.28 of the 0.30 ms for 16 layers of 256 x 256, and 1.69 of the 1.72 ms for one of 1024 x 4096 (loops
// of their own, timed by hand; bench_lipschitz.py times a step beside NumPy and torch that only move what it
// moves). No less for the latter: results through the caches (1 % faster on one thread, 3 % slower on two),
// by string moves, by direct stores, or half of the lines each way; pieces in the order in which each thread
// has them in its cache, or past the caches only while the weight is in L2; dots and sums of rows in one
// loop.
#include "lipschitz/normalize.hpp"

#include "lipschitz/rows.hpp"

namespace kxfast::lipschitz {

constexpr int64_t kPiece = 1 << 16;  // elements that one task scales

// Whether a result is better written past the caches.
template <class T>
bool beyond_caches(int64_t size) {
  return size * static_cast<int64_t>(sizeof(T)) >= (8 << 20);
}

template <class T>
double normalize_step(const T* w, int64_t rows, int64_t cols, const T* start, T* u, T* v, T* next,
                      int64_t n_iter, Job& job) {
  if (rows == 0 || cols == 0) {
    if (n_iter > 0) std::fill_n(u, rows, T{0}), std::fill_n(v, cols, T{0});  // W v and W'u
    return 0;
  }
  constexpr T kLeast = static_cast<T>(1e-12);
  const Blocks<T, T> blocks(w, rows, cols, 0);
  if (n_iter == 0) {
    Buffer<T> product(static_cast<size_t>(rows));
    blocks.times(start, product.data());
    double sigma = 0;
    for (int64_t i = 0; i < rows; ++i)
      sigma += static_cast<double>(u[i]) * static_cast<double>(product[static_cast<size_t>(i)]);
    return sigma;
  }
  double sigma = 0;
  for (int64_t step = 0; step < n_iter && job.advance(0); ++step) {
    blocks.there_and_back(step ? v : start, nullptr, u, next);
    const T size = std::max(length(u, rows), kLeast), back = length(next, cols);
    sigma = static_cast<double>(back) / static_cast<double>(size);
    for (int64_t i = 0; i < rows; ++i) u[i] /= size;
    const T by = std::max(static_cast<T>(sigma), kLeast) * size;
    for (int64_t j = 0; j < cols; ++j) v[j] = next[j] / by;
  }
  return sigma;
}

template <class T>
void scale(const T* w, int64_t size, T factor, T* out) {
  using Kernel = void (*)(const T*, int64_t, T, T*, bool);
  const auto kernel = KXFAST_PICK(Kernel, scaled);
  const bool past = w != out && beyond_caches<T>(size);
  const int64_t pieces = (size + kPiece - 1) / kPiece;
  const auto task = [&](int64_t i) {
    const int64_t begin = (pieces - 1 - i) * kPiece;  // backwards: a step read the last piece last
    kernel(w + begin, std::min(size - begin, kPiece), factor, out + begin, past);
  };
  parallel_for(pieces, task);
}

namespace {

// <a, b>: sums of pieces, in their order, so that the number of threads does not matter.
template <class T>
double product(const T* a, const T* b, int64_t size) {
  using Kernel = double (*)(const T*, const T*, int64_t);
  const auto kernel = KXFAST_PICK(Kernel, inner);
  if (size <= kPiece) return kernel(a, b, size);
  Buffer<double> sums(static_cast<size_t>((size + kPiece - 1) / kPiece));
  const auto task = [&](int64_t i) {
    const int64_t begin = i * kPiece;
    sums[static_cast<size_t>(i)] = kernel(a + begin, b + begin, std::min(size - begin, kPiece));
  };
  parallel_for(static_cast<int64_t>(sums.size()), task);
  double sum = 0;
  for (const double each : sums) sum += each;
  return sum;
}

}  // namespace

template <class T>
double normalize_gradient(const T* g, const T* w, int64_t rows, int64_t cols, const T* u, const T* v,
                          double divisor, double slope, T* out) {
  const int64_t size = rows * cols;
  if (slope == 0 || size == 0) {
    scale(g, size, static_cast<T>(1 / divisor), out);
    return 0;
  }
  const double inner = product(g, w, size);
  const T by = static_cast<T>(1 / divisor), weight = static_cast<T>(slope * inner / (divisor * divisor));
  using Kernel = void (*)(const T*, int64_t, int64_t, T, const T*, T, const T*, T*, bool);
  const auto kernel = KXFAST_PICK(Kernel, scaled_less_outer);
  const int64_t height = std::max<int64_t>(1, kPiece / cols);
  const auto task = [&](int64_t i) {
    const int64_t row = i * height;
    kernel(g + row * cols, std::min(rows - row, height), cols, by, u + row, weight, v, out + row * cols,
           beyond_caches<T>(size));
  };
  parallel_for((rows + height - 1) / height, task);
  return inner;
}

namespace {

template <class T>
std::vector<int64_t> sizes_of(const std::vector<Layer<T>>& layers) {
  std::vector<int64_t> sizes;
  for (const Layer<T>& each : layers) sizes.push_back(each.rows * each.cols);
  return sizes;
}

double factor_of(double sigma, double coeff, bool hard) {
  if (!(sigma > 0)) return 1;
  return hard ? coeff / sigma : std::fmin(1.0, coeff / sigma);
}

}  // namespace

template <class T>
int64_t state_size(const std::vector<Layer<T>>& layers) {
  int64_t size = 0;
  for (const Layer<T>& each : layers) size += each.rows + each.cols;
  return size;
}

template <class T>
bool normalize_layers(std::vector<Layer<T>>& layers, double coeff, int64_t n_iter, bool hard, T* state,
                      Job& job) {
  Buffer<T> room(static_cast<size_t>(state_size(layers)));  // for the next v of each, where its v is
  std::vector<T*> moved(layers.size());
  const T* const first = state;
  bool in_place = false, finite = true;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer<T>& each = layers[i];
    moved[i] = state;
    if (n_iter == 0) std::copy_n(each.v, each.cols, std::copy_n(each.u, each.rows, state));
    state += each.rows + each.cols;
    in_place = in_place || each.out == each.w;
  }
  const std::vector<int64_t> sizes = sizes_of(layers);
  const auto write = [&](size_t i) {
    const Layer<T>& each = layers[i];
    if (each.out && std::isfinite(each.sigma)) scale(each.w, sizes[i], static_cast<T>(each.factor), each.out);
  };
  each_layer(sizes, [&](size_t i) {
    Layer<T>& each = layers[i];
    T *u = moved[i], *v = u + each.rows;
    each.sigma =
        normalize_step(each.w, each.rows, each.cols, each.v, u, v, room.data() + (v - first), n_iter, job);
    each.factor = factor_of(each.sigma, coeff, hard);
    if (!in_place && !job.stopped()) write(i);  // while the weight is in the cache
  });
  for (const Layer<T>& each : layers) finite = finite && std::isfinite(each.sigma);
  if (!finite || job.stopped()) return false;
  if (in_place) each_layer(sizes, write);
  for (size_t i = 0; i < layers.size(); ++i) {
    Layer<T>& each = layers[i];
    std::copy_n(moved[i], each.rows, each.u);
    std::copy_n(moved[i] + each.rows, each.cols, each.v);
  }
  return true;
}

template <class T>
void normalize_gradients(std::vector<Layer<T>>& layers, double coeff, bool hard, double extra) {
  each_layer(sizes_of(layers), [&](size_t i) {
    Layer<T>& each = layers[i];
    const bool active = each.sigma > 0 && (hard || each.sigma > coeff);
    const double divisor = (active ? each.sigma / coeff : 1) + extra, slope = active ? 1 / coeff : 0;
    each.inner =
        normalize_gradient(each.grad, each.w, each.rows, each.cols, each.u, each.v, divisor, slope, each.out);
  });
}

template double normalize_step(const float*, int64_t, int64_t, const float*, float*, float*, float*, int64_t,
                               Job&);
template double normalize_step(const double*, int64_t, int64_t, const double*, double*, double*, double*,
                               int64_t, Job&);
template void scale(const float*, int64_t, float, float*);
template void scale(const double*, int64_t, double, double*);
template double normalize_gradient(const float*, const float*, int64_t, int64_t, const float*, const float*,
                                   double, double, float*);
template double normalize_gradient(const double*, const double*, int64_t, int64_t, const double*,
                                   const double*, double, double, double*);
template int64_t state_size(const std::vector<Layer<float>>&);
template int64_t state_size(const std::vector<Layer<double>>&);
template bool normalize_layers(std::vector<Layer<float>>&, double, int64_t, bool, float*, Job&);
template bool normalize_layers(std::vector<Layer<double>>&, double, int64_t, bool, double*, Job&);
template void normalize_gradients(std::vector<Layer<float>>&, double, bool, double);
template void normalize_gradients(std::vector<Layer<double>>&, double, bool, double);

}  // namespace kxfast::lipschitz
