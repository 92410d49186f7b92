// The next row of a sum of runs is the lowest that any of them has next. If one run alone has it, its bytes
// are copied; else the runs' cells are added into one row of sums, as in counting. Files are read a row at a
// time, in order, so their number is limited by nothing but open files, and memory by the longest row.
#include "cooccurrence/merge.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "core/threads.hpp"

namespace kxfast::cooccurrence {

Source::Source(std::vector<Bytestring> parts) : parts_(std::move(parts)) {}

Source::Source(const std::string& path) : file_(std::fopen(path.c_str(), "rb")) {
  if (!file_) throw std::system_error(errno, std::generic_category(), path);
  std::setvbuf(file_.get(), nullptr, _IOFBF, 1 << 18);
}

bool Source::next() {
  if (file_) {
    if (std::fread(&header, sizeof header, 1, file_.get()) != 1) return false;
    row_.resize(header.bytes);
    if (std::fread(row_.data(), 1, row_.size(), file_.get()) != row_.size())
      throw std::runtime_error("a file of spilled counts has been cut off");
    cells = row_.data();
    return true;
  }
  while (part_ < parts_.size() && at_ == parts_[part_].size) {
    ++part_;
    at_ = 0;
  }
  if (part_ == parts_.size()) return false;
  const uint8_t* data = parts_[part_].data + at_;
  std::memcpy(&header, data, sizeof header);
  cells = data + sizeof header;
  at_ += sizeof header + header.bytes;
  return true;
}

Merger::Merger(std::vector<Source> sources, size_t positive, int64_t vocabulary, bool wide)
    : sources_(std::move(sources)), positive_(positive), vocabulary_(vocabulary), wide_(wide) {
  for (Source& source : sources_) more_.push_back(source.next());
}

template <class Value>
void Merger::add(std::unique_ptr<Sums<Value>>& sums, uint32_t row, Bytes& out) {
  if (!sums) sums = std::make_unique<Sums<Value>>(vocabulary_);
  for (size_t k = 0; k < sources_.size(); ++k) {
    if (!more_[k] || sources_[k].header.row != row) continue;
    each_cell<Value>(sources_[k].header, sources_[k].cells, [&](uint32_t column, Value value) {
      sums->add(column, k < positive_ ? value : 0 - value);
    });
    more_[k] = sources_[k].next();
  }
  sums->append_to(out, row);
}

Bytes Merger::take(size_t bytes, Job& job) {
  Bytes out;
  while (out.size() < bytes && job.advance(0)) {
    size_t lowest = sources_.size(), equal = 0;
    for (size_t k = 0; k < sources_.size(); ++k) {
      if (!more_[k]) continue;
      const bool less = lowest == sources_.size() || sources_[k].header.row < sources_[lowest].header.row;
      if (less) lowest = k;
      equal = less ? 1 : equal + (sources_[k].header.row == sources_[lowest].header.row);
    }
    if (lowest == sources_.size()) break;
    Source& source = sources_[lowest];
    if (equal == 1 && lowest < positive_) {
      uint8_t* end = out.reserve(sizeof source.header + source.header.bytes);
      std::memcpy(end, &source.header, sizeof source.header);
      std::memcpy(end + sizeof source.header, source.cells, source.header.bytes);
      out.set_size(out.size() + sizeof source.header + source.header.bytes);
      more_[lowest] = source.next();
    } else if (wide_) {
      add(wide_sums_, source.header.row, out);
    } else {
      add(sums_, source.header.row, out);
    }
  }
  return out;
}

int64_t cells_of(const Bytestring& part) {
  Source source({part});
  int64_t cells = 0;
  while (source.next()) cells += source.header.cells;
  return cells;
}

Rows decode(const std::vector<Bytestring>& parts, const Weights& weights, bool harmonic, int threads,
            Job& job) {
  struct Row {
    RowHeader header;
    const uint8_t* cells;
    size_t at;  // where they go
  };
  Rows out;
  std::vector<Row> rows;
  std::vector<size_t> groups(1, 0);
  size_t total = 0;
  Source source(parts);
  while (source.next()) {
    out.numbers.push_back(source.header.row);
    out.cells.push_back(source.header.cells);
    if (!rows.empty() && total - rows[groups.back()].at >= 1 << 16) groups.push_back(rows.size());
    rows.push_back({source.header, source.cells, total});
    total += source.header.cells;
  }
  groups.push_back(rows.size());
  out.columns = Buffer<int32_t>(total);
  if (harmonic)
    out.weighted = Buffer<double>(total);
  else
    out.whole = Buffer<int64_t>(total);
  const auto fill = [&](const Row& row) {
    size_t at = row.at;
    const auto put = [&](uint32_t column, auto value) {
      out.columns[at] = static_cast<int32_t>(column);
      if (harmonic)
        out.weighted[at++] = weights.value(value);
      else
        out.whole[at++] = static_cast<int64_t>(value);
    };
    if (weights.wide)
      each_cell<Wide>(row.header, row.cells, put);
    else
      each_cell<uint64_t>(row.header, row.cells, put);
  };
  const auto group = [&](int64_t g) {
    for (size_t r = groups[static_cast<size_t>(g)]; r < groups[static_cast<size_t>(g) + 1]; ++r)
      fill(rows[r]);
  };
  parallel_for(static_cast<int64_t>(groups.size()) - 1, group, threads, &job);
  return out;
}

}  // namespace kxfast::cooccurrence
