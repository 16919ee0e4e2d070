// See block.h. The keys seen so far are always one stretch, so lists of keys stay sorted by joining at both
// ends.
#include "ops/cpu/exact/block.h"

#include <algorithm>

#include "ops/cpu/capability.h"

namespace giantrabbit::ops::cpu::exact {
namespace {

// Beyond three in ten of the visible pairs (and 16 a row) the dense path is faster.
constexpr double kWideShare = 0.3;
constexpr int64_t kAlwaysNarrow = 16;
// Where nearly all of the pairs seen so far are marked, most of the others will be: 7 of 8.
constexpr int64_t kFlatMarked = 7;
constexpr int64_t kFlatSeen = 8;
// Seeds are counted as they come: a block that is wide by its first rows is not looked at further.
constexpr int64_t kSeedRows = 48;
// Each pass looks at three times the keys seen so far: bounds sharpen before most keys are filtered.
constexpr int64_t kGrowth = 3;

// Keys are gathered in any order, many times each, unless queries see few of them.
bool gains_from_packing(const AttentionProblem<float>& problem) {
  return problem.key_rows_are_far(problem.key.row, problem.width) &&
         4 * problem.rules.most_keys() >= problem.keys;
}

int64_t blocks_of(int64_t keys) { return (keys + kBlockKeys - 1) / kBlockKeys; }
int64_t wide_share(int64_t pairs) { return static_cast<int64_t>(kWideShare * static_cast<double>(pairs)); }
Range keys_of(Range blocks) { return {blocks.begin * kBlockKeys, blocks.end * kBlockKeys}; }

// Kept between calls: fresh pages would cost a short call more than its work.
ScratchMemory& thread_memory() {
  static thread_local ScratchMemory memory;
  return memory;
}

}  // namespace

int64_t QueryBlocks::count() const {
  if (queries <= kBlockQueries) return std::min<int64_t>(queries, 1);
  return 1 + (queries - kProbeQueries + kBlockQueries - 1) / kBlockQueries;
}

Range QueryBlocks::range(int64_t block) const {
  if (block == count() - 1) return {queries <= kBlockQueries ? 0 : queries - kProbeQueries, queries};
  const int64_t begin = block * kBlockQueries;
  return {begin, std::min(begin + kBlockQueries, queries - kProbeQueries)};
}

char* ScratchMemory::take(size_t bytes) {
  constexpr size_t kLine = 64;
  constexpr size_t kRoom = 2 * kLine;  // a whole vector may be read and written behind every array
  const size_t needed = (bytes + kRoom + kLine - 1) / kLine * kLine;
  if (used_ == chunks_.size()) chunks_.emplace_back();
  Chunk& chunk = chunks_[used_++];
  if (chunk.size < needed) {
    chunk.bytes.reset(new char[needed + kLine]);
    chunk.size = needed;
  }
  const auto address = reinterpret_cast<uintptr_t>(chunk.bytes.get());
  return reinterpret_cast<char*>((address + kLine - 1) / kLine * kLine);
}

const Functions& chosen_functions() {
#if defined(__x86_64__)
  static const Functions& functions = []() -> const Functions& {
    switch (chosen_capability()) {
      case Capability::amx:
        return amx::exact_functions;
      case Capability::avx512vnni:
        return avx512vnni::exact_functions;
      case Capability::avx512:
        return avx512::exact_functions;
      case Capability::avx2:
        return avx2::exact_functions;
      default:
        return baseline::exact_functions;
    }
  }();
  return functions;
#else
  return baseline::exact_functions;
#endif
}

int64_t code_steps(int64_t width) {
  const Functions& functions = chosen_functions();
  const int64_t steps = width / functions.coordinates_per_step;
  return (steps + functions.step_multiple - 1) / functions.step_multiple * functions.step_multiple;
}

BlockStages::BlockStages(const AttentionProblem<float>& problem, const Functions& functions)
    : problem_(problem),
      functions_(functions),
      packs_keys_(gains_from_packing(problem)),
      memory_(thread_memory()) {
  memory_.clear();
  capacity_ = kBlockQueries * std::clamp(wide_share(problem.keys), kAlwaysNarrow, kMostEntries) +
              problem.keys + kBlockKeys;
  const auto allocate = [&]<class T>(T*& array, int64_t count) { array = memory_.array<T>(count); };
  allocate(rows_.queries, kBlockQueries * problem.width);
  allocate(rows_.codes, kBlockQueries * code_steps(problem.width));
  for (float** array :
       {&rows_.scale, &rows_.inverse, &rows_.norm, &rows_.error, &rows_.bound, &rows_.maximum, &rows_.tau}) {
    allocate(*array, kBlockQueries);
  }
  allocate(rows_.offset, kBlockQueries);
  allocate(pass_.words, kBlockQueries * kWordStride);
  allocate(pass_.marked, kBlockQueries);
  allocate(pass_.limits, kBlockQueries * kLimitStride);
  for (Candidates& candidates : lists_) {
    allocate(candidates.offsets, kBlockQueries + 1);
    allocate(candidates.keys, capacity_);
    allocate(candidates.scores, capacity_);
  }
  allocate(row_.keys, problem.keys + kBlockKeys);
  allocate(row_.scores, problem.keys + kBlockKeys);
  allocate(support_keys_, capacity_);
  allocate(support_weights_, capacity_);
  if (packs_keys_) allocate(packed_keys_, problem.keys * problem.width);
  rows_.rule = problem.normalizer == Normalizer::sparsemax ? Rule::sparsemax : Rule::entmax15;
  rows_.width = problem.width;
  rows_.begin = begin_.data();
  rows_.end = end_.data();
  if (problem.rules.has_lists()) {
    rows_.listed_blocks = blocks_of(problem.keys);
    allocate(listed_, kBlockQueries * rows_.listed_blocks);
    rows_.listed = listed_;
  }
}

void BlockStages::find_visible(const QueryBlock& block) {
  first_block_ = blocks_of(problem_.keys);
  last_block_ = 0;
  visible_ = 0;
  for (int64_t i = 0; i < rows_.rows; ++i) {
    const int64_t query = block.queries.begin + i;
    const Range range = problem_.rules.range(block.batch, query);
    begin_[static_cast<size_t>(i)] = static_cast<int32_t>(range.begin);
    end_[static_cast<size_t>(i)] = static_cast<int32_t>(range.end);
    if (listed_ != nullptr) {
      uint64_t* words = listed_ + i * rows_.listed_blocks;
      std::fill_n(words, rows_.listed_blocks, uint64_t{0});
      problem_.rules.for_each_listed(block.batch, block.head, query, range, [&](Range listed) {
        for (int64_t key = listed.begin; key < listed.end; ++key) {
          words[key / kBlockKeys] |= uint64_t{1} << (key % kBlockKeys);
        }
      });
    }
    if (range.empty()) continue;
    visible_ += range.end - range.begin;
    first_block_ = std::min(first_block_, range.begin / kBlockKeys);
    last_block_ = std::max(last_block_, blocks_of(range.end));
  }
  first_block_ = std::min(first_block_, last_block_);
}

// `marked`: of the pairs of the first `rows` rows with the keys of `seen`.
bool BlockStages::is_wide(int64_t marked, int64_t rows, Range seen) const {
  const int64_t narrow = kAlwaysNarrow * rows_.rows;
  if (marked > std::max(wide_share(visible_), narrow) || marked > kMostEntries * rows_.rows) return true;
  if (marked <= narrow) return false;
  int64_t pairs = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const auto row = static_cast<size_t>(i);
    pairs += std::max<int64_t>(
        0, std::min<int64_t>(end_[row], seen.end) - std::max<int64_t>(begin_[row], seen.begin));
  }
  return kFlatSeen * marked > kFlatMarked * pairs;
}

bool BlockStages::begin(const QueryBlock& block, const HeadOperands& head) {
  rows_.rows = block.count();
  const Rows queries{problem_.query.at(block.batch, block.head, block.queries.begin), problem_.query.row};
  if (!functions_.quantise_queries(queries, problem_.scale, head.codes.steps, rows_)) return false;
  find_visible(block);
  pack_keys(block, head);
  current_ = 0;
  std::fill_n(list(0).offsets, rows_.rows + 1, 0);
  std::fill_n(rows_.bound, rows_.rows, -std::numeric_limits<float>::infinity());
  std::fill_n(rows_.maximum, rows_.rows, 0.0f);
  std::fill_n(rows_.tau, rows_.rows, 0.0f);
  return true;
}

// A short block gathers too few keys to pay for it.
void BlockStages::pack_keys(const QueryBlock& block, const HeadOperands& head) {
  keys_ = head.keys;
  if (!packs_keys_ || block.count() <= QueryBlocks::kProbeQueries) return;
  if (packed_from_ != head.keys.data) {
    for (int64_t j = 0; j < head.count; ++j) {
      std::copy_n(head.keys.data + j * head.keys.row, problem_.width, packed_keys_ + j * problem_.width);
    }
    packed_from_ = head.keys.data;
  }
  keys_ = {packed_keys_, problem_.width};
}

bool BlockStages::refine() {
  const Candidates& from = list(current_);
  const Candidates& to = list(1 - current_);
  current_ = 1 - current_;
  return functions_.refine(keys_, rows_, pass_, from, row_, to, capacity_);
}

// The seed lies where the block's own diagonal meets the keys: there causal queries see most, and there the
// keys of local models matter most.
void BlockStages::place_seed(const QueryBlock& block) {
  const int64_t blocks = std::min(last_block_ - first_block_, kSeedBlocks);
  const int64_t diagonal = block.queries.end + problem_.keys - problem_.queries;
  const int64_t end =
      std::clamp(blocks_of(std::max<int64_t>(diagonal, 0)), first_block_ + blocks, last_block_);
  pass_.first = end - blocks;
  pass_.count = pass_.left = blocks;
  pass_.gap = 0;
}

bool BlockStages::seed(const KeyCodes& codes, int64_t& marked) {
  for (int64_t first = 0; first < rows_.rows; first += kSeedRows) {
    const int64_t end = std::min(first + kSeedRows, rows_.rows);
    functions_.seed(codes, rows_, pass_, first, end);
    marked += functions_.count(rows_, pass_, first, end);
    if (is_wide(marked, end, keys_of({pass_.first, pass_.first + pass_.count}))) return false;
  }
  return refine();
}

// Passes grow around the seed, to both sides.
bool BlockStages::passes(const QueryBlock& block, const HeadOperands& head) {
  place_seed(block);
  Range seen{pass_.first, pass_.first + pass_.count};
  int64_t marked = 0;
  if (!seed(head.codes, marked)) return false;
  while (seen.begin > first_block_ || seen.end < last_block_) {
    const int64_t count = std::min(kGrowth * (seen.end - seen.begin), kPassBlocks);
    const int64_t before = seen.begin - first_block_;
    const int64_t behind = last_block_ - seen.end;
    const int64_t left = std::min(before, std::max(count / 2, count - behind));
    const int64_t right = std::min(behind, count - left);
    pass_.first = seen.begin - left;
    pass_.left = left;
    pass_.gap = seen.end - seen.begin;
    pass_.count = left + right;
    seen = {seen.begin - left, seen.end + right};
    functions_.filter(head.codes, rows_, pass_);
    marked += functions_.count(rows_, pass_, 0, rows_.rows);
    if (is_wide(marked, rows_.rows, keys_of(seen)) || !refine()) return false;
  }
  counters_.refined += marked;
  return true;
}

bool BlockStages::run(const QueryBlock& block, const HeadOperands& head, int64_t* counts,
                      BlockSupport* support) {
  counters_ = {};
  if (!begin(block, head)) return false;
  if (first_block_ < last_block_ && !passes(block, head)) return false;
  const BlockOutput to{output->at(block.batch, block.head, block.queries.begin),
                       output->row,
                       problem_.value_width,
                       support != nullptr ? support_keys_ : nullptr,
                       support_weights_,
                       counts};
  const int64_t total = functions_.output(head.values, rows_, list(current_), row_, to);
  if (support != nullptr) {
    support->keys.assign(support_keys_, support_keys_ + total);
    support->weights.assign(support_weights_, support_weights_ + total);
  }
  const int64_t blocks = last_block_ - first_block_;
  counters_.scored = rows_.rows * blocks * kBlockKeys;
  counters_.skipped = rows_.rows * std::max<int64_t>(0, head.count - blocks * kBlockKeys);
  counters_.support = total;
  counters_.bytes = blocks * kBlockKeys * 4 * head.codes.steps +
                    4 * (counters_.refined * problem_.width + total * problem_.value_width);
  return true;
}

}  // namespace giantrabbit::ops::cpu::exact
