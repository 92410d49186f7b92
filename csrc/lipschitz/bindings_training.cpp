// The training step: kxfast._native.lipschitz.spectral_normalize
#include <cmath>

#include "lipschitz/bindings.hpp"
#include "lipschitz/normalize.hpp"

namespace kxfast::lipschitz {
namespace {

// One layer; its vectors are worked on in copies, so that nothing is changed if a norm is not finite.
template <class T>
struct Layer {
  Array<T> weight, out;
  Buffer<T> u, v;
  double sigma = 0;
};

template <class T>
Buffer<T> copied(const Array<T>& from) {
  Buffer<T> to(static_cast<size_t>(from.size()));
  std::copy(from.data(), from.data() + from.size(), to.begin());
  return to;
}

double factor_of(double sigma, double coeff, bool hard) {
  if (!(sigma > 0)) return 1;
  return hard ? coeff / sigma : std::fmin(1.0, coeff / sigma);
}

// All weights and vectors of one type; `outs` is null where only factors are wanted.
template <class T>
py::object spectral_normalize(const std::vector<Array<T>>& weights, std::vector<Array<T>> us,
                              std::vector<Array<T>> vs, double coeff, int64_t n_iter, bool hard,
                              const std::optional<std::vector<Array<T>>>& outs) {
  const size_t count = weights.size();
  std::vector<Layer<T>> layers(count);
  for (size_t i = 0; i < count; ++i) {
    layers[i].weight = weights[i];
    layers[i].u = copied(us[i]), layers[i].v = copied(vs[i]);
    if (outs) layers[i].out = (*outs)[i];
  }
  Array<double> factors(static_cast<py::ssize_t>(count)), sigmas(static_cast<py::ssize_t>(count));
  std::vector<T*> targets(count, nullptr);
  std::vector<const T*> from(count);
  int64_t most = 0, all = 0;
  for (size_t i = 0; i < count; ++i) {
    if (outs) targets[i] = layers[i].out.mutable_data();
    from[i] = layers[i].weight.data();
    most = std::max<int64_t>(most, layers[i].weight.size());
    all += layers[i].weight.size();
  }
  double *factor = factors.mutable_data(), *sigma = sigmas.mutable_data();
  std::vector<int64_t> rows(count), cols(count);
  for (size_t i = 0; i < count; ++i) rows[i] = layers[i].weight.shape(0), cols[i] = layers[i].weight.shape(1);
  {
    py::gil_scoped_release nogil;
    const auto one = [&](int64_t number) {
      const auto i = static_cast<size_t>(number);
      Layer<T>& layer = layers[i];
      sigma[i] = normalize_step(from[i], rows[i], cols[i], layer.u.data(), layer.v.data(), n_iter);
      factor[i] = factor_of(sigma[i], coeff, hard);
      if (targets[i] && std::isfinite(sigma[i]))
        scale(from[i], rows[i] * cols[i], static_cast<T>(factor[i]), targets[i]);
    };
    // Layers are the tasks, unless one is most of the work: its rows are, then.
    if (2 * most > all)
      for (size_t i = 0; i < count; ++i) one(static_cast<int64_t>(i));
    else
      parallel_for(static_cast<int64_t>(count), one, all < (1 << 16) ? 1 : 0);
  }
  bool finite = true;
  for (size_t i = 0; i < count; ++i) finite = finite && std::isfinite(sigma[i]);
  for (size_t i = 0; i < count && finite; ++i) {
    std::copy(layers[i].u.begin(), layers[i].u.end(), us[i].mutable_data());
    std::copy(layers[i].v.begin(), layers[i].v.end(), vs[i].mutable_data());
  }
  return py::make_tuple(factors, sigmas);
}

}  // namespace

void bind_training(py::module_& m) {
  const char* doc =
      "Factors and sigmas of each layer; vectors and outs are updated in place if all sigmas are finite.";
  const auto bind = [&](auto function) {
    m.def("spectral_normalize", function, py::arg("weights").noconvert(), py::arg("us").noconvert(),
          py::arg("vs").noconvert(), py::arg("coeff"), py::arg("n_iter"), py::arg("hard"),
          py::arg("outs").noconvert(), doc);
  };
  bind(&spectral_normalize<float>);
  bind(&spectral_normalize<double>);
}

}  // namespace kxfast::lipschitz
