// Layers forward and their derivatives, a batch at a time.
//
// A linear layer is a kernel on one pixel, so that all products run through convolution.cpp. Slopes of the
// activations are kept from the forward pass, in one array per layer: a derivative is then products and one
// multiplication per activation, done in place in pieces that the threads share. The series of a log-det
// takes all samples of a probe together, term by term.
#include "lipschitz/network.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr int64_t kPiece = 1 << 14;

template <class Body>
void in_pieces(int64_t size, Body&& body) {
  const auto task = [&](int64_t i) { body(i * kPiece, std::min(kPiece, size - i * kPiece)); };
  parallel_for((size + kPiece - 1) / kPiece, task);
}

template <class T>
Buffer<T> of_size(int64_t size) {
  return Buffer<T>(static_cast<size_t>(size));
}

}  // namespace

template <class T>
void Network<T>::add(const T* weight, const T* bias, const Moves& moves, bool filtered, bool forward) {
  Layer layer;
  layer.convolution = std::make_unique<Convolution<T>>(weight, moves, filtered, forward);
  layer.inputs = moves.cols(), layer.outputs = moves.rows();
  if (bias) {
    layer.bias = of_size<T>(moves.groups * moves.outputs);
    std::copy(bias, bias + layer.bias.size(), layer.bias.begin());
  }
  layers_.push_back(std::move(layer));
}

template <class T>
void Network<T>::add(int curve, int64_t size) {
  Layer layer;
  layer.curve = curve, layer.inputs = layer.outputs = size;
  layers_.push_back(std::move(layer));
}

template <class T>
Buffer<T> Network<T>::forward(const T* x, int64_t batch, Point* point, Exactness exactness) const {
  const auto activate = KXFAST_PICK(void (*)(Curve, const T*, int64_t, T*, T*), activate);
  Buffer<T> here;
  int64_t size = inputs() * batch;
  if (point) point->clear();
  for (const Layer& layer : layers_) {
    Buffer<T> slopes;
    const T* from = here.size() ? here.data() : x;
    Buffer<T> next = of_size<T>(layer.convolution ? layer.outputs * batch : size);
    if (layer.convolution) {
      layer.convolution->forward(from, layer.bias.size() ? layer.bias.data() : nullptr, next.data(), batch,
                                 exactness);
    } else {
      if (point) slopes = of_size<T>(size);
      T *to = next.data(), *slope = point ? slopes.data() : nullptr;
      if (layer.curve == kSorting)
        in_pieces(size / 2, [&](int64_t begin, int64_t count) {
          for (int64_t i = 2 * begin; i < 2 * (begin + count); i += 2) {
            const bool swap = from[i] < from[i + 1];
            to[i] = from[i + swap], to[i + 1] = from[i + 1 - swap];
            if (slope) slope[i] = slope[i + 1] = static_cast<T>(swap);
          }
        });
      else
        in_pieces(size, [&](int64_t begin, int64_t count) {
          activate(static_cast<Curve>(layer.curve), from + begin, count, to + begin,
                   slope ? slope + begin : nullptr);
        });
    }
    size = static_cast<int64_t>(next.size());
    here = std::move(next);
    if (point) point->push_back(std::move(slopes));
  }
  return here;
}

template <class T>
void Network<T>::apply_slopes(const Buffer<T>& slopes, const Layer& layer, Buffer<T>& x) const {
  const auto multiply = KXFAST_PICK(void (*)(T*, const T*, int64_t), multiply_by);
  T* data = x.data();
  const T* slope = slopes.data();
  const auto size = static_cast<int64_t>(x.size());
  if (layer.curve == kSorting)
    in_pieces(size / 2, [&](int64_t begin, int64_t count) {
      for (int64_t i = 2 * begin; i < 2 * (begin + count); i += 2)
        if (slope[i] != T{0}) std::swap(data[i], data[i + 1]);
    });
  else
    in_pieces(size, [&](int64_t begin, int64_t count) { multiply(data + begin, slope + begin, count); });
}

template <class T>
Buffer<T> Network<T>::push(const Point& point, const T* tangent, int64_t batch) const {
  Buffer<T> here = of_size<T>(inputs() * batch);
  std::copy(tangent, tangent + here.size(), here.begin());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    if (!layer.convolution) {
      apply_slopes(point[i], layer, here);
      continue;
    }
    Buffer<T> next = of_size<T>(layer.outputs * batch);
    layer.convolution->forward(here.data(), nullptr, next.data(), batch);
    here = std::move(next);
  }
  return here;
}

template <class T>
Buffer<T> Network<T>::pull(const Point& point, const T* cotangent, int64_t batch) const {
  Buffer<T> here = of_size<T>(outputs() * batch);
  std::copy(cotangent, cotangent + here.size(), here.begin());
  for (size_t i = layers_.size(); i-- > 0;) {
    const Layer& layer = layers_[i];
    if (!layer.convolution) {
      apply_slopes(point[i], layer, here);
      continue;
    }
    Buffer<T> next = of_size<T>(layer.inputs * batch);
    layer.convolution->transposed(here.data(), next.data(), batch);
    here = std::move(next);
  }
  return here;
}

// Some directions of all samples are pushed at a time, so that products have 128 rows or more.
template <class T>
Buffer<T> Network<T>::jacobian(const T* x, int64_t batch, Job& job) const {
  const int64_t n = inputs(), m = outputs(), most = std::min(n, std::max<int64_t>(1, 128 / batch));
  Point point;
  forward(x, batch, &point);
  for (Buffer<T>& slopes : point) {
    const auto size = static_cast<int64_t>(slopes.size());
    Buffer<T> repeated = of_size<T>(size * most);
    for (int64_t k = 0; k < most && size; ++k)
      std::copy(slopes.begin(), slopes.end(), repeated.begin() + k * size);
    slopes = std::move(repeated);
  }
  Buffer<T> result = of_size<T>(batch * m * n), units = of_size<T>(most * batch * n);
  const int64_t piece =
      std::clamp<int64_t>((1 << 22) / std::max<int64_t>(1, m * n), 1, std::max<int64_t>(1, batch));
  for (int64_t begin = 0; begin < n && job.advance(0); begin += most) {
    const int64_t count = std::min(most, n - begin);
    std::fill(units.begin(), units.end(), T{0});
    for (int64_t k = 0; k < count * batch; ++k) units.data()[k * n + begin + k / batch] = T{1};
    const Buffer<T> pushed = push(point, units.data(), count * batch);
    const T* from = pushed.data();
    T* to = result.data();
    const auto sample = [&](int64_t b) {
      for (int64_t i = 0; i < m; ++i)
        for (int64_t k = 0; k < count; ++k) to[(b * m + i) * n + begin + k] = from[(k * batch + b) * m + i];
    };
    // The first columns touch every page of the result, gigabytes of them: Ctrl-C is heard between samples.
    for (int64_t b = 0; b < batch && job.advance(0); b += piece)
      parallel_for(
          std::min(piece, batch - b), [&](int64_t i) { sample(b + i); },
          count * piece * m < (1 << 15) ? 1 : 0);
  }
  return result;
}

template <class T>
void Network<T>::series(const T* x, int64_t batch, const T* probes, int64_t count, int64_t apart,
                        const double* factors, int64_t terms, double* estimates, Job& job) const {
  Point point;
  forward(x, batch, &point);
  const auto products = KXFAST_PICK(void (*)(const T*, int64_t, const T*, int64_t, double*), inner_products);
  const int64_t size = inputs();
  for (int64_t n = 0; n < count; ++n) {
    const T* probe = probes + n * apart * size;
    double* sums = estimates + n * apart;
    std::fill(sums, sums + batch, 0.0);
    Buffer<T> w = of_size<T>(batch * size);
    std::copy(probe, probe + batch * size, w.begin());
    for (int64_t k = 1; k <= terms && job.advance(0); ++k) {
      w = pull(point, w.data(), batch);
      const double factor = factors[n * terms + k - 1] / static_cast<double>(k % 2 ? k : -k);
      const T* now = w.data();
      const auto sample = [&](int64_t b) {
        double product;
        products(now + b * size, 1, probe + b * size, size, &product);
        sums[b] += factor * product;
      };
      parallel_for(batch, sample, batch * size < (1 << 16) ? 1 : 0);
    }
  }
}

template class Network<float>;
template class Network<double>;

}  // namespace kxfast::lipschitz
