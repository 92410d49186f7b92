// Cohesion by links between sorted tables.
//
// Tables are closed under prefixes, and exact ones under suffixes too (a part is never rarer than the whole):
// they are a trie. The rows that extend a row lie side by side in the next table, and each row links to the
// row without its last and to the one without its first character. Both parts of every split are found by
// following links; only where a suffix is missing (KenLM's counts) is a shorter one looked up by content.
#include "words/kept.hpp"

#include <algorithm>
#include <cmath>

namespace kxfast::words {
namespace {

__extension__ typedef __int128 Product;

double times(int64_t a, int64_t b) {
  return static_cast<double>(static_cast<Product>(a) * b);
}

}  // namespace

Cohesion::Cohesion(std::vector<TableView> tables, int64_t total, Job& job)
    : tables_(std::move(tables)), links_(tables_.size()), total_(total) {
  for (int n = 2; n <= orders(); ++n) link(n, job);
}

void Cohesion::link(int n, Job& job) {
  const TableView &shorter = table(n - 1), &longer = table(n);
  Links &below = links_[static_cast<size_t>(n - 2)], &here = links_[static_cast<size_t>(n - 1)];
  const auto rows = static_cast<size_t>(longer.rows);
  here.parent.resize(rows), here.suffix.resize(rows);
  below.children.assign(static_cast<size_t>(shorter.rows) + 1, static_cast<uint32_t>(rows));
  below.children[0] = 0;
  uint32_t parent = 0;
  in_stretches(longer.rows, job, [&](int64_t row) {
    const auto r = static_cast<size_t>(row);
    const uint32_t* gram = longer.grams + r * static_cast<size_t>(n);
    while (!std::equal(gram, gram + n - 1, shorter.grams + size_t{parent} * static_cast<size_t>(n - 1)))
      below.children[++parent] = static_cast<uint32_t>(r);
    here.parent[r] = parent;
    int64_t low = 0, high = shorter.rows;
    if (n > 2) {  // w[1:] extends (w without its last)[1:]
      const Links& beneath = links_[static_cast<size_t>(n - 3)];
      const uint32_t stem = below.suffix[parent];
      low = stem == kNone ? 0 : beneath.children[stem];
      high = stem == kNone ? 0 : beneath.children[stem + 1];
    }
    const auto last_of = [&](int64_t other) { return shorter.grams[other * (n - 1) + n - 2]; };
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (last_of(middle) <= gram[n - 1] ? low : high) = middle;
    }
    here.suffix[r] = low < high && last_of(low) == gram[n - 1] ? static_cast<uint32_t>(low) : kNone;
  });
  if (shorter.rows)
    std::fill(below.children.begin() + parent + 1, below.children.end(), static_cast<uint32_t>(rows));
}

uint32_t Cohesion::find(const uint32_t* gram, int n) const {
  const TableView& in = table(n);
  int64_t low = 0, high = in.rows;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const uint32_t* other = in.grams + middle * n;
    if (std::lexicographical_compare(other, other + n, gram, gram + n))
      low = middle + 1;
    else
      high = middle;
  }
  return low < in.rows && std::equal(gram, gram + n, in.grams + low * n) ? static_cast<uint32_t>(low) : kNone;
}

double Cohesion::least_ratio(int n, int64_t row) const {
  const uint32_t* gram = table(n).grams + row * n;
  uint32_t prefix[16], suffix[16];  // rows by length
  prefix[n] = suffix[n] = static_cast<uint32_t>(row);
  for (int k = n; k > 1; --k) {
    const Links& links = links_[static_cast<size_t>(k - 1)];
    prefix[k - 1] = links.parent[prefix[k]];
    suffix[k - 1] = suffix[k] == kNone ? find(gram + n - k + 1, k - 1) : links.suffix[suffix[k]];
  }
  const auto count = [&](int order, uint32_t at) { return at == kNone ? total_ : table(order).counts[at]; };
  const double whole = times(total_, table(n).counts[row]);
  double least = 0;
  for (int k = 1; k < n; ++k) {
    const double ratio = whole / times(count(k, prefix[k]), count(n - k, suffix[n - k]));
    if (k == 1 || ratio < least) least = ratio;
  }
  return least;
}

Words kept_ngrams(const Cohesion& cohesion, const std::vector<double>& min_ratio, bool above, Job& job) {
  Words kept;
  for (int n = 2; n <= cohesion.orders(); ++n) {
    const TableView& table = cohesion.table(n);
    const double bound = min_ratio[static_cast<size_t>(n - 1)];
    in_stretches(table.rows, job, [&](int64_t row) {
      const double ratio = cohesion.least_ratio(n, row);
      if (above ? ratio > bound : ratio >= bound) kept.add(table.grams + row * n, n);
    });
  }
  return kept;
}

Words kept_pairs(const Cohesion& cohesion, double min_proba, double min_pmi, Job& job) {
  Words kept;
  const TableView &chars = cohesion.table(1), &pairs = cohesion.table(2);
  int64_t char_total = 0, pair_total = 0;
  for (int64_t row = 0; row < chars.rows; ++row) char_total += chars.counts[row];
  for (int64_t row = 0; row < pairs.rows; ++row) pair_total += pairs.counts[row];
  const auto share = [&](uint32_t code) {
    const uint32_t* at = std::lower_bound(chars.grams, chars.grams + chars.rows, code);
    return static_cast<double>(chars.counts[at - chars.grams]) / static_cast<double>(char_total);
  };
  in_stretches(pairs.rows, job, [&](int64_t row) {
    const uint32_t* pair = pairs.grams + 2 * row;
    const double p = static_cast<double>(pairs.counts[row]) / static_cast<double>(pair_total);
    if (p > min_proba && std::log(p / (share(pair[0]) * share(pair[1]))) > min_pmi) kept.add(pair, 2);
  });
  return kept;
}

}  // namespace kxfast::words
