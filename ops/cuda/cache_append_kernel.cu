// Launches of appending to the paged cache.
#include "ops/cuda/cache_append_kernel.cuh"

namespace giantrabbit::ops::cuda {

int launch_cache_append(Dtype dtype, const CachePages& pages, const CacheTable& table,
                        const CacheRowsToAppend& rows, void* stream) {
  if (pages.heads < 0 || pages.width < 0 || pages.value_width < 0 || table.batch < 0 || rows.tokens < 0)
    return cudaErrorInvalidValue;
  if (rows.tokens == 0) return cudaSuccess;
  const int64_t heads = table.batch * pages.heads;
  const int64_t most = ceil_div(rows.tokens, kPageTokens) + 1;
  return with_cached_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    const int error = launch(ceil_div(heads * rows.tokens, kBlockWarps), kBlockThreads, 0, stream,
                             cache_append_rows<Stored>, pages, table, rows);
    if (error != cudaSuccess) return error;
    return launch(ceil_div(heads * most, kBlockWarps), kBlockThreads, 0, stream, cache_close_pages<Stored>,
                  pages, table, rows, most);
  });
}

}  // namespace giantrabbit::ops::cuda
