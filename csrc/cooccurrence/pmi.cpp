// PMI(i, j) = ln X_ij - ln T - ln p_i - ln p_j, a row at a time on all threads. Each row's cells that stay
// are written where the row of the counts begins; then rows are moved together, in order. Logarithms of words
// are taken once; what remains for a cell is one logarithm, which is the cost, and is not taken twice to find
// out how many cells stay. Sums over the matrix are sums of the rows' sums in order: they do not depend on
// the number of threads.
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
  Pmi(const Counts<Index, Count>& counts, const int64_t* words, const PmiRules& rules, int threads)
      : x_(counts), rules_(rules), threads_(threads), first_(size(), 0), second_(size(), 0) {
    each_row([&](int64_t row) {
      double sum = 0;
      for (Index k = x_.indptr[row]; k < x_.indptr[row + 1]; ++k)
        sum += !words || kept(row, k) ? static_cast<double>(x_.data[k]) : 0;
      first_[static_cast<size_t>(row)] = sum;
    });
    double total = 0;
    for (const double each : first_) total += each;
    for (Index k = 0; !words && k < x_.indptr[x_.size]; ++k)
      second_[static_cast<size_t>(x_.indices[k])] += static_cast<double>(x_.data[k]);
    for (size_t w = 0; words && w < size(); ++w) first_[w] = second_[w] = static_cast<double>(words[w]);
    for (double& each : second_) each = std::pow(each, rules.smoothing);
    log_total_ = std::log(total);
    to_log_shares(first_);
    to_log_shares(second_);
  }

  PmiMatrix run() const {
    PmiMatrix out;
    out.indptr.assign(size() + 1, 0);
    out.indices = Buffer<int32_t>(static_cast<size_t>(x_.indptr[x_.size]));
    out.data = Buffer<double>(out.indices.size());
    each_row([&](int64_t row) {
      const size_t begin = static_cast<size_t>(x_.indptr[row]);
      size_t at = begin;
      for_cells(row, [&](Index column, double value) {
        out.indices[at] = static_cast<int32_t>(column);
        out.data[at++] = value;
      });
      out.indptr[static_cast<size_t>(row) + 1] = static_cast<int64_t>(at - begin);
    });
    for (size_t row = 0; row < size(); ++row) {
      const int64_t from = x_.indptr[row], length = out.indptr[row + 1], to = out.indptr[row];
      if (from != to) {
        std::copy_n(out.indices.begin() + from, length, out.indices.begin() + to);
        std::copy_n(out.data.begin() + from, length, out.data.begin() + to);
      }
      out.indptr[row + 1] = to + length;
    }
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
  void each_row(Body&& body) const {
    const auto task = [&](int64_t t) {
      for (int64_t row = t * kRows; row < std::min(x_.size, (t + 1) * kRows); ++row) body(row);
    };
    parallel_for((x_.size + kRows - 1) / kRows, task, threads_);
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
  int threads_;
  std::vector<double> first_, second_;  // marginals of rows and columns, then the logarithms of their shares
  double log_total_;
};

}  // namespace

template <class Index, class Count>
PmiMatrix pmi(const Counts<Index, Count>& counts, const int64_t* words, const PmiRules& rules, int threads) {
  return Pmi<Index, Count>(counts, words, rules, threads).run();
}

template PmiMatrix pmi(const Counts<int32_t, int64_t>&, const int64_t*, const PmiRules&, int);
template PmiMatrix pmi(const Counts<int32_t, double>&, const int64_t*, const PmiRules&, int);
template PmiMatrix pmi(const Counts<int64_t, int64_t>&, const int64_t*, const PmiRules&, int);
template PmiMatrix pmi(const Counts<int64_t, double>&, const int64_t*, const PmiRules&, int);

}  // namespace kxfast::cooccurrence
