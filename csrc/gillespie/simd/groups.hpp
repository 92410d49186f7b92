// Composition and rejection: weights of reactions, from which one is drawn with its weight's probability in
// time that does not grow with their number.
//
// Reactions are kept in groups by the power of two below their weight, all groups in one array one after the
// other, so a reaction that changes its group moves the boundaries between, one swap each. A group is drawn
// by its sum, from the heaviest down; in it a reaction uniformly, kept with probability weight / bound, which
// is at least a half. The lowest group holds all that is smaller. Sums are kept by differences; rebuild()
// makes them anew when the total has fallen to a millionth of its peak, and each stretch of events begins
// with new ones.
//
// Tried and lost: a vector for each group (the same speed, but memory is taken during the walk).
#pragma once

#include <cfloat>
#include <cmath>
#include <cstring>

#include "gillespie/kernels.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

__extension__ typedef unsigned __int128 Wide;

class Groups {
 public:
  double* weight;
  double total = 0;

  // `memory` has room for 2 * 16 * blocks_of_16(reactions) doubles; all weights are 0.
  Groups(double* memory, int64_t reactions) : weight(memory), reactions_(reactions) {
    const int64_t room = 16 * blocks_of_16(reactions);
    member_ = reinterpret_cast<int32_t*>(memory + room);
    place_ = member_ + room;
    std::memset(weight, 0, sizeof(double) * static_cast<size_t>(room));
  }

  bool empty() const { return begin_[kGroups] == 0; }

  void set(int64_t r, double now) {
    const double before = weight[r];
    if (now == before) return;
    weight[r] = now;
    total += now - before;
    const int from = group_of(before), to = group_of(now);
    if (from == to) {
      sum_[to] += now - before;
      return;
    }
    if (to > kGroups) return rebuild();  // larger than any group holds
    if (from == kGroups) {               // a new place at the end, which is the highest group's
      const int32_t hole = begin_[kGroups]++;
      put(static_cast<int32_t>(r), down(hole, kGroups - 1, to));
      sum_[to] += now;
      return;
    }
    const int32_t hole = place_[r];
    if (to < from) {
      put(static_cast<int32_t>(r), down(hole, from, to));
    } else {
      const int32_t moved = up(hole, from, to);
      if (to < kGroups) put(static_cast<int32_t>(r), moved);
    }
    if (to < kGroups) sum_[to] += now;
    sum_[from] = begin_[from] == begin_[from + 1] ? 0 : sum_[from] - before;
    if (empty()) total = 0;
  }

  // Once an event, before pick.
  void look_at_peak() {
    if (total > peak_) peak_ = total;
    if (__builtin_expect(total < 1e-6 * peak_ && !empty(), 0)) rebuild();
  }

  void rebuild() {
    double largest = 0;
    for (int64_t r = 0; r < reactions_; ++r) largest = weight[r] > largest ? weight[r] : largest;
    lowest_ = exponent(largest) - (kGroups - 4);
    for (int g = 0; g <= kGroups + 1; ++g) begin_[g] = 0;
    for (int64_t r = 0; r < reactions_; ++r) ++begin_[group_of(weight[r]) + 1];
    for (int g = 0; g <= kGroups; ++g) begin_[g + 1] += begin_[g];
    int32_t next[kGroups + 1];
    for (int g = 0; g <= kGroups; ++g) next[g] = begin_[g], sum_[g] = 0;
    for (int64_t r = 0; r < reactions_; ++r) {
      const int g = group_of(weight[r]);
      sum_[g] += weight[r];
      if (g < kGroups) put(static_cast<int32_t>(r), next[g]++);
    }
    total = 0;
    for (int g = 0; g < kGroups; ++g) {
      total += sum_[g];
      const int above = lowest_ + g + 1;
      bound_[g] = above > 1023 ? DBL_MAX : std::ldexp(1.0, above);
    }
    peak_ = total;
  }

  // A reaction, and a height uniform below its weight.
  int64_t pick(Stream& stream, double& height) const {
    double target = stream.uniform() * total;
    int g = kGroups - 1;
    while (g > 0 && target >= sum_[g]) target -= sum_[g--];
    while (begin_[g] == begin_[g + 1]) g = (g + 1) % kGroups;  // the sum was what rounding had left
    const auto size = static_cast<uint64_t>(begin_[g + 1] - begin_[g]);
    const int32_t* const first = member_ + begin_[g];
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      const Wide wide = static_cast<Wide>(stream.bits()) * size;
      const int32_t r = first[static_cast<uint64_t>(wide >> 64)];
      height = unit(static_cast<uint64_t>(wide)) * bound_[g];
      if (height < weight[r]) return r;
    }
    return search(first, size, stream, height);
  }

 private:
  static constexpr int kAttempts = 64;

  static int exponent(double positive) {
    uint64_t bits;
    std::memcpy(&bits, &positive, 8);
    return static_cast<int>(bits >> 52) - 1023;
  }
  // kGroups where the weight is 0.
  int group_of(double w) const {
    if (!(w > 0)) return kGroups;
    const int g = exponent(w) - lowest_;
    return g < 0 ? 0 : g < kGroups ? g : kGroups + 1;
  }
  void put(int32_t r, int32_t at) {
    member_[at] = r;
    place_[r] = at;
  }
  // A hole in group `from` becomes one at the beginning of group `to`, where kGroups is past the end.
  int32_t up(int32_t hole, int from, int to) {
    for (int g = from; g < to; ++g) {
      const int32_t last = begin_[g + 1] - 1;
      if (last != hole) put(member_[last], hole);
      hole = begin_[g + 1] = last;
    }
    return hole;
  }
  // The same at the end of a lower group.
  int32_t down(int32_t hole, int from, int to) {
    for (int g = from; g > to; --g) {
      const int32_t first = begin_[g];
      if (first != hole) put(member_[first], hole);
      hole = first;
      begin_[g] = first + 1;
    }
    return hole;
  }
  // The lowest group may hold weights far below its bound: then each is looked at.
  int64_t search(const int32_t* first, uint64_t size, Stream& stream, double& height) const {
    double all = 0;
    for (uint64_t i = 0; i < size; ++i) all += weight[first[i]];
    double target = stream.uniform() * all;
    uint64_t i = 0;
    while (i < size - 1 && target >= weight[first[i]]) target -= weight[first[i++]];
    height = target < weight[first[i]] ? target : 0;
    return first[i];
  }

  int64_t reactions_;
  int32_t *member_, *place_;  // of each position the reaction, and of each reaction the position
  int32_t begin_[kGroups + 3]{};
  double sum_[kGroups + 2]{}, bound_[kGroups]{};
  double peak_ = 0;
  int lowest_ = 0;  // exponent of group 0
};

}  // namespace
}  // namespace kxfast::gillespie::KXFAST_ISA
