// Keys and values of one sequence in memory: what a KeyValueCache holds once per sequence. In, rows of keys
// and values; out, views of a head for the kernels. Invariants: the first length() rows of every head are
// written; every full page of 64 keys has its codes (if there are codes), every 64 full pages have coded
// centres; the contents depend on the rows alone, not on the way they were cut into appends.
#pragma once

#include <memory>
#include <vector>

#include "ops/cpu/decode_functions.h"

namespace giantrabbit::ops::cpu {

constexpr int64_t padded_row(int64_t width) { return (width + kRowPadding - 1) / kRowPadding * kRowPadding; }

// The cache of one key/value head of one sequence, valid until something is appended.
struct CachedHead {
  int64_t length;
  CacheRows keys;
  CacheRows values;
  bool finite_keys;  // whether every number in them is finite
  bool finite_values;
  float largest;        // largest magnitude of a key's number
  int64_t coded_pages;  // pages 0 .. coded_pages have codes
  const uint8_t* codes;
  const PageCode* pages;
  // Groups of 64 pages 0 .. coded_groups: every key of page p is within radii[p] of its page's centre.
  int64_t coded_groups;
  const uint8_t* centre_codes;
  const PageCode* centre_pages;
  const float* radii;
};

// Rows of one head to append, `row` numbers apart.
struct NewRows {
  const float* keys;
  int64_t key_row;
  const float* values;
  int64_t value_row;
  int64_t count;
};

// Memory that is not initialised. Large blocks lie on huge pages where the system has them.
struct FreeMemory {
  void operator()(void* memory) const;
};
template <class T>
using Memory = std::unique_ptr<T[], FreeMemory>;

class CacheSequence {
 public:
  struct Sizes {
    int64_t heads;
    int64_t width;
    int64_t value_width;
  };

  CacheSequence(Sizes sizes, bool with_codes) : sizes_(sizes), with_codes_(with_codes), marks_(sizes.heads) {}
  std::unique_ptr<CacheSequence> copy() const;

  int64_t length() const { return length_; }
  int64_t bytes() const;  // allocated
  CachedHead head(int64_t index) const;

  // Appending: reserve() once, append_head() for every head with the same count (different heads may run on
  // different threads), then grow() by that count.
  void reserve(int64_t length);
  void append_head(int64_t head, const NewRows& rows);
  void grow(int64_t count) { length_ += count; }

 private:
  struct Marks {
    bool finite_keys = true;
    bool finite_values = true;
    float largest = 0;
  };
  int64_t key_stride() const { return padded_row(sizes_.width); }
  int64_t value_stride() const { return padded_row(sizes_.value_width); }
  int64_t page_bytes() const { return kPageKeys * key_stride(); }
  int64_t group_capacity() const { return (capacity_ + kPageKeys - 1) / kPageKeys; }
  void encode(int64_t head, int64_t page);

  Sizes sizes_;
  bool with_codes_;
  int64_t length_ = 0;
  int64_t capacity_ = 0;  // pages per head
  std::vector<Marks> marks_;
  // Head after head, with room for capacity_ pages each.
  Memory<float> keys_;
  Memory<float> values_;
  Memory<uint8_t> codes_;
  Memory<PageCode> pages_;
  Memory<float> radii_;
  Memory<uint8_t> centre_codes_;
  Memory<PageCode> centre_pages_;
  Memory<float> open_centres_;  // [heads][64 pages]: the group that is not full
};

}  // namespace giantrabbit::ops::cpu
