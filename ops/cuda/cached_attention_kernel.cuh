// Attention to the paged cache by certificate, in steps that are launches: bounds of pages from their balls;
// bounds of keys from their codes, in the page with the highest bound of every 64 and in the open page; the
// threshold of the lower bounds; the other pages, where their bound is above it; that threshold again; exact
// scores of the keys whose upper bound is above it; their threshold and result. See Note [Attention by
// certificate] in ops/cpu/filtered_row.cpp for why this is exact: a threshold of lower bounds of some scores
// is a lower bound of the row's threshold, and a key at or below that has weight 0.
#pragma once

#include "ops/cuda/cache_pages.cuh"
#include "ops/cuda/long_row.cuh"

namespace giantrabbit::ops::cuda {

// A query's numbers for the bounds, see QueryCode in ops/cpu/decode_functions.h.
struct QueryBounds {
  float factor;     // scale of the scores times that of the codes
  float per_error;  // of a key's code
  float per_norm;
  float per_radius;  // of a page's ball
  float per_centre;
};

// Also covers the rounding of the scores in float and of the bounds themselves.
__device__ inline QueryBounds query_bounds(const CacheCode& query, int64_t width, float score_scale) {
  const float scale = fabsf(score_scale);
  const float norm = query.norm + query.error;
  const float rounding = (static_cast<float>(width) + 32.0F) * 0x1p-24F;
  const float up = 1.0F + 1e-5F;
  return {score_scale * query.scale, scale * norm * (1.0F + rounding) * up,
          scale * (norm * rounding + query.error) * up, scale * norm * (1.0F + 2.0F * rounding) * up,
          scale * norm * 2.0F * rounding * up};
}

// A block's part of the grid of units and stretches of pages.
struct CachedStretch {
  int64_t unit;
  int64_t first_page;
};
__device__ inline CachedStretch cached_stretch(const CachedProblem& problem) {
  const int64_t stretches = (problem.most_pages + kPagesPerBlock - 1) / kPagesPerBlock;
  return {blockIdx.x / stretches, blockIdx.x % stretches * kPagesPerBlock};
}

// Calls visit(page) for the pages of the stretch.
template <class Visit>
__device__ void for_each_page(const CachedProblem& problem, int64_t first_page, Visit visit) {
  for (int64_t page = first_page; page < first_page + kPagesPerBlock && page < problem.most_pages; ++page)
    visit(page);
}

// Upper bounds of the scores of a page: -inf where the query sees none of its keys, +inf where it has no
// ball.
template <class Stored>
__global__ void __launch_bounds__(kBlockThreads, kCachedBlocks)
    cached_page_bounds(CachePages pages, CacheTable table, CachedProblem problem, float* page_bounds) {
  const CachedStretch stretch = cached_stretch(problem);
  const CachedUnit unit(problem, pages, table, stretch.unit);
  for (int64_t row = warp_index(); row < unit.rows; row += kBlockWarps) {
    const Stored* const query = unit.query<Stored>(row);
    const CacheCode code = encode_row(query, pages.width, [](int64_t, int32_t) {});
    const QueryBounds bounds = query_bounds(code, pages.width, static_cast<float>(problem.scale));
    const VisibleKeys visible = unit.visible(row);
    for_each_page(problem, stretch.first_page, [&](int64_t page) {
      const int64_t first = page * kPageTokens;
      float bound = -kInfinity<float>;
      if (first < visible.end && first + kPageTokens > visible.begin) {
        bound = kInfinity<float>;
        if (first + kPageTokens <= unit.length) {
          const int64_t place = page_place(pages, table, unit.sequence, unit.head, page);
          const float* const centre = pages.centres + place * pages.width;
          float product = 0.0F;
          for (int64_t column = lane_index(); column < pages.width; column += kWarp)
            product = fused(widened(query[column]), centre[column], product);
          product = WarpGroup().sum(product);
          const CacheBall ball = pages.balls[place];
          const float highest = product * static_cast<float>(problem.scale) +
                                bounds.per_radius * ball.radius + bounds.per_centre * ball.norm;
          if (fabsf(highest) < 1e30F) bound = highest;
        }
      }
      if (lane_index() == 0) page_bounds[(unit.first_row + row) * problem.most_pages + page] = bound;
    });
  }
}

// The page with the highest bound of the 64 that `page` is one of, the first of equal ones. The warp comes
// here.
__device__ inline int64_t seed_of(const CachedProblem& problem, const float* bounds, int64_t page) {
  const int64_t first = page / kPageTokens * kPageTokens;
  const auto bound_at = [&](int64_t at) { return at < problem.most_pages ? bounds[at] : -kInfinity<float>; };
  const float low = bound_at(first + lane_index());
  const float high = bound_at(first + kWarp + lane_index());
  const float best = WarpGroup().largest(high > low ? high : low);
  const unsigned among_low = __ballot_sync(kAllLanes, low == best);
  const unsigned among_high = __ballot_sync(kAllLanes, high == best);
  if (among_low != 0) return first + __ffs(static_cast<int>(among_low)) - 1;
  return first + kWarp + __ffs(static_cast<int>(among_high)) - 1;
}

// Products of four codes each, added to `sum`.
__device__ inline int code_products(int32_t a, int32_t b, int sum) {
#if defined(__CUDACC__)
  return __dp4a(a, b, sum);
#else
  for (int byte = 0; byte < 4; ++byte)
    sum += static_cast<int8_t>(static_cast<uint32_t>(a) >> (8 * byte)) *
           static_cast<int8_t>(static_cast<uint32_t>(b) >> (8 * byte));
  return sum;
#endif
}

// Bounds of the scores of a page's keys, two keys per lane; codes of the query in shared memory. What cannot
// be bounded has the bounds -inf and +inf.
__device__ inline void bound_keys(const CachePages& pages, int64_t place, const int32_t* query,
                                  const QueryBounds& bounds, const VisibleKeys& visible, int64_t first_key,
                                  float* lower, float* upper) {
  const int32_t* const codes = pages.codes + place * code_words(pages.width) * kPageTokens;
  int sums[2] = {0, 0};
  for (int64_t word = 0; word < code_words(pages.width); ++word) {
    for (int half = 0; half < 2; ++half) {
      const int32_t four = codes[word * kPageTokens + half * kWarp + lane_index()];
      sums[half] = code_products(query[word], four, sums[half]);
    }
  }
  for (int half = 0; half < 2; ++half) {
    const int token = half * kWarp + lane_index();
    const int64_t key = first_key + token;
    lower[key] = upper[key] = -kInfinity<float>;
    if (!visible.has(key)) continue;
    const CacheCode code = pages.code_bounds[place * kPageTokens + token];
    const float score = static_cast<float>(sums[half]) * (bounds.factor * code.scale);
    const float slack = bounds.per_error * code.error + bounds.per_norm * code.norm;
    const bool bounded = fabsf(score) < 1e30F && slack < 1e30F;
    lower[key] = bounded ? score - slack : -kInfinity<float>;
    upper[key] = bounded ? score + slack : kInfinity<float>;
  }
}

// Bounds of keys: first of the pages read before a threshold is known (`thresholds` null), then of the
// others.
template <class Stored>
__global__ void __launch_bounds__(kBlockThreads, kCachedBlocks)
    cached_key_bounds(CachePages pages, CacheTable table, CachedProblem problem, const float* page_bounds,
                      const double* thresholds, float* lower, float* upper) {
  const int64_t words = code_words(pages.width);
  auto* const codes = reinterpret_cast<int32_t*>(dynamic_shared_memory()) + warp_index() * words;
  const CachedStretch stretch = cached_stretch(problem);
  const CachedUnit unit(problem, pages, table, stretch.unit);
  for (int64_t row = warp_index(); row < unit.rows; row += kBlockWarps) {
    __syncwarp();  // everybody has read the row before
    const CacheCode code = encode_row(unit.query<Stored>(row), pages.width,
                                      [&](int64_t word, int32_t four) { codes[word] = four; });
    __syncwarp();
    const QueryBounds bounds = query_bounds(code, pages.width, static_cast<float>(problem.scale));
    const VisibleKeys visible = unit.visible(row);
    const int64_t of_row = unit.first_row + row;
    const float* const of_pages = page_bounds + of_row * problem.most_pages;
    const int64_t seed = seed_of(problem, of_pages, stretch.first_page);
    for_each_page(problem, stretch.first_page, [&](int64_t page) {
      const int64_t first_key = of_row * problem.most_pages * kPageTokens + page * kPageTokens;
      float* const lower_page = lower + first_key;
      float* const upper_page = upper + first_key;
      const bool is_seed = page == seed || of_pages[page] == kInfinity<float>;
      const bool seen = of_pages[page] != -kInfinity<float>;
      const bool read = thresholds == nullptr ? is_seed && seen
                                              : !is_seed && seen && !(of_pages[page] <= thresholds[of_row]);
      if (read) {
        bound_keys(pages, page_place(pages, table, unit.sequence, unit.head, page), codes, bounds, visible,
                   page * kPageTokens, lower_page - page * kPageTokens, upper_page - page * kPageTokens);
      } else if (thresholds == nullptr) {
        for (int token = lane_index(); token < kPageTokens; token += kWarp)
          lower_page[token] = upper_page[token] = -kInfinity<float>;
      }
    });
  }
}

// What a score must exceed to have a weight, by the lower bounds of some: less what rounding may have added.
template <class Rule>
__global__ void __launch_bounds__(kBlockThreads)
    cached_thresholds(int keys, const float* lower, double* thresholds) {
  auto& memory = *reinterpret_cast<LongRowMemory<float>*>(dynamic_shared_memory());
  const RowThreshold<float> threshold =
      sweep_row<Rule, float>(lower + int64_t{blockIdx.x} * keys, keys, memory, [](int) {}).threshold;
  if (threadIdx.x != 0) return;
  const double maximum = threshold.maximum;
  thresholds[blockIdx.x] = threshold.kind == RowKind::usual
                               ? maximum + threshold.tau / Rule::kScale - 1e-6 * (1.0 + fabs(maximum))
                               : -kInfinity<double>;
}

// Exact scores of the keys whose upper bound is above the threshold, -inf for the others.
template <class Stored>
__global__ void __launch_bounds__(kBlockThreads, kCachedBlocks)
    cached_scores(CachePages pages, CacheTable table, CachedProblem problem, const float* upper,
                  const double* thresholds, float* scores) {
  float* const query = reinterpret_cast<float*>(dynamic_shared_memory()) + warp_index() * pages.width;
  const CachedStretch stretch = cached_stretch(problem);
  const CachedUnit unit(problem, pages, table, stretch.unit);
  for (int64_t row = warp_index(); row < unit.rows; row += kBlockWarps) {
    load_query(unit.query<Stored>(row), pages.width, query);
    const int64_t of_row = unit.first_row + row;
    for_each_page(problem, stretch.first_page, [&](int64_t page) {
      for (int first = 0; first < kPageTokens; first += kWarp) {
        const int64_t at = (of_row * problem.most_pages + page) * kPageTokens + first + lane_index();
        const bool wanted = upper[at] > thresholds[of_row];
        float score = -kInfinity<float>;
        if (__any_sync(kAllLanes, wanted)) {
          score = score_lanes<Stored>(pages, page_place(pages, table, unit.sequence, unit.head, page), first,
                                      query, static_cast<float>(problem.scale), wanted);
        }
        scores[at] = score;
      }
    });
  }
}

// A thread's columns of the result, threadIdx.x and every kBlockThreads further; weighted values are added
// one after the other.
template <class Stored, class ForEachWeight>
__device__ void sum_values(const CachePages& pages, const CacheTable& table, const CachedUnit& unit,
                           Stored* result, ForEachWeight for_each_weight) {
  for (int64_t first = 0; first < pages.value_width; first += kBlockThreads) {
    const int64_t column = first + threadIdx.x;
    float sum = 0.0F;
    for_each_weight([&](int64_t key, float weight) {
      if (weight == 0.0F || column >= pages.value_width) return;
      const int64_t place = page_place(pages, table, unit.sequence, unit.head, key / kPageTokens);
      sum = fused(weight, widened(value_row<Stored>(pages, place, key % kPageTokens)[column]), sum);
    });
    if (column < pages.value_width) put(result + column, sum);
  }
}

// add(key, weight) in every thread for the keys of a wide row, whose lists are no longer needed. The block
// comes here.
template <class Rule, class Add>
__device__ void for_each_wide_weight(const float* scores, int keys, const RowThreshold<float>& threshold,
                                     LongRowMemory<float>& memory, Add add) {
  static_assert(sizeof(memory.lists) >= kBlockThreads * sizeof(float));
  auto* const weights = reinterpret_cast<float*>(memory.lists);
  for (int first = 0; first < keys; first += kBlockThreads) {
    const int key = first + static_cast<int>(threadIdx.x);
    __syncthreads();  // everybody has read the weights before
    weights[threadIdx.x] = key < keys ? weight_of<Rule>(scores[key], threshold) : 0.0F;
    __syncthreads();
    for (int i = 0; i < kBlockThreads; ++i) add(first + i, weights[i]);
  }
}

template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads, kCachedBlocks)
    cached_rows(CachePages pages, CacheTable table, CachedProblem problem, const float* scores) {
  auto& memory = *reinterpret_cast<LongRowMemory<float>*>(dynamic_shared_memory());
  const int64_t row = blockIdx.x;
  const CachedUnit unit(problem, pages, table, unit_of_row(problem, pages, row));
  const auto keys = static_cast<int>(problem.most_pages * kPageTokens);
  const float* const own = scores + row * keys;
  const LongRowResult<float> found = sweep_row<Rule, float>(own, keys, memory, [](int) {});
  const RowThreshold<float> threshold = found.threshold;
  Stored* const result = static_cast<Stored*>(problem.result) + row * pages.value_width;
  if (threshold.kind != RowKind::usual) {
    const float value = threshold.kind == RowKind::undefined ? kNan<float> : 0.0F;
    for (int64_t column = threadIdx.x; column < pages.value_width; column += kBlockThreads)
      put(result + column, value);
    return;
  }
  sum_values(pages, table, unit, result, [&](auto add) {
    if (found.wide) return for_each_wide_weight<Rule>(own, keys, threshold, memory, add);
    for (int warp = 0; warp < kBlockWarps; ++warp) {
      for (int i = 0; i < memory.counts[warp]; ++i)
        add(memory.lists[warp].places[i], weight_of<Rule>(memory.lists[warp].values[i], threshold));
    }
  });
}

}  // namespace giantrabbit::ops::cuda
