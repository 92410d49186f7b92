// The next reaction method (Gibson and Bruck 2000): each reaction has the time at which it would fire, the
// least of them is at the top of a heap, and a time whose propensity changes is rescaled instead of drawn
// again.
//
// The heap has four children a node, which halves its height, and every reaction knows its place in it. The
// innermost loop is the one over affected reactions, each of which sifts up or down; that, and a cache line a
// level, makes the method the slowest of the exact ones on every network that was measured. It is here
// because it draws one random number an event, and as an independent check of the others.
#include "gillespie/simd/walk.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

template <bool kPlain>
struct NextReaction {
  static constexpr bool kPlainRates = kPlain, kOwnRejection = false;
  const Model& m;
  const double* x;
  double *a, *time;
  int32_t *heap, *place;  // of each position the reaction, and of each reaction the position
  bool good = true;

  NextReaction(const Model& model, const Walk& w) : m(model), x(w.x), a(w.work) {
    const int64_t room = 16 * blocks_of_16(m.reactions);
    time = a + room;
    heap = reinterpret_cast<int32_t*>(time + room);
    place = heap + room;
    for (int64_t r = 0; r < m.reactions; ++r) {
      a[r] = checked(r);
      time[r] = a[r] > 0 ? w.t + w.stream->exponential() / a[r] : HUGE_VAL;
      put(static_cast<int32_t>(r), static_cast<int32_t>(r));
    }
    for (int64_t i = m.reactions; i-- > 0;) sift(heap[i]);
  }
  double checked(int64_t r) {
    const double now = propensity_of<kPlain>(m, r, x);
    good &= now >= 0 && now <= DBL_MAX;
    return now;
  }
  bool ready() const { return good && m.reactions && time[heap[0]] < HUGE_VAL; }
  bool absorbed() const { return good; }
  double next(Stream&, double) const { return time[heap[0]]; }
  int64_t choose(Stream&, double) const { return heap[0]; }
  void reject(int64_t candidate, double t, Stream& stream) {
    time[candidate] = t + stream.exponential() / a[candidate];
    sift(static_cast<int32_t>(candidate));
  }
  void update(int64_t fired, double t, Stream& stream) {
    for (int32_t i = m.affected_begin[fired]; i < m.affected_begin[fired + 1]; ++i) {
      const int32_t r = m.affected[i];
      const double before = a[r], now = checked(r);
      if (now == before || r == fired) continue;
      a[r] = now;
      if (!(now > 0))
        time[r] = HUGE_VAL;
      else  // a time drawn again is as good where there was none to rescale
        time[r] = t + (before > 0 ? before / now * (time[r] - t) : stream.exponential() / now);
      sift(r);
    }
    a[fired] = checked(fired);
    time[fired] = a[fired] > 0 ? t + stream.exponential() / a[fired] : HUGE_VAL;
    sift(static_cast<int32_t>(fired));
  }

  void put(int32_t r, int32_t at) {
    heap[at] = r;
    place[r] = at;
  }
  void sift(int32_t r) {
    const double when = time[r];
    int32_t at = place[r];
    for (; at > 0 && time[heap[(at - 1) / 4]] > when; at = (at - 1) / 4) put(heap[(at - 1) / 4], at);
    const auto size = static_cast<int32_t>(m.reactions);
    for (int32_t child; (child = 4 * at + 1) < size; at = child) {
      const int32_t end = child + 4 < size ? child + 4 : size;
      for (int32_t other = child + 1; other < end; ++other)
        if (time[heap[other]] < time[heap[child]]) child = other;
      if (time[heap[child]] >= when) break;
      put(heap[child], at);
    }
    put(r, at);
  }
};

}  // namespace

Status run_next_reaction(const Model& m, Walk& w, int64_t budget) {
  return m.plain ? walk_on<NextReaction<true>>(m, w, budget) : walk_on<NextReaction<false>>(m, w, budget);
}

}  // namespace kxfast::gillespie::KXFAST_ISA
