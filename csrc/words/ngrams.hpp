// n-gram tables of a corpus: code points with 0 between runs.
#pragma once

#include <cstdint>
#include <vector>

#include "core/job.hpp"
#include "core/workspace.hpp"
#include "words/runs.hpp"

namespace kxfast::words {

struct Table {
  Buffer<uint32_t> grams;  // n code points each, in lexicographic order
  Buffer<int64_t> counts;
};

struct Counted {
  std::vector<Table> tables;  // [n - 1]
  int64_t total = 0;          // of the kept 1-grams
};

constexpr int kMaxOrder = 8;

// Throws std::invalid_argument if max_order - 1 ids do not fit into 128 bits.
Counted count_ngrams(const uint32_t* codes, int64_t size, int max_order, int64_t min_count, int threads,
                     Job& job);

// The same with the entropies of each n-gram's neighbours, as neighbor_entropy gives them, by one sort less.
struct Entropies {
  Buffer<double> left, right;
};
Counted count_with_entropies(const uint32_t* codes, int64_t size, int max_order, int64_t min_count,
                             int threads, Job& job, std::vector<Entropies>& entropies);

// The n-grams of the highest order, and the shorter ones at the ends of runs: their prefixes count all
// orders. Parts to be written one after another.
std::vector<Bytes> ngram_run(const uint32_t* codes, int64_t size, int order, int threads, Job& job);

// Tables of code points of the orders 1 .. max_order from merged runs.
Counted tables_of_runs(std::vector<RunReader>& runs, int max_order, int64_t min_count, Job& job);

// The corpus as KenLM's counter pads it: order - 1 start symbols before each run, an end symbol behind it.
std::vector<uint32_t> pad_runs(const uint32_t* codes, int64_t size, int order, Job& job);

// Tables by KenLM's rules from merged runs of padded n-grams: rare rows are dropped, then every prefix of
// what remains without the symbols is credited.
Counted kenlm_tables_of_runs(std::vector<RunReader>& runs, int max_order, int64_t min_count, Job& job);

// ln count, from a table where it is small: most neighbours come a few times. Entropies are sums of
// p (ln total - ln count) in the order of the neighbours, the same whichever way they are found.
double logarithm(int64_t count);

// n-grams of one order as code points, in lexicographic order, and where their entropies are to be written.
struct GramList {
  const uint32_t* grams;
  int64_t rows;
  int order;
  double *left, *right;
};

// Entropies (nats) of the characters left and right of each n-gram, over the occurrences that have both
// neighbours in their run.
void neighbor_entropy(const uint32_t* codes, int64_t size, const std::vector<GramList>& lists, int threads,
                      Job& job);

}  // namespace kxfast::words
