// Ensembles of small networks with a trajectory in each vector lane: the network as the lanes read it, a
// block of trajectories in progress, and the functions that walk it on, one set per instruction set.
#pragma once

#include <cstdint>

#include "core/isa.hpp"

namespace kxfast::gillespie {

constexpr int kLaneReactions = 24;  // a row of the table of changes; served are at most kRecomputeUpTo
constexpr int kLaneGroups = 4;      // vectors of trajectories in a block, at most
constexpr double kLargestLaneCount = 0x1p52;

// One step of a rate expression: row `to` of the block becomes op of the rows a, b, c.
struct LaneStep {
  int32_t op, to, a, b, c;
  double number;
};
constexpr int kCallArguments = 3;  // a function of more is not for lanes

// rate * x[one] * (x[other] - less) * (x[third] - third_less), as many factors as the order says; of
// order kExpression it is row `third` after the steps from `one` to `other`.
constexpr int32_t kExpression = -1;
struct LaneReaction {
  int32_t order, one, other, third;
  double rate, less, third_less;
};

struct LaneModel {
  int64_t species, reactions, moving;  // species that some reaction changes
  int64_t rows;                        // species, then numbers and intermediate values of expressions
  bool checked;                        // some rate is an expression: counts and rates must be looked at
  const LaneStep* steps;
  const LaneReaction* reaction;
  const double* change;    // (moving, kLaneReactions): of a species, by each reaction
  const int32_t* changed;  // (moving,) the species
  const double* initial;   // (rows,)
  const double* grid;      // (samples,)
  double start;            // the time at which all begin
  int64_t samples;
};

// The trajectory in one lane. When it ends the kernel hands its slot to LaneBlock::refill.
struct LaneSlot {
  int64_t trajectory;  // -1: none
  int64_t sample;      // of the grid, the next to be written
  int64_t events;
  uint64_t stream[4];     // at the start
  const int64_t* counts;  // at the start, or null: the model's
  int64_t* out;           // (samples, species)
  int64_t* fired;         // (reactions,); the kernel adds to it
};

// `groups` vectors of lanes; L is their width. Arrays are laid out as they are written here.
struct LaneBlock {
  double* x;                // (rows, groups, L)
  double *t, *next_sample;  // (groups, L)
  double* sums;             // (reactions, groups, L) cumulative sums of propensities
  uint64_t* stream;         // (4, groups, L)
  uint64_t* recent;         // (3, groups, L): a byte for each reaction, its firings since the last transfer
  int64_t* fired;           // (reactions, groups, L): before that
  LaneSlot* slots;          // (groups, L)
  int64_t groups, live;     // lanes that have a trajectory
  int64_t samples_written;
  bool failed;  // in some trajectory a count or a rate is out of range
  void* context;
  bool (*refill)(void* context,
                 LaneSlot& slot);  // takes a finished trajectory, gives a new one if any is left
};

enum class LaneStatus : int { running, finished, failed };

// lane_width: trajectories in a vector. fill_lanes: gives each lane its first
// trajectory. walk_lanes: `rounds` events in each lane; failed if a count or rate is out of range.
#define KXFAST_DECLARE(set)                                                        \
  namespace set {                                                                  \
  int lane_width();                                                                \
  void fill_lanes(const LaneModel& model, LaneBlock& block);                       \
  LaneStatus walk_lanes(const LaneModel& model, LaneBlock& block, int64_t rounds); \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE

}  // namespace kxfast::gillespie
