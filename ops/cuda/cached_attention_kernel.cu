// Launches of attention to the paged cache.
#include "ops/cuda/cached_attention_kernel.cuh"
#include "ops/cuda/cached_softmax_kernel.cuh"

namespace giantrabbit::ops::cuda {
namespace {

// Without a request for more.
constexpr size_t kMostSharedBytes = size_t{48} << 10;

bool is_valid(const CachePages& pages, const CacheTable& table, const CachedProblem& problem) {
  return pages.heads > 0 && pages.width >= 0 && pages.value_width >= 0 && table.batch >= 0 &&
         problem.heads >= 0 && problem.heads % pages.heads == 0 && problem.queries >= 0 &&
         problem.window >= 0 && 0 <= problem.most_pages && problem.most_pages <= table.row &&
         problem.most_pages <= kLongestRow / kPageTokens &&
         kBlockWarps * static_cast<size_t>(pages.width) * sizeof(float) <= kMostSharedBytes;
}

template <class Rule, class Stored>
int attend_by_certificate(const CachePages& pages, const CacheTable& table, const CachedProblem& problem,
                          const CachedScratch& scratch, void* stream) {
  const int64_t rows = table.batch * problem.heads * problem.queries;
  const int64_t stretches = table.batch * pages.heads * ceil_div(problem.most_pages, kPagesPerBlock);
  const int keys = static_cast<int>(problem.most_pages * kPageTokens);
  const size_t code_bytes = kBlockWarps * static_cast<size_t>(code_words(pages.width)) * sizeof(int32_t);
  const size_t query_bytes = kBlockWarps * static_cast<size_t>(pages.width) * sizeof(float);
  constexpr size_t kRowBytes = sizeof(LongRowMemory<float>);
  const auto* const bounds = static_cast<const float*>(scratch.page_bounds);
  const auto* const lower = static_cast<const float*>(scratch.lower);
  const auto* const upper = static_cast<const float*>(scratch.upper);
  const auto* const thresholds = static_cast<const double*>(scratch.thresholds);
  const auto bound_keys_above = [&](const double* known) {
    return launch(stretches, kBlockThreads, code_bytes, stream, cached_key_bounds<Stored>, pages, table,
                  problem, bounds, known, scratch.lower, scratch.upper);
  };
  const auto find_thresholds = [&] {
    return launch(rows, kBlockThreads, kRowBytes, stream, cached_thresholds<Rule>, keys, lower,
                  scratch.thresholds);
  };
  int error = launch(stretches, kBlockThreads, 0, stream, cached_page_bounds<Stored>, pages, table, problem,
                     scratch.page_bounds);
  if (error == cudaSuccess) error = bound_keys_above(nullptr);
  if (error == cudaSuccess) error = find_thresholds();
  if (error == cudaSuccess) error = bound_keys_above(thresholds);
  if (error == cudaSuccess) error = find_thresholds();
  // Exact scores take the place of the lower bounds.
  if (error == cudaSuccess) {
    error = launch(stretches, kBlockThreads, query_bytes, stream, cached_scores<Stored>, pages, table,
                   problem, upper, thresholds, scratch.lower);
  }
  if (error != cudaSuccess) return error;
  return launch(rows, kBlockThreads, kRowBytes, stream, cached_rows<Rule, Stored>, pages, table, problem,
                lower);
}

template <class Stored>
int attend_softly(const CachePages& pages, const CacheTable& table, const CachedProblem& problem,
                  const CachedScratch& scratch, void* stream) {
  const int64_t rows = table.batch * problem.heads * problem.queries;
  const int error = launch(table.batch * pages.heads * cached_parts(problem), kBlockThreads,
                           kBlockWarps * static_cast<size_t>(pages.width) * sizeof(float), stream,
                           cached_softmax_parts<Stored>, pages, table, problem, scratch);
  if (error != cudaSuccess) return error;
  return launch(ceil_div(rows, kBlockWarps), kBlockThreads, 0, stream, cached_softmax_rows<Stored>, problem,
                rows, pages.value_width, scratch);
}

}  // namespace

int64_t cached_parts(const CachedProblem& problem) { return ceil_div(problem.most_pages, kPartPages); }

int launch_cached_attention(Normalizer normalizer, Dtype dtype, const CachePages& pages,
                            const CacheTable& table, const CachedProblem& problem,
                            const CachedScratch& scratch, void* stream) {
  if (!is_valid(pages, table, problem)) return cudaErrorInvalidValue;
  return with_cached_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    if (problem.heads == 0 || problem.queries == 0) return cudaSuccess;
    switch (normalizer) {
      case Normalizer::softmax:
        return attend_softly<Stored>(pages, table, problem, scratch, stream);
      case Normalizer::sparsemax:
        return attend_by_certificate<SparsemaxRule, Stored>(pages, table, problem, scratch, stream);
      case Normalizer::entmax15:
        return attend_by_certificate<Entmax15Rule, Stored>(pages, table, problem, scratch, stream);
    }
    return cudaErrorInvalidValue;
  });
}

}  // namespace giantrabbit::ops::cuda
