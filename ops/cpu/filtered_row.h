// One query's way through a cached head that reads keys in 8 bits first: prepare(), filter() over ranges of
// pages that different threads may take, finish(). In, a query row and buffers that outlive it; out, its
// output, support and counters, or the answer that the dense way suits it better. See Note [Attention by
// certificate] in filtered_row.cpp.
#pragma once

#include <array>
#include <limits>
#include <memory>
#include <vector>

#include "ops/cpu/cached_attention.h"

namespace giantrabbit::ops::cpu {

constexpr int64_t kFewestPages = 4;  // below, the passes cost more than the keys
constexpr int64_t kFirstPages = 16;  // read before a threshold is worth computing

using Lanes = std::array<float, kPageKeys>;

// What the pass over one range of pages keeps.
class KeptPages {
 public:
  void prepare(int64_t pages, float threshold) {
    if (std::ssize(pages_) < pages) {
      pages_.resize(static_cast<size_t>(pages));
      bounds_.reset(new float[static_cast<size_t>(pages * kPageKeys)]);
    }
    lanes.fill(-std::numeric_limits<float>::infinity());
    result = {lanes.data(), threshold, pages_.data(), bounds_.get(), 0};
  }
  Lanes lanes;
  FilterResult result{};

 private:
  std::vector<int32_t> pages_;
  std::unique_ptr<float[]> bounds_;
};

// Buffers of one row, reused from call to call: fresh memory would cost page faults.
struct RowBuffers {
  std::vector<int8_t> query_codes;
  KeptPages seeds;                // pages read before the others
  std::vector<KeptPages> ranges;  // the other pages, cut by thread
  std::vector<int32_t> survivors;
  std::vector<float> ball_bounds;
  // Keys scored in fp32: first those without codes, then the candidates.
  std::vector<int64_t> keys;
  std::vector<float> bounds;
  std::vector<float> scores;
  std::vector<float> weights;
  std::vector<int64_t> used;

  void reserve(int64_t count) {
    if (std::ssize(keys) >= count) return;
    keys.resize(static_cast<size_t>(count));
    used.resize(keys.size());
    for (auto* numbers : {&bounds, &scores, &weights}) numbers->resize(keys.size());
  }
};

class FilteredRow {
 public:
  FilteredRow(const CachedCall& call, const CachedHead& head, CachedQuery& row, RowBuffers& buffers)
      : call_(call), head_(head), row_(row), buffers_(buffers) {
    first_page_ = (row.begin + kPageKeys - 1) / kPageKeys;
    end_page_ = std::max(first_page_, std::min(row.end / kPageKeys, head.coded_pages));
  }

  CachedQuery& row() const { return row_; }

  // False if the row needs the dense way: few pages, numbers that the bounds are not made for, or a support
  // that seems too wide.
  bool prepare();
  // The pages left to read are positions 0 .. of a list, or of consecutive pages.
  int64_t left_to_read() const { return listed_ ? std::ssize(buffers_.survivors) : end_page_ - unread_; }
  void start_ranges(int64_t ranges, int64_t pages);
  // `more`: other pages of the range follow.
  void filter(int64_t range, int64_t begin, int64_t count, bool more);
  // False if the support is too wide for candidates to be worth it.
  bool finish(CachedAttentionCounters& counters);

 private:
  void score_edges();
  void read_seeds(const int32_t* list, int64_t count);
  void read_first_pages();
  void seed_and_skip();
  bool expects_wide_support();
  void collect_candidates(const Lanes& lanes);
  void sharpen();
  void write_output();
  void count(CachedAttentionCounters& counters) const;
  float page_slack(int64_t page) const {
    return code_.per_error * head_.pages[page].error + code_.per_norm * head_.pages[page].norm;
  }
  float lane_threshold(const Lanes& lanes, float slacks) const;

  const CachedCall& call_;
  const CachedHead& head_;
  CachedQuery& row_;
  RowBuffers& buffers_;
  QueryCode code_{};
  int64_t first_page_;
  int64_t end_page_;
  int64_t unread_ = 0;     // first of the pages behind the seeds, without a list
  Lanes lanes_;            // of the keys outside the ranges
  int64_t edge_keys_ = 0;  // keys that need no bound come first
  int64_t found_ = 0;      // all that may be in the support
  bool listed_ = false;
  bool sampled_ = false;  // the width of the support was judged by the seeds
  int64_t skipped_ = 0;
  int64_t ranges_ = 0;
  int64_t scored_ = 0;
  int64_t support_ = 0;
};

}  // namespace giantrabbit::ops::cpu
