// Kernels of the stem gillespie, one set per instruction set: a network in flat arrays, a trajectory in
// progress, and the function that walks it a stretch of events further.
#pragma once

#include <cstdint>

#include "core/isa.hpp"
#include "core/random.hpp"

namespace kxfast::gillespie {

// One step of a rate expression in postfix order; the numbers are those of kxfast.gillespie.expressions.
enum Op : int32_t {
  kNumber,
  kSpecies,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kPower,
  kNegate,
  kExp,
  kLog,
  kSqrt,
  kAbs,
  kMin,
  kMax,
  kTime,  // becomes kSpecies with the place of the time
  kLess,
  kLessEqual,
  kEqual,
  kAnd,
  kOr,
  kNot,
  kSin,
  kCos,
  kIf,
  kCall,       // of a function of `species` numbers, whose address is `number`
  kHalfPower,  // to a power that is half of a whole number: what kPower becomes where `number` is one
};
struct Instruction {
  int32_t op;
  int32_t species;
  double number;
};
using RateFunction = double (*)(const double*);
inline RateFunction function_of(const Instruction& step) {
  return reinterpret_cast<RateFunction>(static_cast<uintptr_t>(step.number));  // addresses are below 2^53
}
inline int operands(const Instruction& step) {
  switch (step.op) {
    case kNumber:
    case kSpecies:
      return 0;
    case kNegate:
    case kExp:
    case kLog:
    case kSqrt:
    case kAbs:
    case kNot:
    case kSin:
    case kCos:
    case kHalfPower:
      return 1;
    case kIf:
      return 3;
    case kCall:
      return step.species;
    default:
      return 2;
  }
}
constexpr double kLargestHalfPower = 32;
constexpr int kMaxDepth = 32;  // of an expression's stack; Python refuses deeper ones

// (x[species] - less) / over: C(x, l) is the product of l of these.
struct Factor {
  int32_t species;
  double less, over;
};

// A species is among the reactants of reactions of this order this many times.
struct Reading {
  int32_t order, copies;
};

// A network as kernels read it. The state x is counts of species, doubles that are exact below 2^53, then
// variables that only events change; x[state] is the constant 1, the species of a factor that is not there,
// x[state + 1] takes changes that only fill up a row, and x[state + 2] is the time where an expression asks
// for it. Up to second order a propensity is rate * x[one] * (x[other] - less); one of third order has
// another factor (over 1: the rate is divided), one of higher order has `factors` alone, and one with an
// expression a `program`.
struct Model {
  int64_t species, state, reactions;
  const double *rate, *less;
  const int32_t *one, *other;
  bool plain;  // every reaction is of second order at most
  bool timed;  // some rate depends on the time: bounds are used, and candidates thinned
  const uint8_t* is_timed;
  bool checked;  // some rate is an expression: counts and rates must be looked at
  const int32_t *factor_begin, *program_begin;
  const Factor* factors;
  const Instruction* program;
  int64_t width;  // changes of a reaction, filled up to the longest
  const int32_t* change_species;
  const double* change_by;
  const int32_t *affected_begin, *affected;  // reactions to look at after a reaction
  const int32_t *reader_begin, *readers;     // reactions whose propensity reads a species
  const int32_t* reading_begin;  // of a species: the orders of reactions that read it, and by how many
  const Reading* readings;
  int64_t watches;  // conditions to look at after each event: the first of `control`'s programs
  const int32_t* control_begin;
  const Instruction* control;
};
constexpr int64_t kBesidesState = 4;  // places of x after the state

enum class Status : int {
  running,
  watched,  // a condition has changed
  stopped,  // at the time `stop`
  finished,
  bad_propensity,
  negative_count,
  too_large,
  bad_assignment,
  restless
};

enum class Method : int { direct, sorting_direct, next_reaction, composition_rejection, rssa, tau_leaping };

// One trajectory. The kernel reads and writes all of it; null pointers are outputs nobody asked for.
struct Walk {
  Stream* stream;
  double t, stop, end;
  bool pausing;              // at `stop`, which is the end otherwise
  double *x, *work;          // (state + kBesidesState,), (work_size,)
  const uint8_t* truth;      // (watches,) what the conditions were, or null: not to be looked at
  const double* grid;        // (samples,)
  int64_t samples, sample;   // of the grid, and the next to be written
  int64_t* out;              // (samples, species)
  int64_t* fired;            // (reactions,)
  double *log_time, window;  // events' times; where the time average begins
  int32_t* log_reaction;
  int64_t events, most;      // so far, and where to stop
  int64_t rejected, looked;  // candidates that were none, and propensities whose bounds were computed
  bool begun;                // what a method keeps from stretch to stretch is in `work`
  double *area, *area2;      // (species,) integrals of x - x0 and its square over the window
  const double* x0;
  bool absorbed;
  double epsilon;     // how far a propensity may change within a leap, relatively
  double stopped_at;  // when a condition ended it, or infinite
  int64_t culprit;    // of a status that is an error: the reaction or species, and its rate or count
  double value;
};

// Up to this many reactions every propensity is computed anew after each event.
constexpr int64_t kRecomputeUpTo = 20;
inline int64_t blocks_of_16(int64_t n) {
  return (n + 15) / 16;
}
constexpr int kGroups = 32;  // of reactions whose propensities lie between the same powers of two
inline int64_t work_size(int64_t state, int64_t reactions) {  // in doubles, enough for any method
  const int64_t blocks = blocks_of_16(reactions), groups = blocks_of_16(blocks);
  return 16 * (4 * blocks + groups + blocks_of_16(groups)) + 2 * (state + kBesidesState) + 4 * kGroups;
}

// run_...: walks on by a method, all exact but tau_leaping. value_of: an expression in the state x.
#define KXFAST_DECLARE(set)                                                           \
  namespace set {                                                                     \
  double value_of(const Instruction* begin, const Instruction* end, const double* x); \
  Status run_direct(const Model& model, Walk& walk, int64_t budget);                  \
  Status run_sorting_direct(const Model& model, Walk& walk, int64_t budget);          \
  Status run_next_reaction(const Model& model, Walk& walk, int64_t budget);           \
  Status run_composition_rejection(const Model& model, Walk& walk, int64_t budget);   \
  Status run_rssa(const Model& model, Walk& walk, int64_t budget);                    \
  Status run_tau_leaping(const Model& model, Walk& walk, int64_t budget);             \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE

}  // namespace kxfast::gillespie
