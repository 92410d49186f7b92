// Runs are added, and become matrices.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cooccurrence/count.hpp"
#include "cooccurrence/runs.hpp"
#include "cooccurrence/sums.hpp"
#include "core/job.hpp"
#include "core/workspace.hpp"

namespace kxfast::cooccurrence {

struct Bytestring {
  const uint8_t* data;
  size_t size;
};

// The rows of a run, one after the other: in memory, or in a file.
class Source {
 public:
  explicit Source(std::vector<Bytestring> parts);
  explicit Source(const std::string& path);
  bool next();  // false at the end

  RowHeader header{};
  const uint8_t* cells = nullptr;  // of the row

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::vector<Bytestring> parts_;
  size_t part_ = 0, at_ = 0;
  std::unique_ptr<std::FILE, Close> file_;
  std::vector<uint8_t> row_;
};

// The sum of runs, less others whose cells are all in it, as one run, a few megabytes at a time.
class Merger {
 public:
  Merger(std::vector<Source> sources, size_t positive, int64_t vocabulary,
         bool wide);  // the rest are taken away
  // The next rows, at least `bytes` long; nothing at the end.
  Bytes take(size_t bytes, Job& job);

 private:
  template <class Value>
  void add(std::unique_ptr<Sums<Value>>& sums, uint32_t row, Bytes& out);

  std::vector<Source> sources_;
  std::vector<bool> more_;
  size_t positive_;
  int64_t vocabulary_;
  bool wide_;
  std::unique_ptr<Sums<uint64_t>> sums_;
  std::unique_ptr<Sums<Wide>> wide_sums_;
};

// Rows of cells in the order of their columns.
struct Rows {
  std::vector<uint32_t> numbers, cells;  // of rows that are not empty
  Buffer<int32_t> columns;
  Buffer<int64_t> whole;    // uniform weights
  Buffer<double> weighted;  // harmonic weights
};

int64_t cells_of(const Bytestring& part);
Rows decode(const std::vector<Bytestring>& parts, const Weights& weights, bool harmonic, int threads,
            Job& job);

}  // namespace kxfast::cooccurrence
