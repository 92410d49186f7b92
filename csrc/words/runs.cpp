// Reading, writing and merging sorted runs.
//
// A row is one byte with the length of the prefix it shares with the row before and of what is its own (15: a
// number follows), its own code points and its count as numbers of seven bits a byte. N-grams of a block of
// Chinese text take about seven bytes each, a third of fixed columns. The merge is a heap of readers compared
// by their first three code points packed in one word, by the rest only where these are equal; it is limited
// by the decoding of rows, some tens of nanoseconds each.
#include "words/runs.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace kxfast::words {
namespace {

constexpr int64_t kMore = 15;

void put_number(Bytes& bytes, uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<uint8_t>(value | 0x80));
  bytes.push_back(static_cast<uint8_t>(value));
}

}  // namespace

void RunWriter::add(const uint32_t* codes, int64_t length, int64_t count) {
  const auto known = static_cast<int64_t>(last_.size());
  int64_t shared = 0;
  while (shared < length && shared < known && codes[shared] == last_[static_cast<size_t>(shared)]) ++shared;
  const int64_t own = length - shared;
  bytes.push_back(static_cast<uint8_t>(std::min(shared, kMore) << 4 | std::min(own, kMore)));
  if (shared >= kMore) put_number(bytes, static_cast<uint64_t>(shared - kMore));
  if (own >= kMore) put_number(bytes, static_cast<uint64_t>(own - kMore));
  for (int64_t i = shared; i < length; ++i) put_number(bytes, codes[i]);
  put_number(bytes, static_cast<uint64_t>(count));
  last_.assign(codes, codes + length);
}

File::File(const std::string& path, const char* mode) : path_(path), file_(std::fopen(path.c_str(), mode)) {
  if (!file_) throw std::system_error(errno, std::generic_category(), path);
  std::setvbuf(file_.get(), nullptr, _IONBF, 0);
}

void File::write(const Bytes& bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
    throw std::system_error(errno, std::generic_category(), path_);
}

size_t File::read(uint8_t* to, size_t size) {
  const size_t got = std::fread(to, 1, size, file_.get());
  if (got < size && std::ferror(file_.get())) throw std::system_error(errno, std::generic_category(), path_);
  return got;
}

void File::close() {
  if (std::fclose(file_.release())) throw std::system_error(errno, std::generic_category(), path_);
}

RunReader::RunReader(const std::string& path, size_t buffer)
    : at_(nullptr), end_(nullptr), file_(std::make_unique<File>(path, "rb")), buffer_(buffer) {}

// Keeps what is not yet read, and fills the buffer behind it.
void RunReader::refill() {
  if (!file_) return;
  const auto left = static_cast<size_t>(end_ - at_);
  if (left) std::memmove(buffer_.data(), at_, left);
  const size_t got = file_->read(buffer_.data() + left, buffer_.size() - left);
  at_ = buffer_.data(), end_ = at_ + left + got;
}

uint64_t RunReader::number() {
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    if (at_ == end_) refill();
    if (at_ == end_ || shift > 63) throw std::runtime_error("a run of counts ends within a row");
    const uint8_t byte = *at_++;
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
}

bool RunReader::next() {
  if (at_ == end_) refill();
  if (at_ == end_) return false;
  const uint8_t lengths = *at_++;
  uint64_t shared = lengths >> 4, own = lengths & 15;
  if (shared == kMore) shared += number();
  if (own == kMore) own += number();
  if (shared > codes.size()) throw std::runtime_error("a run of counts is damaged");
  codes.resize(static_cast<size_t>(shared));
  for (; own; --own) codes.push_back(static_cast<uint32_t>(number()));
  count = static_cast<int64_t>(number());
  head = 0;
  for (size_t i = 0; i < 3; ++i) head = head << 21 | (i < codes.size() ? codes[i] : 0);
  return true;
}

RunMerge::RunMerge(std::vector<RunReader>& readers) : readers_(readers) {
  for (size_t r = 0; r < readers.size(); ++r)
    if (readers[r].next()) heap_.push_back(r);
  for (size_t at = heap_.size() / 2; at-- > 0;) sink(at);
}

bool RunMerge::less(size_t a, size_t b) const {
  const RunReader &one = readers_[a], &other = readers_[b];
  if (one.head != other.head) return one.head < other.head;
  return std::lexicographical_compare(one.codes.begin(), one.codes.end(), other.codes.begin(),
                                      other.codes.end());
}

void RunMerge::sink(size_t at) {
  const size_t moved = heap_[at];
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && less(heap_[child + 1], heap_[child])) ++child;
    if (!less(heap_[child], moved)) break;
    heap_[at] = heap_[child];
    at = child;
  }
  heap_[at] = moved;
}

void RunMerge::step() {
  if (!readers_[heap_[0]].next()) {
    heap_[0] = heap_.back();
    heap_.pop_back();
  }
  if (!heap_.empty()) sink(0);
}

bool RunMerge::next() {
  if (heap_.empty()) return false;
  codes = readers_[heap_[0]].codes;
  count = 0;
  do {
    count += readers_[heap_[0]].count;
    step();
  } while (!heap_.empty() && readers_[heap_[0]].codes == codes);
  return true;
}

}  // namespace kxfast::words
