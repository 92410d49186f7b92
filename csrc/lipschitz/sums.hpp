// The Gram matrices of a circular convolution at all frequencies.
//
// The blocks K(f) = sum over taps of P_q e^{i f q} of a real operator are conjugate at f and -f, so half of
// the frequencies are looked at. Their Gram matrices are never multiplied: G(f) = K* K is itself the
// transform of the differences of taps, H_d = sum over q' - q = d of P_q' P_q', computed once. With H_-d =
// H_d' the sum over half of the differences gives real and imaginary part, a product of a few cosines and
// sines for each frequency with matrices that stay in the L2 cache, four frequencies at a time (combine). For
// 64 channels and 9 taps that is a tenth of the multiplications of K* K, and leaves the factorisations as
// most of the work. Everything is in double: with floats, n^2 times the unit of rounding would be wider than
// the intervals asked for.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/threads.hpp"
#include "core/workspace.hpp"
#include "lipschitz/circular.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {

inline constexpr double kRound = 0x1p-53, kTurn = 6.283185307179586;

struct Frequency {
  int64_t at[2], group;
  double frobenius;
};

class Sums {
 public:
  Sums(const Torus& torus, Job& job)
      : torus_(torus), side_(std::min(torus.rows, torus.cols)), stride_((side_ + 7) / 8 * 8) {
    differences();
    products(job);
  }

  int64_t side() const { return side_; }
  int64_t stride() const { return stride_; }

  // What G(f) as computed is at most away from the exact one: products of the depth in chunks, sums of the
  // chunks of all pairs of a difference, then of the differences; 64 stands for cosines and single roundings.
  double error(int64_t group) const {
    const double sum = weights_[static_cast<size_t>(group)];
    const int64_t depth = std::max(torus_.rows, torus_.cols), chunks = (depth + kChunk - 1) / kChunk;
    size_t most = 0;
    for (const auto& pairs : pairs_) most = std::max(most, pairs.size());
    const double terms = static_cast<double>(std::min(depth, kChunk) + 64) +
                         static_cast<double>(static_cast<size_t>(chunks) * most + at_.size());
    return 2 * kRound * terms * sum * sum;
  }
  // In any group.
  double error() const {
    double most = 0;
    for (int64_t g = 0; g < torus_.groups; ++g) most = std::fmax(most, error(g));
    return most;
  }

  std::vector<Frequency> frequencies() const {
    std::vector<Frequency> all;
    const auto conjugate = [&](int64_t i, int k) {
      return (2 * torus_.sides[k] - i - torus_.twist[k]) % torus_.sides[k];
    };
    for (int64_t g = 0; g < torus_.groups; ++g)
      for (int64_t i = 0; i < torus_.sides[0]; ++i)
        for (int64_t j = 0; j < torus_.sides[1]; ++j) {
          const int64_t across = conjugate(j, 1);
          if (j > across || (j == across && i > conjugate(i, 0))) continue;
          all.push_back({{i, j}, g, 0.0});
          double factors[2];
          for (size_t d = 0; d < at_.size(); ++d) {
            angle(all.back(), d, factors);
            all.back().frobenius += factors[0] * traces_[static_cast<size_t>(g) * at_.size() + d];
          }
        }
    std::stable_sort(all.begin(), all.end(),
                     [](const Frequency& a, const Frequency& b) { return a.frobenius > b.frobenius; });
    return all;
  }

  // G of up to kTogether frequencies of one group, planes of rows `stride` apart, `each` from one to the
  // next.
  void compute(const Frequency* const* which, int64_t count, Planes out, int64_t each) const {
    const auto kernel = KXFAST_PICK(
        void (*)(const double*, int64_t, int64_t, const double*, double*, int64_t, int64_t), combine);
    const int64_t terms = static_cast<int64_t>(at_.size());
    Buffer<double> cosines(at_.size() * kTogether), sines(at_.size() * kTogether);
    for (size_t d = 0; d < at_.size(); ++d)
      for (int64_t f = 0; f < kTogether; ++f) {
        double factors[2];
        angle(*which[std::min(f, count - 1)], d, factors);
        cosines[d * kTogether + static_cast<size_t>(f)] = factors[0];
        sines[d * kTogether + static_cast<size_t>(f)] = factors[1];
      }
    const int64_t area = side_ * stride_;
    const double* even = even_.data() + which[0]->group * terms * area;
    const double* odd = odd_.data() + which[0]->group * terms * area;
    for (int64_t i = 0; i < side_; ++i) {
      const int64_t first = i / 8 * 8, at = i * stride_ + first;
      kernel(even + at, area, terms, cosines.data(), out.data + i * out.stride + first, each, side_ - first);
      kernel(odd + at, area, terms, sines.data(), out.data + out.plane + i * out.stride + first, each,
             side_ - first);
    }
  }

 private:
  static constexpr int64_t kChunk = 64;  // of the depth
  struct Place {
    int64_t at[2];
    bool alone;  // its own opposite
  };

  void angle(const Frequency& f, size_t d, double (&factors)[2]) const {
    double turns = 0;
    for (int k = 0; k < 2; ++k) {
      const int64_t by = torus_.twist[k] + 1, around = by * torus_.sides[k];
      turns += static_cast<double>((by * f.at[k] + torus_.twist[k]) * at_[d].at[k] % around) /
               static_cast<double>(around);
    }
    factors[0] = std::cos(kTurn * turns);
    factors[1] = at_[d].alone ? 0.0 : std::sin(kTurn * turns);
  }

  // Half of the differences of places, and which pairs have them.
  void differences() {
    for (int64_t p = 0; p < torus_.taps; ++p)
      for (int64_t q = 0; q < torus_.taps; ++q) {
        int64_t at[2], opposite[2];
        for (int k = 0; k < 2; ++k) {
          const int64_t around = (torus_.twist[k] + 1) * torus_.sides[k];  // twisted: twice for the same sign
          at[k] = (torus_.places[2 * q + k] - torus_.places[2 * p + k] + around) % around;
          opposite[k] = (around - at[k]) % around;
        }
        if (at[0] > opposite[0] || (at[0] == opposite[0] && at[1] > opposite[1])) continue;
        size_t d = 0;
        while (d < at_.size() && (at_[d].at[0] != at[0] || at_[d].at[1] != at[1])) ++d;
        if (d == at_.size()) {
          at_.push_back({{at[0], at[1]}, at[0] == opposite[0] && at[1] == opposite[1]});
          pairs_.emplace_back();
        }
        pairs_[d].push_back({p, q});
      }
  }

  // even = H + H' (H where alone) and odd = H - H', upper triangles; traces of `even`.
  void products(Job& job) {
    const auto kernel = KXFAST_PICK(
        void (*)(const double*, int64_t, const double*, int64_t, int64_t, double*, int64_t, int64_t, int64_t),
        add_product);
    const bool across = torus_.rows < torus_.cols;
    const int64_t depth = std::max(torus_.rows, torus_.cols), area = side_ * stride_;
    const int64_t all = torus_.groups * torus_.taps, terms = static_cast<int64_t>(at_.size());
    const int64_t across_by = across ? torus_.cols : 1, along_by = across ? 1 : torus_.cols;
    const int64_t pitch = odd_lines(side_), size = depth * pitch;
    Buffer<double> matrices(static_cast<size_t>(all * size));  // long side first
    weights_.assign(static_cast<size_t>(torus_.groups), 0.0);
    for (int64_t t = 0; t < all; ++t) {
      const double* from = torus_.matrices + t * depth * side_;
      double squares = 0;
      for (int64_t i = 0; i < depth * side_; ++i) squares += from[i] * from[i];
      weights_[static_cast<size_t>(t / torus_.taps)] += std::sqrt(squares) * (1 + 1e-9);
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t i = 0; i < side_; ++i)
          matrices[static_cast<size_t>(t * size + k * pitch + i)] = from[k * along_by + i * across_by];
    }
    even_ = Buffer<double>(static_cast<size_t>(torus_.groups * terms * area));
    odd_ = Buffer<double>(even_.size());
    traces_.assign(static_cast<size_t>(torus_.groups * terms), 0.0);
    const auto task = [&](int64_t number) {
      const int64_t g = number / terms, d = number % terms;
      Buffer<double> h(static_cast<size_t>(area));
      std::fill(h.begin(), h.end(), 0.0);
      for (const auto& [p, q] : pairs_[static_cast<size_t>(d)]) {
        const double* a = matrices.data() + (g * torus_.taps + p) * size;
        const double* b = matrices.data() + (g * torus_.taps + q) * size;
        if (!job.advance(0)) return;
        for (int64_t k = 0; k < depth; k += kChunk)
          for (int64_t j = 0; j < side_; j += kChunk)
            kernel(a + k * pitch, pitch, b + k * pitch + j, pitch, std::min(kChunk, depth - k), h.data() + j,
                   stride_, side_, std::min(kChunk, side_ - j));
      }
      const bool alone = at_[static_cast<size_t>(d)].alone;
      double *even = even_.data() + number * area, *odd = odd_.data() + number * area, trace = 0;
      for (int64_t i = 0; i < side_; ++i) {
        for (int64_t j = 0; j < stride_; ++j) even[i * stride_ + j] = odd[i * stride_ + j] = 0;
        for (int64_t j = i / 8 * 8; j < side_; ++j) {
          const double x = h[static_cast<size_t>(i * stride_ + j)],
                       y = h[static_cast<size_t>(j * stride_ + i)];
          even[i * stride_ + j] = alone ? 0.5 * (x + y) : x + y;
          odd[i * stride_ + j] = alone ? 0.0 : x - y;
        }
        trace += even[i * stride_ + i];
      }
      traces_[static_cast<size_t>(number)] = trace;
    };
    parallel_for(torus_.groups * terms, task, size * side_ < (1 << 12) ? 1 : 0);
  }

  const Torus& torus_;
  const int64_t side_, stride_;
  std::vector<Place> at_;
  std::vector<std::vector<std::pair<int64_t, int64_t>>> pairs_;
  std::vector<double> weights_, traces_;  // sums of Frobenius norms of a group's taps
  Buffer<double> even_, odd_;
};

}  // namespace kxfast::lipschitz
