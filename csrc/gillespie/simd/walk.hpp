// The walk of one trajectory, whatever method chooses its events: samples, averages, logs and counts.
//
// A method is a class with these members. ready(): something can fire; if not, absorbed() says whether
// nothing ever will, else a propensity is not one. next(stream, t): the time of the next candidate.
// choose(stream): its reaction, kRejected for a candidate that is none, kNone if nothing can fire after all.
// update(reaction, t, stream): the reaction has fired and the counts have changed. Objects are made anew for
// each stretch of events, so what they hold may be drawn or summed afresh there: waiting times have no
// memory.
#pragma once

#include <cfloat>
#include <cmath>

#include "gillespie/simd/propensity.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

constexpr int64_t kNone = -1, kRejected = -2;

inline void sample_before(const Model& m, Walk& w, double next) {
  for (; w.sample < w.samples && w.grid[w.sample] < next; ++w.sample) {
    int64_t* row = w.out + w.sample * m.species;
    for (int64_t s = 0; s < m.species; ++s) row[s] = static_cast<int64_t>(w.x[s]);
  }
}

inline void add_area(const Model& m, Walk& w, double from, double to) {
  const double weight = to - (from > w.window ? from : w.window);
  if (!(weight > 0)) return;
  for (int64_t s = 0; s < m.species; ++s) {
    const double d = w.x[s] - w.x0[s];
    w.area[s] += weight * d;
    w.area2[s] += weight * d * d;
  }
}

inline Status finish(const Model& m, Walk& w, double t, bool absorbed) {
  if (w.area) add_area(m, w, t, w.end);
  sample_before(m, w, HUGE_VAL);
  w.t = t;
  w.absorbed = absorbed;
  return Status::finished;
}

// Stays as it is until the time to stop.
inline Status pause(const Model& m, Walk& w, double t) {
  if (w.area) add_area(m, w, t, w.stop);
  sample_before(m, w, w.stop);
  w.t = w.stop;
  return Status::stopped;
}

inline bool condition_changed(const Model& m, const Walk& w, double t) {
  double& time = w.x[m.state + 2];
  const double window = time;
  time = t;
  bool changed = false;
  for (int64_t i = 0; i < m.watches && !changed; ++i) {
    const double now = evaluate(m.control + m.control_begin[i], m.control + m.control_begin[i + 1], w.x);
    changed = (now != 0) != (w.truth[i] != 0);
  }
  time = window;
  return changed;
}

inline Status bad_propensity(const Model& m, Walk& w, double t) {
  w.t = t;
  w.culprit = -1;  // unless one is found below, each is finite and only the sum is not
  w.value = HUGE_VAL;
  for (int64_t r = m.reactions; r-- > 0;) {
    const double a = any_order(m, r, w.x);
    if (!(a >= 0 && a <= DBL_MAX)) w.culprit = r, w.value = a;
  }
  return Status::bad_propensity;
}

inline bool counts_are_good(const Model& m, Walk& w) {
  for (int64_t s = 0; s < m.species; ++s)
    if (w.x[s] < 0) return w.culprit = s, w.value = w.x[s], false;
  return true;
}

// `budget` candidates of events further, or until w.most events are there.
template <class Chooser>
Status walk_on(const Model& m, Walk& w, int64_t budget) {
  Chooser chooser(m, w);
  Stream stream = *w.stream;
  double t = w.t;
  double* const x = w.x;
  double next_sample = w.sample < w.samples ? w.grid[w.sample] : HUGE_VAL;
  for (int64_t candidate = 0; candidate < budget; ++candidate) {
    if (__builtin_expect(!chooser.ready(), 0)) {
      *w.stream = stream;
      if (!chooser.absorbed()) return bad_propensity(m, w, t);
      return w.pausing ? pause(m, w, t) : finish(m, w, t, true);
    }
    const double next = chooser.next(stream, t);
    if (__builtin_expect(next > next_sample, 0)) {
      sample_before(m, w, next < w.stop ? next : w.stop);
      next_sample = w.sample < w.samples ? w.grid[w.sample] : HUGE_VAL;
    }
    if (__builtin_expect(next > w.stop, 0)) {  // what was to come next is forgotten: waiting has no memory
      *w.stream = stream;
      return w.pausing ? pause(m, w, t) : finish(m, w, t, false);
    }
    int64_t j = chooser.choose(stream, next);
    if (__builtin_expect(j == kNone, 0)) {
      *w.stream = stream;
      return w.pausing ? pause(m, w, t) : finish(m, w, t, true);
    }
    if (w.area) add_area(m, w, t, next);
    t = next;
    if (!Chooser::kPlainRates && m.timed && j >= 0 && m.is_timed[j] && !Chooser::kOwnRejection) {
      const double a = value_at(m, j, x, t);
      if (!(a >= 0)) return w.t = t, w.culprit = j, w.value = a, Status::bad_propensity;
      if (!(stream.uniform() * propensity_of<false>(m, j, x) < a)) {
        chooser.reject(j, t, stream);
        j = kRejected;
      }
    }
    if (j == kRejected) {
      ++w.rejected;
      continue;
    }
    ++w.fired[j];
    if (w.log_time) *w.log_time++ = t, *w.log_reaction++ = static_cast<int32_t>(j);
    ++w.events;
    for (int64_t c = j * m.width; c < (j + 1) * m.width; ++c) x[m.change_species[c]] += m.change_by[c];
    if (m.checked && !counts_are_good(m, w)) return w.t = t, Status::negative_count;
    if (w.events == w.most) break;
    if (w.truth && condition_changed(m, w, t)) {
      *w.stream = stream;
      return w.t = t, Status::watched;
    }
    chooser.update(j, t, stream);
  }
  *w.stream = stream;
  w.t = t;
  return Status::running;
}

}  // namespace
}  // namespace kxfast::gillespie::KXFAST_ISA
