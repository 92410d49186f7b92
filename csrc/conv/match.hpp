// How well the places of a passage match a question.
#pragma once

#include <cstdint>

#include "core/job.hpp"

namespace kxfast::conv {

// Tokens are numbers below `tokens`, those of the question first. out (length, 3): whether the token is in
// the question; Jaccard similarity and edit distance over `width` of the window around it.
void match_features(const int64_t* question, int64_t width, const int64_t* passage, int64_t length,
                    int64_t tokens, double* out, Job& job);

}  // namespace kxfast::conv
