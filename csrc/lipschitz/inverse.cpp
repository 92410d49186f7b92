// The inverse of x + g(x), each sample for itself.
//
// Fixed-point steps mixed by Anderson's method: with r = y - g(x) - x of the last points, the combination of
// their differences that is nearest to r is taken out, by the normal equations in double with as many
// unknowns as the window. A plain step from the best point always shrinks the residual of a contraction; so a
// mixed step that does not is taken back for a plain one, and if that does not either, g is no contraction
// and plain steps are all that is done. Samples that are done leave the batch: g is evaluated for the others
// alone, packed together, and is nearly all of the work.
//
// Steps are in floats until the next residual, if it shrinks as the last one did, is what the accuracy asked
// for needs, or as small as their rounding lets it become: the first evaluation in double, twice the work,
// then mostly is the last, since it has only to confirm. Where tiles multiply floats as parts of bfloat16
// (halves.hpp), the first steps take one or three of the six products of parts, as long as what they are
// wrong by is little beside the residual after the next. Only an evaluation in double can end a sample. Where
// a plain step takes at least four fifths of the residual away, mixing gains nothing, and is not begun.
//
// Of vectors, x alone is in double: what is mixed are floats, of which mixing.cpp makes the inner products.
// Lost: changing over to double as soon as a residual of 1e-5 was met, one evaluation in double more;
// filtered convolutions in floats where tiles are, whose rounding took one more too; fewer products of parts
// than now for longer, whose noise spoiled the mixing (15 to 70 steps for some samples in place of 8).
#include <algorithm>
#include <cmath>

#include "core/threads.hpp"
#include "lipschitz/network.hpp"
#include "lipschitz/rows.hpp"

namespace kxfast::lipschitz {
namespace {

// Solves G w = b for a Gram matrix; directions that are nearly combinations of earlier ones get no share.
void solve_gram(std::vector<double>& g, std::vector<double>& b, size_t n) {
  std::vector<double> first(n);
  for (size_t i = 0; i < n; ++i) first[i] = g[i * n + i];
  for (size_t k = 0; k < n; ++k) {
    const bool lost = !(g[k * n + k] > 1e-14 * first[k]);
    const double pivot = lost ? 0 : 1 / std::sqrt(g[k * n + k]);
    for (size_t j = k; j < n; ++j) g[k * n + j] *= pivot;
    b[k] *= pivot;
    for (size_t i = k + 1; i < n; ++i) {
      for (size_t j = i; j < n; ++j) g[i * n + j] -= g[k * n + i] * g[k * n + j];
      b[i] -= g[k * n + i] * b[k];
    }
  }
  for (size_t k = n; k-- > 0;) {
    for (size_t j = k + 1; j < n; ++j) b[k] -= g[k * n + j] * b[j];
    b[k] = g[k * n + k] > 0 ? b[k] / g[k * n + k] : 0;
  }
}

using Note = void (*)(const double*, double, int64_t, float*, const float*, float*, float*);
using Products = void (*)(const float*, int64_t, const float*, int64_t, double*);
template <class T>
using Subtract = double (*)(const double*, const T*, const double*, int64_t, double*);
using MoveOn = void (*)(const double*, const float*, int64_t, const double*, double, int64_t, double*,
                        float*);

// What a sample remembers beside x: its last residual and move, and of earlier ones the changes of residuals
// and of residuals and places together. All are floats, over `unit`.
class Sample {
 public:
  // `room`: 2 size floats.
  Sample(const double* y, int64_t size, int64_t window, double units, double* x, float* room)
      : unit(units),
        x_(x),
        last_(room),
        moved_(room + size),
        size_(size),
        window_(window),
        plain_(window == 0) {
    std::copy(y, y + size, x);
  }

  bool diverged(double squares) {
    length = std::sqrt(squares);
    if (!std::isfinite(length)) length = HUGE_VAL;
    if (!std::isfinite(first_)) first_ = length;
    return !(length <= 1e8 * (1 + first_));
  }

  // Moves on from x, where the residual is r.
  void advance(const double* r) {
    const auto note = KXFAST_PICK(Note, note_residual);
    if (plain_ || length < best_) {
      const bool fast = known_ == 0 && length < best_ / 5 && std::isfinite(best_);
      best_ = length, retried_ = false;
      if (!plain_ && !fast) return mix(r);
      note(r, 1 / unit, size_, last_, nullptr, nullptr, nullptr);
      step(r, nullptr);
    } else if (!retried_) {  // back, and a plain step
      for (int64_t i = 0; i < size_; ++i)
        x_[i] += unit * (static_cast<double>(last_[i]) - static_cast<double>(moved_[i]));
      std::copy(last_, last_ + size_, moved_);
      retried_ = true;
      known_ = 0, newest_ = -1;
    } else {
      plain_ = true;
      step(r, nullptr);
    }
    follows_ = false;
  }

  double unit;
  double length = HUGE_VAL;

 private:
  void step(const double* r, const double* weights) {
    const auto move_on = KXFAST_PICK(MoveOn, move_on);
    move_on(r, earlier_.data() + room_ * size_, weights ? known_ : 0, weights, unit, size_, x_, moved_);
  }

  // Room for one more move.
  void grow() {
    if (known_ < room_ || known_ == window_) return;
    const int64_t room = std::min(window_, 2 * room_ + 5);
    Buffer<float> wider(static_cast<size_t>(2 * room * size_));
    for (const int64_t half : {0, 1}) {
      const float* from = earlier_.data() + half * room_ * size_;
      std::copy(from, from + room_ * size_, wider.data() + half * room * size_);
    }
    earlier_ = std::move(wider);
    std::vector<double> gram(static_cast<size_t>(room * room));
    for (int64_t i = 0; i < room_ * room_; ++i)
      gram[static_cast<size_t>(i / room_ * room + i % room_)] = gram_[static_cast<size_t>(i)];
    gram_ = std::move(gram);
    room_ = room;
  }

  void mix(const double* r) {
    const auto note = KXFAST_PICK(Note, note_residual);
    const auto products = KXFAST_PICK(Products, inner_products);
    if (follows_) {
      grow();
      newest_ = (newest_ + 1) % window_;
      known_ = std::min(known_ + 1, window_);
    }
    std::vector<double> inner(static_cast<size_t>(known_));
    if (follows_) {
      float* change = earlier_.data() + newest_ * size_;
      note(r, 1 / unit, size_, last_, moved_, change, change + room_ * size_);
      products(earlier_.data(), known_, change, size_, inner.data());
      for (int64_t i = 0; i < known_; ++i)
        gram(i, newest_) = gram(newest_, i) = inner[static_cast<size_t>(i)];
    } else {
      note(r, 1 / unit, size_, last_, nullptr, nullptr, nullptr);
    }
    follows_ = true;
    products(earlier_.data(), known_, last_, size_, inner.data());
    const auto n = static_cast<size_t>(known_);
    std::vector<double> ordered(n * n), weights(n);  // the newest first: it is the one to keep
    const auto place = [&](size_t i) { return (newest_ - static_cast<int64_t>(i) + known_) % known_; };
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = i; j < n; ++j) ordered[i * n + j] = gram(place(i), place(j));
      weights[i] = inner[static_cast<size_t>(place(i))];
    }
    solve_gram(ordered, weights, n);
    for (size_t i = 0; i < n; ++i) inner[static_cast<size_t>(place(i))] = weights[i];
    step(r, inner.data());
  }
  double& gram(int64_t i, int64_t j) { return gram_[static_cast<size_t>(i * room_ + j)]; }

  double* x_;
  float *last_, *moved_;
  int64_t size_, window_, known_ = 0, newest_ = -1, room_ = 0;
  double best_ = HUGE_VAL, first_ = HUGE_VAL;
  Buffer<float> earlier_;  // changes of residuals, then of both
  std::vector<double> gram_;
  bool plain_, retried_ = false, follows_ = false;  // the last step was a mixed one
};

// How exactly g is evaluated next: so that what it is wrong by, about so much of |y|, is little beside the
// residual after that.
enum class Level : int { some, most, floats, doubles };
constexpr double kWrong[] = {1e-2, 1e-4};

Level level_of(double next, double rate) {
  const double wanted = next * rate / 4;
  return wanted > kWrong[0] ? Level::some : wanted > kWrong[1] ? Level::most : Level::floats;
}

}  // namespace

void residual_inverse(const Network<float>& coarse, const Network<double>& g, const double* y, int64_t batch,
                      double lipschitz, double tol, int64_t max_steps, int64_t window, Job& job,
                      const Solved& out) {
  // Residuals in floats are trusted down to kNoise; one that no longer halves has met their rounding.
  constexpr double kNoise = 4e-8, kCoarse = 1e-5;
  const int64_t size = g.inputs();
  const double ratio = lipschitz < 0 ? HUGE_VAL : lipschitz / (1 - lipschitz);
  const double goal = lipschitz < 0 ? tol : ratio > 0 ? tol / ratio : HUGE_VAL;
  const double enough = std::fmin(std::fmax(goal / 2, kNoise), kCoarse);
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  std::vector<Sample> samples;
  samples.reserve(at(batch));
  std::vector<int64_t> active;  // those of one level after those of another
  std::vector<Level> level(at(batch), window == 0 ? Level::doubles : Level::some);
  std::vector<char> goes_on(at(batch));
  Buffer<double> places(at(batch * size));
  Buffer<float> rooms(at(2 * batch * size));
  for (int64_t b = 0; b < batch; ++b) {
    samples.emplace_back(y + b * size, size, window, std::fmax(1.0, lipschitz::length(y + b * size, size)),
                         places.data() + b * size, rooms.data() + 2 * b * size);
    active.push_back(b);
    out.steps[b] = 0, out.bounds[b] = HUGE_VAL, out.converged[b] = false;
  }
  std::copy(y, y + batch * size, out.x);
  const auto evaluate = [&](int64_t first, int64_t count, Level how) {
    const bool fine = how == Level::doubles;
    Buffer<float> floats(at(fine ? 0 : count * size));
    Buffer<double> doubles(at(fine ? count * size : 0));
    for (int64_t i = 0; i < count; ++i) {
      const double* x = places.data() + active[at(first + i)] * size;
      for (int64_t k = 0; k < size && !fine; ++k) floats.data()[i * size + k] = static_cast<float>(x[k]);
      if (fine) std::copy(x, x + size, doubles.begin() + i * size);
    }
    const Exactness exactness = how == Level::some   ? Exactness::some
                                : how == Level::most ? Exactness::most
                                                     : Exactness::floats;
    const Buffer<float> low =
        fine ? Buffer<float>() : coarse.forward(floats.data(), count, nullptr, exactness);
    const Buffer<double> high = fine ? g.forward(doubles.data(), count) : Buffer<double>();
    Buffer<double> residuals(at(count * size));
    const auto subtract = KXFAST_PICK(Subtract<float>, residual);
    const auto subtract_fine = KXFAST_PICK(Subtract<double>, residual);
    const auto one = [&](int64_t i) {
      const int64_t b = active[at(first + i)];
      Sample& sample = samples[at(b)];
      const double *of = y + b * size, *x = places.data() + b * size;
      double* r = residuals.data() + i * size;
      const double before = sample.length,
                   squares = fine ? subtract_fine(of, high.data() + i * size, x, size, r)
                                  : subtract(of, low.data() + i * size, x, size, r);
      ++out.steps[b];
      goes_on[at(b)] = false;
      if (sample.diverged(squares)) {
        if (fine) return;  // else beyond the range of floats, perhaps: again in double
        sample = Sample(of, size, window, sample.unit, places.data() + b * size, rooms.data() + 2 * b * size);
        level[at(b)] = Level::doubles;
        goes_on[at(b)] = true;
        return;
      }
      for (int64_t k = 0; k < size; ++k) out.x[b * size + k] = x[k] + r[k];
      if (!fine) {
        const double rate = std::isfinite(before) ? std::fmin(sample.length / before, 1) : 1,
                     part = sample.length / sample.unit;
        level[at(b)] = part * rate <= enough || (part <= kCoarse && rate > 0.5) ? Level::doubles
                                                                                : level_of(part * rate, rate);
      } else {
        out.bounds[b] = lipschitz < 0 ? HUGE_VAL : ratio * sample.length;
        out.converged[b] = (lipschitz < 0 ? sample.length : out.bounds[b]) <= tol * sample.unit;
        if (out.converged[b]) return;
      }
      goes_on[at(b)] = true;
      sample.advance(r);
    };
    parallel_for(count, one, count * size < (1 << 13) ? 1 : 0, &job);
  };
  for (int64_t step = 0; step < max_steps && !active.empty() && job.advance(0); ++step) {
    if (step + 1 == max_steps) std::fill(level.begin(), level.end(), Level::doubles);
    std::stable_sort(active.begin(), active.end(),
                     [&](int64_t a, int64_t b) { return level[at(a)] < level[at(b)]; });
    const auto count = static_cast<int64_t>(active.size());
    for (int64_t first = 0, last; first < count; first = last) {  // levels change, but not of those after
      const Level how = level[at(active[at(first)])];
      for (last = first; last < count && level[at(active[at(last)])] == how;) ++last;
      evaluate(first, last - first, how);
    }
    active.erase(std::remove_if(active.begin(), active.end(), [&](int64_t b) { return !goes_on[at(b)]; }),
                 active.end());
  }
}

}  // namespace kxfast::lipschitz
