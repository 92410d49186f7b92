// Tau-leaping (Cao, Gillespie, Petzold 2006): not exact. In a leap of length tau reaction j fires a Poisson
// number of times of mean a_j tau, where tau is such that no propensity is expected to change by more than
// epsilon of itself. Reactions that are within 10 firings of using something up are critical: at most one of
// them fires in a leap, and once. A leap that would make a count negative is halved and drawn again. Where a
// leap would be no longer than 10 events, 100 events are walked exactly instead.
//
// Leaps end at samples, so a sample is a state of the process itself. All loops run over reactions and their
// changes; an ordinary leap costs a Poisson number for each reaction, some 30 ns, whatever the number of
// events in it. Nothing is kept from leap to leap.
#include "gillespie/simd/poisson.hpp"
#include "gillespie/simd/walk.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

constexpr double kCritical = 10, kShortest = 10;
constexpr int64_t kExactEvents = 100;

struct Leaping {
  const Model& m;
  Walk& w;
  double *x, *a, *fires, *drawn, *mu, *variance;
  double sum = 0, critical = 0;  // of all propensities, of critical ones
  bool good = true;

  Leaping(const Model& model, Walk& walk) : m(model), w(walk), x(walk.x), a(walk.work) {
    const int64_t room = 16 * blocks_of_16(m.reactions);
    fires = a + room;
    drawn = fires + room;
    mu = a + 4 * room;
    variance = mu + m.state + kBesidesState;
  }

  void propensities() {
    sum = 0;
    for (int64_t r = 0; r < m.reactions; ++r) {
      a[r] = any_order(m, r, x);
      good &= a[r] >= 0;
      sum += a[r];
    }
    good &= sum <= DBL_MAX;
  }
  bool is_critical(int64_t r) const {
    for (int64_t c = r * m.width; c < (r + 1) * m.width; ++c)
      if (m.change_by[c] < 0 && x[m.change_species[c]] < -kCritical * m.change_by[c]) return true;
    return false;
  }
  // How much slower a count must change than the propensities that read it.
  double slowdown(int64_t s) const {
    double slowest = 0;
    for (int32_t i = m.reading_begin[s]; i < m.reading_begin[s + 1]; ++i) {
      const Reading reading = m.readings[i];
      double copies = 0;
      for (int32_t k = 0; k < reading.copies; ++k) copies += x[s] > k ? x[s] / (x[s] - k) : HUGE_VAL;
      const double g = reading.order * copies / reading.copies;
      if (g > slowest) slowest = g;
    }
    return slowest;
  }
  // The longest leap; the propensities of critical reactions are left out of `fires`.
  double longest() {
    critical = 0;
    for (int64_t s = 0; s < m.species; ++s) mu[s] = variance[s] = 0;
    for (int64_t r = 0; r < m.reactions; ++r) {
      const bool apart = is_critical(r);
      fires[r] = apart ? 0 : a[r];
      if (apart) critical += a[r];
      if (apart || a[r] == 0) continue;
      for (int64_t c = r * m.width; c < (r + 1) * m.width && m.change_by[c] != 0; ++c) {
        mu[m.change_species[c]] += m.change_by[c] * a[r];
        variance[m.change_species[c]] += m.change_by[c] * m.change_by[c] * a[r];
      }
    }
    double tau = HUGE_VAL;
    for (int64_t s = 0; s < m.species; ++s) {
      if (variance[s] == 0 || m.reading_begin[s] == m.reading_begin[s + 1]) continue;
      const double part = w.epsilon * x[s] / slowdown(s), by = part > 1 ? part : 1;
      const double drift = by / std::fabs(mu[s]), spread = by * by / variance[s];
      if (drift < tau) tau = drift;
      if (spread < tau) tau = spread;
    }
    return tau;
  }
  void apply(int64_t r, double times) {
    for (int64_t c = r * m.width; c < (r + 1) * m.width; ++c)
      x[m.change_species[c]] += times * m.change_by[c];
  }
  // Draws and applies the firings of a leap; false, and nothing is changed, if a count would be negative.
  bool leap(Stream& stream, double tau, bool with_critical) {
    for (int64_t r = 0; r < m.reactions; ++r) {
      drawn[r] = fires[r] > 0 ? poisson(stream, fires[r] * tau) : 0;
      if (drawn[r] > 0) apply(r, drawn[r]);
    }
    if (with_critical) {
      double target = stream.uniform() * critical;
      int64_t chosen = -1;
      for (int64_t r = 0; r < m.reactions; ++r)
        if (fires[r] == 0 && a[r] > 0) {
          chosen = r;
          if ((target -= a[r]) < 0) break;
        }
      drawn[chosen] += 1;
      apply(chosen, 1);
    }
    bool good_counts = true;
    for (int64_t s = 0; s < m.species; ++s) good_counts &= x[s] >= 0;
    for (int64_t r = 0; r < m.reactions && !good_counts; ++r)
      if (drawn[r] > 0) apply(r, -drawn[r]);
    return good_counts;
  }
};

}  // namespace

Status run_tau_leaping(const Model& m, Walk& w, int64_t budget) {
  Leaping leaping(m, w);
  Stream stream = *w.stream;
  for (int64_t leaps = 0; leaps * m.reactions < budget; ++leaps) {
    leaping.propensities();
    *w.stream = stream;
    if (!leaping.good) return bad_propensity(m, w, w.t);
    if (leaping.sum == 0) return finish(m, w, w.t, true);
    double longest = leaping.longest();
    const double until = w.sample < w.samples ? w.grid[w.sample] : w.stop;
    for (;; longest /= 2) {
      if (longest < kShortest / leaping.sum) {
        const Status status = run_direct(m, w, kExactEvents);
        stream = *w.stream;
        if (status != Status::running) return status;
        break;
      }
      const double alone = leaping.critical > 0 ? stream.exponential() / leaping.critical : HUGE_VAL;
      const double left = until - w.t, shorter = alone < longest ? alone : longest;
      const double tau = left < shorter ? left : shorter;
      if (!leaping.leap(stream, tau, tau == alone)) continue;
      w.t = tau == left ? until : w.t + tau;
      for (int64_t r = 0; r < m.reactions; ++r) {
        w.fired[r] += static_cast<int64_t>(leaping.drawn[r]);
        w.events += static_cast<int64_t>(leaping.drawn[r]);
      }
      if (tau != left) break;
      if (w.t >= w.end) {
        *w.stream = stream;
        return finish(m, w, w.t, false);
      }
      sample_before(m, w, std::nextafter(w.t, HUGE_VAL));
      break;
    }
  }
  *w.stream = stream;
  return Status::running;
}

}  // namespace kxfast::gillespie::KXFAST_ISA
