// The stages of filtered_row.h. See Note [Attention by certificate].
//
// Note [Attention by certificate]. The threshold tau of sparsemax solves sum_j max(z_j - tau, 0) = 1, that of
// entmax-1.5 likewise with halved scores and squares. The left side grows with every key and every score, so
// the threshold of some keys, with lower bounds for scores, is at most tau; a key whose upper bound is at
// most that has weight exactly 0. One pass over the codes gives both bounds for every key. The largest lower
// bounds in 64 lanes are scores of 64 different keys, and their threshold already excludes nearly all others;
// the rest is scored in fp32 and thresholded exactly. A page whose ball of keys has an upper bound at most a
// threshold found before is not read.
//
// Determinism: which pages are skipped depends on the query, and a key is a candidate iff its page was not
// skipped and its upper bound exceeds the threshold of all lanes. Thresholds on the way only decide what is
// kept in memory and are smaller, so the candidates do not depend on the cuts between threads.
#include "ops/cpu/filtered_row.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops::cpu {
namespace {

constexpr int64_t kManyCandidates = 48;   // worth a second, sharper threshold
constexpr double kWideShare = 1.0 / 3.0;  // candidates beyond it cost more than scoring every key
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A lower bound of the threshold of a row that holds these scores among others, less `slacks` times what
// rounding may have added.
float threshold_below(const CachedCall& call, const float* scores, int64_t count, float slacks,
                      float* scratch) {
  const float maximum = call.functions.largest(scores, count);
  std::copy_n(scores, count, scratch);
  normalize_row(call.normalizer, scratch, count);
  // The largest weight is maximum - tau, or the square of half of it.
  const float weight = call.functions.largest(scratch, count);
  const float distance = call.normalizer == Normalizer::sparsemax ? weight : 2.0F * std::sqrt(weight);
  return maximum - distance - slacks * 1e-6F * (1.0F + std::abs(maximum));
}

}  // namespace

float FilteredRow::lane_threshold(const Lanes& lanes, float slacks) const {
  Lanes scratch;
  return threshold_below(call_, lanes.data(), kPageKeys, slacks, scratch.data());
}

bool FilteredRow::prepare() {
  if (end_page_ - first_page_ < kFewestPages || !head_.finite_keys) return false;
  const int64_t stride = head_.keys.stride;
  buffers_.query_codes.resize(static_cast<size_t>(stride));
  int32_t code_sum = 0;
  float error = 0;
  float norm = 0;
  const float code_scale =
      call_.functions.encode_query(row_.query, stride, buffers_.query_codes.data(), &code_sum, &error, &norm);
  const float scale = std::abs(call_.scale);
  const auto width = static_cast<float>(stride);
  const float largest_score = scale * (norm + error) * (head_.largest + 1e-20F) * std::sqrt(width);
  if (!(largest_score < 1e30F) || !(norm + error < 1e30F) || !(head_.largest < 1e30F)) return false;
  const float rounding = (width + 32.0F) * 0x1p-24F;
  const float up = 1.0F + 1e-5F;  // rounding of these products
  code_ = {buffers_.query_codes.data(),
           128 * code_sum,
           call_.scale * code_scale,
           scale * norm * (1.0F + rounding) * up,
           scale * (norm * rounding + error) * up,
           scale * norm * (1.0F + 2.0F * rounding) * up};
  score_edges();
  unread_ = first_page_;
  if (first_page_ / kPageKeys < std::min(end_page_ / kPageKeys, head_.coded_groups)) {
    seed_and_skip();
  } else {
    read_first_pages();
  }
  sampled_ = left_to_read() > 0;
  return !sampled_ || !expects_wide_support();
}

// Keys in pages that are not full, or not visible as a whole.
void FilteredRow::score_edges() {
  lanes_.fill(-kInfinity);
  const int64_t front = first_page_ * kPageKeys - row_.begin;
  const int64_t back = row_.end - end_page_ * kPageKeys;
  edge_keys_ = front + back;
  buffers_.reserve(edge_keys_);
  float* scores = buffers_.bounds.data();
  call_.functions.score_rows(row_.query, head_.keys, row_.begin, front, call_.scale, scores);
  call_.functions.score_rows(row_.query, head_.keys, end_page_ * kPageKeys, back, call_.scale,
                             scores + front);
  for (int64_t i = 0; i < edge_keys_; ++i) {
    const int64_t key = i < front ? row_.begin + i : end_page_ * kPageKeys + i - front;
    buffers_.keys[static_cast<size_t>(i)] = key;
    float& lane = lanes_[static_cast<size_t>(key % kPageKeys)];
    lane = std::max(lane, scores[i]);
  }
  scored_ = edge_keys_;
}

void FilteredRow::read_seeds(const int32_t* list, int64_t count) {
  KeptPages& seeds = buffers_.seeds;
  seeds.prepare(count, -kInfinity);
  call_.functions.filter_pages(code_, head_.codes, head_.pages, head_.keys.stride, list, first_page_, count,
                               &seeds.result);
  for (size_t lane = 0; lane < lanes_.size(); ++lane)
    lanes_[lane] = std::max(lanes_[lane], seeds.lanes[lane]);
}

void FilteredRow::read_first_pages() {
  const int64_t count = std::min(kFirstPages, end_page_ - first_page_);
  read_seeds(nullptr, count);
  unread_ += count;
}

// Whether the support will hold too many keys for a second look at candidates, judged as if the other keys
// were like the seeds: n / m copies of m scores have the threshold of the m scores stretched by n / m, or by
// its root.
bool FilteredRow::expects_wide_support() {
  const FilterResult& seeds = buffers_.seeds.result;
  const int64_t sample = seeds.kept * kPageKeys;
  buffers_.reserve(std::max(sample, edge_keys_));
  std::vector<int64_t>& keys = buffers_.used;
  std::vector<float>& stretched = buffers_.weights;
  const float threshold = lane_threshold(lanes_, 2.0F);
  const int64_t few = sample / 8;
  if (call_.functions.candidates(seeds, threshold, few, keys.data(), stretched.data()) <= few) return false;
  const float copies = static_cast<float>(end_page_ - first_page_) / static_cast<float>(seeds.kept);
  const float factor = call_.normalizer == Normalizer::sparsemax ? copies : std::sqrt(copies);
  for (int64_t i = 0; i < sample; ++i) stretched[static_cast<size_t>(i)] = seeds.bounds[i] * factor;
  normalize_row(call_.normalizer, stretched.data(), sample);
  return call_.functions.nonzeros(stretched.data(), sample, 0, keys.data()) >
         static_cast<int64_t>(kWideShare * static_cast<double>(sample));
}

// Reads the page with the highest ball of every group and the pages outside of groups; the threshold of those
// decides which others are left to read.
void FilteredRow::seed_and_skip() {
  const int64_t stride = head_.keys.stride;
  const int64_t first_group = (first_page_ + kPageKeys - 1) / kPageKeys;
  const int64_t end_group = std::min(end_page_ / kPageKeys, head_.coded_groups);
  std::vector<int32_t>& list = buffers_.survivors;
  std::vector<float>& bounds = buffers_.ball_bounds;
  list.clear();
  bounds.resize(static_cast<size_t>(std::max<int64_t>(0, end_group - first_group) * kPageKeys));
  const auto outside = [&](int64_t begin, int64_t end) {
    for (int64_t page = begin; page < end; ++page) list.push_back(static_cast<int32_t>(page));
  };
  outside(first_page_, std::min(first_group * kPageKeys, end_page_));
  for (int64_t group = first_group; group < end_group; ++group) {
    float* of = bounds.data() + (group - first_group) * kPageKeys;
    call_.functions.ball_bounds(code_, head_.centre_codes + group * kPageKeys * stride,
                                head_.centre_pages[group], stride, head_.radii + group * kPageKeys, of);
    list.push_back(static_cast<int32_t>(group * kPageKeys + (std::max_element(of, of + kPageKeys) - of)));
  }
  if (end_group >= first_group) outside(end_group * kPageKeys, end_page_);
  read_seeds(list.data(), std::ssize(list));
  const float threshold = lane_threshold(lanes_, 2.0F);
  std::vector<int32_t> read = std::move(list);
  list.clear();
  auto next = read.begin();
  for (int64_t page = first_group * kPageKeys; page < end_group * kPageKeys; ++page) {
    while (next != read.end() && *next < page) ++next;
    if (next != read.end() && *next == page) continue;
    const bool may_hold_support = bounds[static_cast<size_t>(page - first_group * kPageKeys)] > threshold;
    if (may_hold_support) list.push_back(static_cast<int32_t>(page));
  }
  skipped_ = end_page_ - first_page_ - std::ssize(read) - std::ssize(list);
  listed_ = true;
}

void FilteredRow::start_ranges(int64_t ranges, int64_t pages) {
  ranges_ = ranges;
  if (std::ssize(buffers_.ranges) < ranges) buffers_.ranges.resize(static_cast<size_t>(ranges));
  const float threshold = pages > 0 ? lane_threshold(lanes_, 2.0F) : -kInfinity;
  for (int64_t i = 0; i < ranges; ++i) buffers_.ranges[static_cast<size_t>(i)].prepare(pages, threshold);
}

void FilteredRow::filter(int64_t range, int64_t begin, int64_t count, bool more) {
  KeptPages& kept = buffers_.ranges[static_cast<size_t>(range)];
  const int32_t* list = listed_ ? buffers_.survivors.data() + begin : nullptr;
  call_.functions.filter_pages(code_, head_.codes, head_.pages, head_.keys.stride, list,
                               listed_ ? 0 : unread_ + begin, count, &kept.result);
  if (more) kept.result.threshold = std::max(kept.result.threshold, lane_threshold(kept.lanes, 2.0F));
}

void FilteredRow::collect_candidates(const Lanes& lanes) {
  const float threshold = lane_threshold(lanes, 1.0F);
  const int64_t all = row_.end - row_.begin;
  buffers_.reserve(all);
  int64_t* keys = buffers_.keys.data();
  float* bounds = buffers_.bounds.data();
  found_ = 0;
  for (int64_t i = 0; i < edge_keys_; ++i) {
    if (!(bounds[i] > threshold)) continue;
    keys[found_] = keys[i];
    bounds[found_++] = bounds[i];
  }
  edge_keys_ = found_;
  const auto collect = [&](const KeptPages& kept) {
    found_ += call_.functions.candidates(kept.result, threshold, all, keys + found_, bounds + found_);
  };
  collect(buffers_.seeds);
  for (int64_t i = 0; i < ranges_; ++i) collect(buffers_.ranges[static_cast<size_t>(i)]);
}

// The threshold of the candidates' own lower bounds instead of 64 lanes'.
void FilteredRow::sharpen() {
  int64_t* keys = buffers_.keys.data();
  float* bounds = buffers_.bounds.data();
  float* lower = buffers_.scores.data();
  std::copy_n(bounds, edge_keys_, lower);
  int64_t page = -1;
  float slack = 0.0F;
  for (int64_t i = edge_keys_; i < found_; ++i) {
    if (keys[i] / kPageKeys != page) {
      page = keys[i] / kPageKeys;
      slack = 2.0F * page_slack(page);
    }
    lower[i] = bounds[i] - slack;
  }
  const float threshold = threshold_below(call_, lower, found_, 1.0F, buffers_.weights.data());
  int64_t kept = 0;
  int64_t edges = 0;
  for (int64_t i = 0; i < found_; ++i) {
    if (!(bounds[i] > threshold)) continue;
    edges += i < edge_keys_ ? 1 : 0;
    keys[kept] = keys[i];
    bounds[kept++] = bounds[i];
  }
  found_ = kept;
  edge_keys_ = edges;
}

void FilteredRow::write_output() {
  const float* weights = buffers_.weights.data();
  int64_t* used = buffers_.used.data();
  support_ = call_.functions.nonzeros(weights, found_, 0, used);
  const int64_t* keys = buffers_.keys.data();
  float* used_weights = buffers_.scores.data();
  for (int64_t i = 0; i < support_; ++i) {
    used_weights[i] = weights[used[i]];
    used[i] = keys[used[i]];
  }
  std::fill_n(row_.output, head_.values.stride, 0.0F);
  call_.functions.add_listed(used_weights, head_.values, used, support_, row_.output);
  if (row_.support == nullptr) return;
  // Open keys came before all pages, and seeds before the pages between them.
  std::vector<int64_t> order(static_cast<size_t>(support_));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return used[i] < used[j]; });
  for (const int64_t i : order) {
    row_.support->keys.push_back(used[i]);
    row_.support->weights.push_back(used_weights[i]);
  }
}

bool FilteredRow::finish(CachedAttentionCounters& counters) {
  Lanes lanes = lanes_;
  for (int64_t i = 0; i < ranges_; ++i) {
    const Lanes& of = buffers_.ranges[static_cast<size_t>(i)].lanes;
    for (size_t lane = 0; lane < lanes.size(); ++lane) lanes[lane] = std::max(lanes[lane], of[lane]);
  }
  collect_candidates(lanes);
  const int64_t visible = row_.end - row_.begin;
  if (!sampled_ && 2 * found_ > visible) return false;
  if (found_ > kManyCandidates) sharpen();
  if (static_cast<double>(found_ - edge_keys_) > kWideShare * static_cast<double>(visible)) {
    return false;
  }
  const int64_t candidates = found_ - edge_keys_;
  float* scores = buffers_.scores.data();
  std::copy_n(buffers_.bounds.data(), edge_keys_, scores);  // those are scores already
  call_.functions.score_listed(row_.query, head_.keys, buffers_.keys.data() + edge_keys_, candidates,
                               call_.scale, scores + edge_keys_);
  scored_ += candidates;
  std::copy_n(scores, found_, buffers_.weights.data());
  normalize_row(call_.normalizer, buffers_.weights.data(), found_);
  write_output();
  count(counters);
  return true;
}

void FilteredRow::count(CachedAttentionCounters& counters) const {
  const int64_t stride = head_.keys.stride;
  const int64_t coded = end_page_ - first_page_ - skipped_;
  const auto balls = static_cast<int64_t>(listed_ ? buffers_.ball_bounds.size() : 0);
  counters.rows += 1;
  counters.keys_visible += row_.end - row_.begin;
  counters.keys_coded += coded * kPageKeys;
  counters.keys_scored += scored_;
  counters.pages_skipped += skipped_;
  counters.support += support_;
  counters.bytes_read += coded * (kPageKeys * stride + static_cast<int64_t>(sizeof(PageCode))) +
                         balls * (stride + static_cast<int64_t>(sizeof(float))) +
                         4 * (scored_ * stride + support_ * head_.values.stride);
}

}  // namespace giantrabbit::ops::cpu
