// One block of queries through the stages of exact attention. In, the codes and rows of a head's keys and
// values; out, the block's output rows and supports, or the verdict that its supports are wide. The verdict
// depends on the data alone, never on timing or on earlier calls. See Note [Exact by bounds] in forward.cpp.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "ops/cpu/attention_problem.h"
#include "ops/cpu/exact/functions.h"

namespace giantrabbit::ops::cpu::exact {

// The stages of the chosen instruction set.
const Functions& chosen_functions();

// Dwords per key of the codes of a head of this width: the steps of KeyCodes, padded.
int64_t code_steps(int64_t width);

// What the exact path did; sums over blocks.
struct Counters {
  int64_t scored = 0;   // pairs of query and key scored in low precision
  int64_t refined = 0;  // pairs scored again in fp32
  int64_t support = 0;  // pairs with a weight
  int64_t skipped = 0;  // pairs in blocks of keys that no stage looked at
  int64_t dense = 0;    // pairs scored by the dense path
  int64_t bytes = 0;    // of codes, keys and values read
  static constexpr int64_t kCount = 6;
};

// Supports of a narrow block have at most this many entries a row on average: that keeps the memory of lists
// and supports proportional to the number of queries.
inline constexpr int64_t kMostEntries = 1024;

// The keys and values of one head.
struct HeadOperands {
  int64_t count;
  Rows keys;
  Rows values;
  KeyCodes codes;
};

// How the queries of a head are cut into blocks. The last one is short: it goes first and tells whether the
// head is wide, so little is lost if it is.
struct QueryBlocks {
  static constexpr int64_t kProbeQueries = 24;
  int64_t queries;
  int64_t count() const;
  Range range(int64_t block) const;
};

struct BlockSupport {
  std::vector<int32_t> keys;
  std::vector<float> weights;
};

// Arrays of undefined content on cache lines, each with room for a vector behind it.
class ScratchMemory {
 public:
  void clear() { used_ = 0; }
  template <class T>
  T* array(int64_t count) {
    return reinterpret_cast<T*>(take(static_cast<size_t>(count) * sizeof(T)));
  }

 private:
  struct Chunk {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
  };
  char* take(size_t bytes);
  std::vector<Chunk> chunks_;  // the n-th array of a user gets the n-th
  size_t used_ = 0;
};

// Scratch of one thread and the stages over it; one at a time in a thread.
class BlockStages {
 public:
  // Widths are those of the padded problem; the mask's rules are read per row. Both arguments live longer.
  explicit BlockStages(const AttentionProblem<float>& problem,
                       const Functions& functions = chosen_functions());
  BlockStages(const BlockStages&) = delete;
  BlockStages& operator=(const BlockStages&) = delete;

  // False: the block is wide (or holds numbers that are not finite) and nothing was written. `counts` gets
  // the support sizes of the rows; `support` is filled if it is not null.
  bool run(const QueryBlock& block, const HeadOperands& head, int64_t* counts, BlockSupport* support);
  const Counters& counters() const { return counters_; }

  const HeadsView<float>* output = nullptr;  // where rows of the result go

 private:
  bool begin(const QueryBlock& block, const HeadOperands& head);
  void find_visible(const QueryBlock& block);
  bool is_wide(int64_t marked, int64_t rows, Range seen) const;
  void pack_keys(const QueryBlock& block, const HeadOperands& head);
  bool refine();
  void place_seed(const QueryBlock& block);
  bool seed(const KeyCodes& codes, int64_t& marked);
  bool passes(const QueryBlock& block, const HeadOperands& head);
  Candidates& list(int64_t i) { return lists_[static_cast<size_t>(i)]; }

  const AttentionProblem<float>& problem_;
  const Functions& functions_;
  int64_t capacity_;  // of a list of candidates
  bool packs_keys_;
  ScratchMemory& memory_;
  float* packed_keys_ = nullptr;
  const float* packed_from_ = nullptr;
  Rows keys_{};  // of the head
  QueryRows rows_{};
  Pass pass_{};
  std::array<Candidates, 2> lists_{};
  int64_t current_ = 0;
  RowScratch row_{};
  std::array<int32_t, kBlockQueries> begin_{};
  std::array<int32_t, kBlockQueries> end_{};
  uint64_t* listed_ = nullptr;
  int64_t first_block_ = 0;  // blocks of keys that some row may see
  int64_t last_block_ = 0;
  int64_t visible_ = 0;  // pairs
  int32_t* support_keys_ = nullptr;
  float* support_weights_ = nullptr;
  Counters counters_;
};

}  // namespace giantrabbit::ops::cpu::exact
