// Cached attention: which rows read keys in 8 bits first, and how threads share the work: by sequence and
// key/value head, or inside of them, by pages, where there are few. See Note [Attention by certificate] in
// filtered_row.cpp.
#include "ops/cpu/cached_attention.h"

#include <algorithm>

#include <ATen/Parallel.h>

#include "ops/cpu/filtered_row.h"

namespace giantrabbit::ops::cpu {
namespace {

constexpr int64_t kPagesPerThread = 64;
// The codes of so many pages stay in the cache for the next row.
constexpr int64_t kSharedPages = 16;

// All rows read the codes of a few pages before the next pages come; a long cache is cut between threads.
void filter_rows(std::span<FilteredRow> rows) {
  int64_t longest = 0;
  for (const FilteredRow& row : rows) longest = std::max(longest, row.left_to_read());
  const int64_t most = at::in_parallel_region() ? 1 : at::get_num_threads();
  const int64_t ranges = std::clamp<int64_t>(longest / kPagesPerThread, 1, most);
  for (FilteredRow& row : rows) row.start_ranges(ranges, (row.left_to_read() + ranges - 1) / ranges);
  at::parallel_for(0, ranges, 1, [&](int64_t begin, int64_t end) {
    for (int64_t range = begin; range < end; ++range) {
      int64_t length = kSharedPages;
      for (int64_t start = 0; start * ranges < longest; start += length) {
        if (rows.size() == 1) length = kSharedPages + 3 * start;  // each threshold for four times as many
        for (FilteredRow& row : rows) {
          const int64_t part = (row.left_to_read() + ranges - 1) / ranges;
          const int64_t first = range * part + start;
          const int64_t end_of_range = std::min((range + 1) * part, row.left_to_read());
          const int64_t last = std::min(first + length, end_of_range);
          if (first < last) row.filter(range, first, last - first, last < end_of_range);
        }
      }
    }
  });
}

// `unit` counts sequences and their key/value heads.
void attend_unit(const CachedProblem& problem, int64_t unit, std::vector<CachedSupport>* supports,
                 CachedAttentionCounters& counters) {
  const int64_t key_heads = problem.cache.sizes().heads;
  const int64_t sequence = unit / key_heads;
  const CachedHead head = problem.cache.sequence(sequence).head(unit % key_heads);
  const int64_t group = problem.heads / key_heads;  // heads of a group are neighbours
  thread_local std::vector<CachedQuery> rows;
  rows.clear();
  for (int64_t i = 0; i < group * problem.queries; ++i) {
    const int64_t of_head = unit % key_heads * group + i / problem.queries;
    const int64_t query = i % problem.queries;
    const auto place = [&](const RowSteps& steps) {
      return sequence * steps.sequence + of_head * steps.head + query * steps.query;
    };
    const int64_t end = std::max<int64_t>(0, head.length - problem.queries + query + 1);
    const int64_t begin = problem.window ? std::max<int64_t>(0, end - *problem.window) : 0;
    CachedSupport* support = nullptr;
    if (supports != nullptr) {
      support = &(*supports)[static_cast<size_t>(unit * group * problem.queries + i)];
    }
    rows.push_back({problem.query + place(problem.query_steps), begin, end,
                    problem.output + place(problem.output_steps), support});
  }
  attend_head(problem.call, head, rows, counters);
}

}  // namespace

void attend_sequences(const CachedProblem& problem, std::vector<CachedSupport>* supports,
                      CachedAttentionCounters& counters) {
  const KeyValueCache::Sizes& sizes = problem.cache.sizes();
  const int64_t units = sizes.batch * sizes.heads;
  int64_t keys = 0;
  for (int64_t b = 0; b < sizes.batch; ++b) keys += problem.cache.length(b);
  // Waking a thread costs as much as scoring some thousands of keys.
  constexpr int64_t kKeysPerThread = 4096;
  const int64_t work = keys * problem.heads * problem.queries;
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), work / kKeysPerThread);
  if (threads <= 1 || units < threads) {
    for (int64_t unit = 0; unit < units; ++unit) attend_unit(problem, unit, supports, counters);
    return;
  }
  std::vector<CachedAttentionCounters> counts(static_cast<size_t>(units));
  at::parallel_for(0, units, (units + threads - 1) / threads, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      attend_unit(problem, unit, supports, counts[static_cast<size_t>(unit)]);
    }
  });
  for (const CachedAttentionCounters& count : counts) counters += count;
}

const DecodeFunctions& decode_functions(Capability capability) {
#if defined(__x86_64__)
  if (capability >= Capability::avx512vnni) return avx512vnni::decode_functions;
  if (capability == Capability::avx512) return avx512::decode_functions;
  if (capability == Capability::avx2) return avx2::decode_functions;
#endif
  static_cast<void>(capability);
  return baseline::decode_functions;
}

void attend_head(const CachedCall& call, const CachedHead& head, std::span<CachedQuery> rows,
                 CachedAttentionCounters& counters) {
  if (call.normalizer == Normalizer::softmax || head.coded_pages < kFewestPages ||
      call.functions.filter_pages == nullptr) {
    return attend_dense(call, head, rows, counters);
  }
  thread_local std::vector<RowBuffers> buffers;
  if (buffers.size() < rows.size()) buffers.resize(rows.size());
  std::vector<FilteredRow> filtered;
  std::vector<CachedQuery> dense;
  for (size_t i = 0; i < rows.size(); ++i) {
    FilteredRow row(call, head, rows[i], buffers[i]);
    if (row.prepare()) {
      filtered.push_back(row);
    } else {
      dense.push_back(rows[i]);
    }
  }
  filter_rows(filtered);
  for (FilteredRow& row : filtered) {
    if (!row.finish(counters)) dense.push_back(row.row());
  }
  if (!dense.empty()) attend_dense(call, head, dense, counters);
}

}  // namespace giantrabbit::ops::cpu
