// The words are divided into stripes. A task is a pair of stripes with all their records, shuffled; a round
// is a set of pairs without a stripe in common, as in a tournament. Tasks of a round touch different vectors,
// so threads need no locks, and the result is that of one thread that visits the records in their order: it
// does not depend on the number of threads. The vectors of a pair of stripes fit into the L2 cache, where
// records in random order over the whole vocabulary would wait for memory. Tried and lost: threads that write
// to the same vectors without locks (another result at every run, and lines that travel between the cores'
// caches).
#include "cooccurrence/trainer.hpp"

#include <algorithm>

#include "core/threads.hpp"

namespace kxfast::cooccurrence {
namespace {

template <class Real>
using Step = double (*)(const Record<Real>*, const Record<Real>*, const Model<Real>&, Real*);

template <class Real>
Step<Real> step() {
  return KXFAST_PICK(Step<Real>, train_records);
}

}  // namespace

template <class Real>
Trainer<Real>::Trainer(const Pairs& pairs, Plan plan, const Real* vectors, const Real* contexts,
                       int64_t words, int64_t dim, double eta, int threads)
    : plan_(std::move(plan)),
      words_(words),
      dim_(dim),
      width_((dim * static_cast<int64_t>(sizeof(Real)) + 63) / 64 * 64 / static_cast<int64_t>(sizeof(Real))),
      eta_(static_cast<Real>(eta)),
      threads_(threads),
      records_(static_cast<size_t>(pairs.size)),
      vectors_(padded(vectors)),
      seen_vectors_(vectors_.size()) {
  std::fill(seen_vectors_.begin(), seen_vectors_.end(), Real{1});
  if (contexts) {
    contexts_ = padded(contexts);
    seen_contexts_ = Buffer<Real>(contexts_.size());
    std::fill(seen_contexts_.begin(), seen_contexts_.end(), Real{1});
  }
  constexpr int64_t kStretch = 1 << 16;
  const auto gather = [&](int64_t stretch) {
    for (int64_t r = stretch * kStretch; r < std::min(pairs.size, (stretch + 1) * kStretch); ++r) {
      const int64_t k = pairs.order[r];
      records_[static_cast<size_t>(r)] = {pairs.rows[k], pairs.columns[k], static_cast<Real>(pairs.values[k]),
                                          static_cast<Real>(pairs.weights[k])};
    }
  };
  parallel_for((pairs.size + kStretch - 1) / kStretch, gather, threads);
}

template <class Real>
Buffer<Real> Trainer<Real>::padded(const Real* rows) const {
  Buffer<Real> out(static_cast<size_t>(words_ * width_));
  std::fill(out.begin(), out.end(), Real{0});
  for (int64_t w = 0; w < words_; ++w)
    std::copy(rows + w * dim_, rows + (w + 1) * dim_, out.begin() + w * width_);
  return out;
}

template <class Real>
void Trainer<Real>::get(bool contexts, Real* out) const {
  const Buffer<Real>& from = contexts ? contexts_ : vectors_;
  for (int64_t w = 0; w < words_; ++w)
    std::copy(from.begin() + w * width_, from.begin() + w * width_ + dim_, out + w * dim_);
}

template <class Real>
double Trainer<Real>::epoch(Job& job) {
  const bool two = contexts_.size() > 0;
  const Model<Real> model{vectors_.data(),
                          two ? contexts_.data() : vectors_.data(),
                          seen_vectors_.data(),
                          two ? seen_contexts_.data() : seen_vectors_.data(),
                          width_,
                          eta_};
  const Step<Real> train = step<Real>();
  std::vector<double> costs(plan_.tasks.size(), 0);
  for (size_t round = 0; round + 1 < plan_.rounds.size() && !job.stopped(); ++round) {
    const int64_t first = plan_.rounds[round];
    const auto task = [&](int64_t t) {
      constexpr int64_t kChunk = 4096;
      const size_t number = static_cast<size_t>(first + t);
      Buffer<Real> moves(static_cast<size_t>(2 * width_));
      const int64_t end = plan_.tasks[number + 1];
      for (int64_t at = plan_.tasks[number]; at < end; at += kChunk) {
        const int64_t stop = std::min(end, at + kChunk);
        costs[number] += train(records_.data() + at, records_.data() + stop, model, moves.data());
        if (!job.advance(stop - at)) return;
      }
    };
    parallel_for(plan_.rounds[round + 1] - first, task, threads_, &job);
  }
  double cost = 0;
  for (const double each : costs) cost += each;
  return cost;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace kxfast::cooccurrence
