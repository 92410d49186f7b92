// A map made of layers, with its derivatives; arrays have channels last, (batch, pixels * channels).
#pragma once

#include <memory>
#include <vector>

#include "core/job.hpp"
#include "lipschitz/convolution.hpp"

namespace kxfast::lipschitz {

constexpr int kSorting = -1;  // in place of a Curve

template <class T>
class Network {
 public:
  // Copies; a matrix is a kernel on one pixel. `filtered`: see Convolution; `forward`: there are no
  // derivatives.
  void add(const T* weight, const T* bias, const Moves& moves, bool filtered, bool forward);
  void add(int curve, int64_t size);  // numbers of a sample
  int64_t inputs() const { return layers_.front().inputs; }
  int64_t outputs() const { return layers_.back().outputs; }

  // What derivatives are taken at: of activations their slopes, of sorting what was exchanged (1 or 0).
  using Point = std::vector<Buffer<T>>;
  Buffer<T> forward(const T* x, int64_t batch, Point* point = nullptr,
                    Exactness exactness = Exactness::floats) const;
  Buffer<T> push(const Point& point, const T* tangent, int64_t batch) const;
  Buffer<T> pull(const Point& point, const T* cotangent, int64_t batch) const;

  // The derivatives (batch, outputs, inputs).
  Buffer<T> jacobian(const T* x, int64_t batch, Job& job) const;

  // estimates (probes, batch) = sum over k of (-1)^(k+1) factors[probe][k] / k e' J^k e; `apart` samples from
  // one probe, and row of estimates, to the next.
  void series(const T* x, int64_t batch, const T* probes, int64_t count, int64_t apart, const double* factors,
              int64_t terms, double* estimates, Job& job) const;

  // gradients.cpp: probe' sum over k = 0 .. terms of (-J)^k.
  Buffer<T> neumann(const Point& point, const T* probe, int64_t batch, int64_t terms, Job& job) const;

  // Gradients of <to_value, g(x)> + to_tangent' J(x) tangent: for x, and for each layer with a weight what it
  // was applied to, the value and the tangent, and the gradients for what came out of it.
  struct Trace {
    Buffer<T> value, tangent, to_value, to_tangent;
  };
  struct Traces {
    Buffer<T> to_input;
    std::vector<Trace> layers;
  };
  Traces trace(const T* x, const T* tangent, const T* to_value, const T* to_tangent, int64_t batch,
               Job& job) const;

 private:
  struct Layer {
    std::unique_ptr<Convolution<T>> convolution;
    Buffer<T> bias;
    int curve = 0;
    int64_t inputs = 0, outputs = 0;
  };
  void apply_slopes(const Buffer<T>& slopes, const Layer& layer, Buffer<T>& x) const;
  std::vector<Layer> layers_;
};

struct Solved {
  double* x;       // (batch, size)
  int64_t* steps;  // and these (batch)
  double* bounds;
  bool* converged;
};

// x + g(x) = y, with g in both types; lipschitz < 0: not known.
void residual_inverse(const Network<float>& coarse, const Network<double>& g, const double* y, int64_t batch,
                      double lipschitz, double tol, int64_t max_steps, int64_t window, Job& job,
                      const Solved& out);

}  // namespace kxfast::lipschitz
