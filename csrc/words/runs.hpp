// Sorted runs of strings with counts: what blocks of a corpus leave behind, in memory or in a file, and what
// is merged into the whole. A row is stored as what it does not share with the row before it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "core/job.hpp"

namespace kxfast::words {

using Bytes = std::vector<uint8_t>;

// Code points one string after another, with the offsets where each begins, and the end.
struct Strings {
  const uint32_t* codes;
  const int64_t* offsets;
  int64_t count;
  const uint32_t* begin(int64_t s) const { return codes + offsets[s]; }
  int64_t length(int64_t s) const { return offsets[s + 1] - offsets[s]; }
};

// Rows must come in lexicographic order, no string twice. The first row shares nothing, so parts written one
// by one are together a run.
class RunWriter {
 public:
  void add(const uint32_t* codes, int64_t length, int64_t count);
  Bytes bytes;

 private:
  std::vector<uint32_t> last_;
};

class File {
 public:
  File(const std::string& path, const char* mode);
  void write(const Bytes& bytes);
  size_t read(uint8_t* to, size_t size);
  void close();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

class RunReader {
 public:
  RunReader(const uint8_t* bytes, size_t size) : at_(bytes), end_(bytes + size) {}
  RunReader(const std::string& path, size_t buffer);

  bool next();  // false at the end
  std::vector<uint32_t> codes;
  int64_t count = 0;
  uint64_t head = 0;  // the first three code points: what decides most comparisons

 private:
  uint64_t number();
  void refill();
  const uint8_t *at_, *end_;
  std::unique_ptr<File> file_;
  Bytes buffer_;
};

// Gives the rows of several runs in order, counts of equal strings added.
class RunMerge {
 public:
  explicit RunMerge(std::vector<RunReader>& readers);
  bool next();  // false at the end
  std::vector<uint32_t> codes;
  int64_t count = 0;

 private:
  bool less(size_t a, size_t b) const;
  void sink(size_t at);
  void step();
  std::vector<RunReader>& readers_;
  std::vector<size_t> heap_;
};

// visit(codes, length, count) for the merged rows, until the job stops.
template <class Visit>
void merge_runs(std::vector<RunReader>& readers, Job& job, Visit&& visit) {
  RunMerge merge(readers);
  for (int64_t row = 1; merge.next(); ++row) {
    visit(merge.codes.data(), static_cast<int64_t>(merge.codes.size()), merge.count);
    if (row % 8192 == 0 && !job.advance(0)) return;
  }
}

}  // namespace kxfast::words
