// Launches of attention by codes.
#include <algorithm>

#include "ops/cuda/attention_by_codes.h"
#include "ops/cuda/attention_filter_kernel.cuh"
#include "ops/cuda/attention_launch.cuh"
#include "ops/cuda/attention_refine.cuh"

namespace giantrabbit::ops::cuda {
namespace {

constexpr int64_t kWidestCodes = 128;

int64_t rounded_up(int64_t value, int64_t unit) { return ceil_div(value, unit) * unit; }

int code_width(const AttentionProblem& problem) {
  return problem.width <= 32 ? 32 : problem.width <= 64 ? 64 : 128;
}

bool takes_codes(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem) {
  return normalizer != Normalizer::softmax && dtype != Dtype::float64 && problem.bias.data == nullptr &&
         problem.lists.row_offsets == nullptr && problem.width <= kWidestCodes && problem.batch > 0 &&
         problem.heads > 0 && problem.queries > 0 && problem.keys > 0 && problem.value_width > 0;
}

// As many as are at work at a time: each goes on with another tile when it is done.
int64_t resident_blocks(int64_t tiles, int width) {
  int device = 0;
  int multiprocessors = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device) != cudaSuccess)
    return 1;
  return std::min(tiles, int64_t{multiprocessors} * (width <= 64 ? kFilterBlocks<64> : kFilterBlocks<128>));
}

// Parts of one piece of memory, each aligned for all uses.
class Workspace {
 public:
  Workspace(const AttentionProblem& problem, void* memory)
      : begin_(static_cast<unsigned char*>(memory)), width_(code_width(problem)) {
    const int64_t heads = problem.batch * problem.heads;
    const int64_t key_heads = problem.batch * problem.key_heads;
    codes.query_rows = rounded_up(problem.queries, kCodedQueries);
    codes.key_rows = rounded_up(problem.keys, kCodedKeys);
    tiles = heads * codes.query_rows / kCodedQueries;
    blocks = resident_blocks(tiles, width_);
    codes.queries = take<__nv_bfloat16>(heads * codes.query_rows * width_);
    codes.keys = take<__nv_bfloat16>(key_heads * codes.key_rows * width_);
    codes.query_bounds = take<float2>(heads * codes.query_rows);
    codes.key_bounds = take<float2>(key_heads * codes.key_rows / kStepKeys);
    candidates.lower = take<float>(blocks * kCodedQueries * kListCapacity);
    candidates.keys = take<int32_t>(heads * problem.queries * kListCapacity);
    candidates.counts = take<unsigned char>(heads * problem.queries * kParts);
    left_over = take<unsigned char>(heads * problem.queries);
  }

  int64_t bytes() const { return bytes_; }

  AttentionCodes codes{};
  CandidateRows candidates{};
  unsigned char* left_over;
  int64_t tiles;
  int64_t blocks;

 private:
  template <class T>
  T* take(int64_t count) {
    constexpr int64_t kAlignment = 256;
    T* const part = begin_ == nullptr ? nullptr : reinterpret_cast<T*>(begin_ + bytes_);
    bytes_ += rounded_up(count * static_cast<int64_t>(sizeof(T)), kAlignment);
    return part;
  }

  unsigned char* begin_;
  int width_;
  int64_t bytes_ = 0;
};

template <int kWidth>
struct CodeWidth {};

// Calls function(rule, value of the storage type, CodeWidth).
template <class Function>
int with_code_types(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem,
                    const Function& function) {
  return with_rule_and_type(normalizer, dtype, [&](auto rule, auto stored) -> int {
    using Rule = typename decltype(rule)::Rule;
    if constexpr (std::is_void_v<Rule> || std::is_same_v<decltype(stored), double>) {
      return cudaErrorInvalidValue;
    } else {
      switch (code_width(problem)) {
        case 32:
          return function(Rule{}, stored, CodeWidth<32>{});
        case 64:
          return function(Rule{}, stored, CodeWidth<64>{});
        default:
          return function(Rule{}, stored, CodeWidth<128>{});
      }
    }
  });
}

template <class Rule, class Stored, int kWidth>
int launch_by_codes(const AttentionProblem& problem, const Workspace& space, const Stored* query,
                    const Stored* key, const Stored* value, Stored* result, const KeptRows& kept,
                    void* stream) {
  const AttentionCodes& codes = space.codes;
  const int64_t query_steps = problem.batch * problem.heads * codes.query_rows / kStepKeys;
  const int64_t key_steps = problem.batch * problem.key_heads * codes.key_rows / kStepKeys;
  int error =
      launch(query_steps, kBlockThreads, 0, stream, encode_queries<kWidth, Stored>, problem, query, codes);
  if (error != cudaSuccess) return error;
  error = launch(key_steps, kBlockThreads, kBlockWarps * sizeof(float2), stream, encode_keys<kWidth, Stored>,
                 problem, key, codes);
  if (error != cudaSuccess) return error;
  error = launch(space.blocks, kFilterThreads, sizeof(FilterMemory<kWidth>), stream,
                 filter_keys<Rule, kWidth>, problem, codes, space.candidates);
  if (error != cudaSuccess) return error;
  return launch(query_blocks(problem), kBlockThreads, sizeof(RefineMemory), stream, refine_rows<Rule, Stored>,
                problem, space.candidates, query, key, value, result, kept, space.left_over);
}

}  // namespace

int64_t attention_workspace_bytes(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem) {
  return takes_codes(normalizer, dtype, problem) ? Workspace(problem, nullptr).bytes() : 0;
}

int launch_attention_by_codes(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem,
                              const void* query, const void* key, const void* value, void* result,
                              const KeptRows& kept, void* workspace, void* stream,
                              const unsigned char** left_over) {
  const Workspace space(problem, workspace);
  *left_over = space.left_over;
  return with_code_types(
      normalizer, dtype, problem, [&]<class Rule, class Stored, int kWidth>(Rule, Stored, CodeWidth<kWidth>) {
        return launch_by_codes<Rule, Stored, kWidth>(
            problem, space, static_cast<const Stored*>(query), static_cast<const Stored*>(key),
            static_cast<const Stored*>(value), static_cast<Stored*>(result), kept, stream);
      });
}

}  // namespace giantrabbit::ops::cuda
