// PMI(i, j) = ln X_ij - ln T - ln p_i - ln p_j, a row at a time on all threads: one pass finds how many cells
// of each row stay, the second writes them where they belong. Logarithms of words are taken once; what
// remains for a cell is one logarithm, which is the cost. Sums over the matrix are made in row order on one
// thread, as they must not depend on the number of threads.
#include "cooccurrence/pmi.hpp"

#include <algorithm>
#include <cmath>

#include "core/threads.hpp"

namespace kxfast::cooccurrence {
namespace {

constexpr int64_t kRows = 64;  // of a task

template <class Index, class Count>
class Pmi {
 public:
  Pmi(const Counts<Index, Count>& counts, const int64_t* words, const PmiRules& rules)
      : x_(counts), rules_(rules), first_(size(), 0), second_(size(), 0) {
    double total = 0;
    for (int64_t row = 0; row < x_.size; ++row)
      for (Index k = x_.indptr[row]; k < x_.indptr[row + 1]; ++k) {
        const double value = static_cast<double>(x_.data[k]);
        if (words) {
          total += kept(row, k) ? value : 0;
        } else {
          first_[static_cast<size_t>(row)] += value;
          second_[static_cast<size_t>(x_.indices[k])] += value;
          total += value;
        }
      }
    for (size_t w = 0; words && w < size(); ++w) first_[w] = second_[w] = static_cast<double>(words[w]);
    for (double& each : second_) each = std::pow(each, rules.smoothing);
    log_total_ = std::log(total);
    to_log_shares(first_);
    to_log_shares(second_);
  }

  PmiMatrix run(int threads) const {
    PmiMatrix out;
    out.indptr.assign(size() + 1, 0);
    each_row(threads, [&](int64_t row) {
      int64_t count = 0;
      for_cells(row, [&](Index, double) { ++count; });
      out.indptr[static_cast<size_t>(row) + 1] = count;
    });
    for (size_t row = 0; row < size(); ++row) out.indptr[row + 1] += out.indptr[row];
    out.indices = Buffer<int32_t>(static_cast<size_t>(out.indptr.back()));
    out.data = Buffer<double>(out.indices.size());
    each_row(threads, [&](int64_t row) {
      size_t at = static_cast<size_t>(out.indptr[static_cast<size_t>(row)]);
      for_cells(row, [&](Index column, double value) {
        out.indices[at] = static_cast<int32_t>(column);
        out.data[at++] = value;
      });
    });
    return out;
  }

 private:
  size_t size() const { return static_cast<size_t>(x_.size); }
  bool kept(int64_t row, Index k) const { return x_.indices[k] != row && x_.data[k] > 0; }

  static void to_log_shares(std::vector<double>& values) {
    double sum = 0;
    for (const double each : values) sum += each;
    const double log_sum = std::log(sum);
    for (double& each : values) each = std::log(each) - log_sum;
  }

  template <class Body>
  void each_row(int threads, Body&& body) const {
    const auto task = [&](int64_t t) {
      for (int64_t row = t * kRows; row < std::min(x_.size, (t + 1) * kRows); ++row) body(row);
    };
    parallel_for((x_.size + kRows - 1) / kRows, task, threads);
  }

  template <class Visit>
  void for_cells(int64_t row, Visit&& visit) const {
    for (Index k = x_.indptr[row]; k < x_.indptr[row + 1]; ++k) {
      if (!kept(row, k)) continue;
      const double joint = std::log(static_cast<double>(x_.data[k])) - log_total_;
      double value = joint - first_[static_cast<size_t>(row)] - second_[static_cast<size_t>(x_.indices[k])];
      if (rules_.normalized) value = joint != 0 ? value / -joint : 1.0;
      value -= rules_.shift;
      if (!rules_.positive || value > 0) visit(x_.indices[k], value);
    }
  }

  const Counts<Index, Count>& x_;
  PmiRules rules_;
  std::vector<double> first_, second_;  // marginals of rows and columns, then the logarithms of their shares
  double log_total_;
};

}  // namespace

template <class Index, class Count>
PmiMatrix pmi(const Counts<Index, Count>& counts, const int64_t* words, const PmiRules& rules, int threads) {
  return Pmi<Index, Count>(counts, words, rules).run(threads);
}

template PmiMatrix pmi(const Counts<int32_t, int64_t>&, const int64_t*, const PmiRules&, int);
template PmiMatrix pmi(const Counts<int32_t, double>&, const int64_t*, const PmiRules&, int);
template PmiMatrix pmi(const Counts<int64_t, int64_t>&, const int64_t*, const PmiRules&, int);
template PmiMatrix pmi(const Counts<int64_t, double>&, const int64_t*, const PmiRules&, int);

}  // namespace kxfast::cooccurrence
