// Memory, growth and codes of one cached sequence; see cache_sequence.h.
#include "ops/cpu/cache_sequence.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "ops/cpu/cached_attention.h"

namespace giantrabbit::ops::cpu {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

void* allocate(size_t bytes) {
  const size_t alignment = bytes >= kHugePage / 2 ? kHugePage : kLine;
  const size_t rounded = std::max(alignment, (bytes + alignment - 1) / alignment * alignment);
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (alignment == kHugePage) madvise(memory, rounded, MADV_HUGEPAGE);  // a wish: failure changes nothing
#endif
  return memory;
}

// The first `used` numbers of each of `heads` parts move to parts of `part` numbers.
template <class T>
void regrow(Memory<T>& memory, int64_t heads, int64_t old_part, int64_t part, int64_t used) {
  Memory<T> larger(static_cast<T*>(allocate(static_cast<size_t>(heads * part) * sizeof(T))));
  for (int64_t head = 0; head < heads && used > 0; ++head) {
    std::memcpy(larger.get() + head * part, memory.get() + head * old_part,
                static_cast<size_t>(used) * sizeof(T));
  }
  memory = std::move(larger);
}

// The largest magnitude; NaN and infinity make it infinite.
float largest_magnitude(const float* numbers, int64_t count) {
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) {
    finite = finite && std::isfinite(numbers[i]);
    largest = std::max(largest, std::abs(numbers[i]));
  }
  return finite ? largest : std::numeric_limits<float>::infinity();
}

// Mean of the 64 rows, and a bound of the distance of any row from it. In double: nothing overflows, and the
// factor covers the rounding.
float page_ball(const float* rows, int64_t stride, float* centre) {
  std::vector<double> sums(static_cast<size_t>(stride));
  for (int64_t key = 0; key < kPageKeys; ++key) {
    for (int64_t k = 0; k < stride; ++k) sums[static_cast<size_t>(k)] += rows[key * stride + k];
  }
  for (int64_t k = 0; k < stride; ++k) {
    centre[k] = static_cast<float>(sums[static_cast<size_t>(k)] / static_cast<double>(kPageKeys));
  }
  double largest = 0;
  for (int64_t key = 0; key < kPageKeys; ++key) {
    double squares = 0;
    for (int64_t k = 0; k < stride; ++k) {
      const double difference = static_cast<double>(rows[key * stride + k]) - static_cast<double>(centre[k]);
      squares += difference * difference;
    }
    largest = std::max(largest, squares);
  }
  return static_cast<float>(std::sqrt(largest) * (1 + 1e-6));
}

}  // namespace

void FreeMemory::operator()(void* memory) const { std::free(memory); }

std::unique_ptr<CacheSequence> CacheSequence::copy() const {
  auto result = std::make_unique<CacheSequence>(sizes_, with_codes_);
  result->reserve(length_);
  for (int64_t head = 0; head < sizes_.heads; ++head) {
    const CachedHead from = this->head(head);
    result->append_head(head, {from.keys.data, key_stride(), from.values.data, value_stride(), length_});
  }
  result->grow(length_);
  return result;
}

int64_t CacheSequence::bytes() const {
  constexpr auto kNumber = static_cast<int64_t>(sizeof(float));
  int64_t head = capacity_ * kPageKeys * (key_stride() + value_stride()) * kNumber;
  if (with_codes_) {
    const int64_t coded_pages = capacity_ + group_capacity();  // those of centres too
    head += coded_pages * (page_bytes() + static_cast<int64_t>(sizeof(PageCode))) + capacity_ * kNumber;
    if (open_centres_) head += kPageKeys * key_stride() * kNumber;
  }
  return sizes_.heads * head;
}

CachedHead CacheSequence::head(int64_t index) const {
  const Marks& marks = marks_[static_cast<size_t>(index)];
  const int64_t first = index * capacity_;
  CachedHead head{length_,
                  {keys_.get() + first * kPageKeys * key_stride(), key_stride()},
                  {values_.get() + first * kPageKeys * value_stride(), value_stride()},
                  marks.finite_keys,
                  marks.finite_values,
                  marks.largest,
                  0,
                  nullptr,
                  nullptr,
                  0,
                  nullptr,
                  nullptr,
                  nullptr};
  if (!with_codes_) return head;
  head.coded_pages = length_ / kPageKeys;
  head.codes = codes_.get() + first * page_bytes();
  head.pages = pages_.get() + first;
  head.coded_groups = head.coded_pages / kPageKeys;
  head.centre_codes = centre_codes_.get() + index * group_capacity() * page_bytes();
  head.centre_pages = centre_pages_.get() + index * group_capacity();
  head.radii = radii_.get() + first;
  return head;
}

void CacheSequence::reserve(int64_t length) {
  const int64_t needed = (length + kPageKeys - 1) / kPageKeys;
  if (needed <= capacity_) return;
  const int64_t old = capacity_;
  const int64_t old_groups = group_capacity();
  capacity_ = std::max(needed, 2 * old);
  const int64_t heads = sizes_.heads;
  const auto rows = [&](Memory<float>& memory, int64_t stride) {
    const int64_t page = kPageKeys * stride;
    regrow(memory, heads, old * page, capacity_ * page, length_ * stride);
  };
  rows(keys_, key_stride());
  rows(values_, value_stride());
  if (!with_codes_) return;
  const int64_t pages = length_ / kPageKeys;
  const int64_t groups = pages / kPageKeys;
  const int64_t bytes = page_bytes();
  regrow(codes_, heads, old * bytes, capacity_ * bytes, pages * bytes);
  regrow(pages_, heads, old, capacity_, pages);
  regrow(radii_, heads, old, capacity_, pages);
  regrow(centre_codes_, heads, old_groups * bytes, group_capacity() * bytes, groups * bytes);
  regrow(centre_pages_, heads, old_groups, group_capacity(), groups);
  if (!open_centres_) regrow(open_centres_, heads, 0, kPageKeys * key_stride(), 0);
}

void CacheSequence::append_head(int64_t head, const NewRows& rows) {
  Marks& marks = marks_[static_cast<size_t>(head)];
  const auto copy_row = [](float* to, const float* from, int64_t width, int64_t stride) {
    std::copy_n(from, width, to);
    std::fill(to + width, to + stride, 0.0F);
    return largest_magnitude(from, width);
  };
  for (int64_t i = 0; i < rows.count; ++i) {
    const int64_t row = head * capacity_ * kPageKeys + length_ + i;
    const float key =
        copy_row(keys_.get() + row * key_stride(), rows.keys + i * rows.key_row, sizes_.width, key_stride());
    const float value = copy_row(values_.get() + row * value_stride(), rows.values + i * rows.value_row,
                                 sizes_.value_width, value_stride());
    marks.largest = std::max(marks.largest, key);
    marks.finite_keys = marks.finite_keys && std::isfinite(key);
    marks.finite_values = marks.finite_values && std::isfinite(value);
    if (with_codes_ && (length_ + i + 1) % kPageKeys == 0) encode(head, (length_ + i) / kPageKeys);
  }
}

void CacheSequence::encode(int64_t head, int64_t page) {
  const DecodeFunctions& functions = decode_functions(chosen_capability());
  const int64_t index = head * capacity_ + page;
  const float* rows = keys_.get() + index * kPageKeys * key_stride();
  functions.encode_page(rows, key_stride(), codes_.get() + index * page_bytes(), pages_.get() + index);
  float* centres = open_centres_.get() + head * kPageKeys * key_stride();
  radii_[static_cast<size_t>(index)] =
      page_ball(rows, key_stride(), centres + page % kPageKeys * key_stride());
  if ((page + 1) % kPageKeys != 0) return;
  const int64_t group = head * group_capacity() + page / kPageKeys;
  functions.encode_page(centres, key_stride(), centre_codes_.get() + group * page_bytes(),
                        centre_pages_.get() + group);
}

}  // namespace giantrabbit::ops::cpu
