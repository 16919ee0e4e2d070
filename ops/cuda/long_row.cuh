// A row of any length, swept once by a block. Every warp keeps the entries that can still have a weight in a
// list in shared memory; what a list's own threshold rules out is dropped when the list is full (the subset
// bound of Note [Sparsemax threshold]). Where a list stays full the row is wide: it is read again, once per
// round. Out: threshold and lists. Lists are filled in the order of the entries, so results do not depend on
// timing.
#pragma once

#include "ops/cuda/row_rules.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kListCapacity = 128;  // per warp; a step of a warp appends at most kWarp at a time
constexpr int kStepsAhead = 4;      // loads in flight per thread

template <class M>
struct CandidateList {
  M values[kListCapacity];
  int places[kListCapacity];
};

// What a block keeps in shared memory.
template <class M>
struct LongRowMemory {
  CandidateList<M> lists[kBlockWarps];
  double tau;
  unsigned char parts[BlockGroup::kPartBytes];
  M maxima[kBlockWarps];
  int counts[kBlockWarps];
};

// The lists of all warps, for one warp.
template <class M>
struct ListEntries {
  static constexpr bool kFew = true;
  const CandidateList<M>* lists;
  const int* counts;
  int warps;

  template <class Function>
  __device__ void for_each(Function function) const {
    for (int warp = 0; warp < warps; ++warp) {
      for (int i = lane_index(); i < counts[warp]; i += kWarp) function(lists[warp].values[i]);
    }
  }
};

// One list and one more entry per lane, for its warp.
template <class M>
struct ListAndLaneEntries {
  static constexpr bool kFew = true;
  ListEntries<M> list;
  M entry;

  template <class Function>
  __device__ void for_each(Function function) const {
    list.for_each(function);
    function(entry);
  }
};

// The row itself, for the block.
template <class Stored>
struct RowEntries {
  static constexpr bool kFew = false;
  const Stored* row;
  int n;

  template <class Function>
  __device__ void for_each(Function function) const {
    for (int j = static_cast<int>(threadIdx.x); j < n; j += kBlockThreads) function(widened(row[j]));
  }
};

// One warp's part of the sweep.
template <class Rule, class M>
class Collector {
 public:
  __device__ explicit Collector(CandidateList<M>& list) : list_(list) {}

  // One entry per lane; lanes past the end of the row bring -inf.
  __device__ void add(M x, int place) {
    undefined_ |= !(x < kInfinity<M>);
    if (__any_sync(kAllLanes, x > maximum_)) maximum_ = WarpGroup().largest(x > maximum_ ? x : maximum_);
    bool kept = !wide_ && in_reach<Rule>(x, maximum_);
    unsigned keeping = __ballot_sync(kAllLanes, kept);
    if (keeping == 0) return;
    if (count_ + __popc(keeping) > kListCapacity) {
      const double tau = drop(kept ? x : -kInfinity<M>);
      kept = kept && distance_above<Rule>(x, maximum_, tau) > 0.0;
      keeping = __ballot_sync(kAllLanes, kept);
      wide_ = count_ + __popc(keeping) > kListCapacity;
      if (wide_) return;
    }
    if (kept) {
      const int at = count_ + __popc(keeping & ((1U << lane_index()) - 1));
      list_.values[at] = x;
      list_.places[at] = place;
    }
    count_ += __popc(keeping);
  }

  __device__ bool undefined() const { return undefined_; }
  __device__ bool wide() const { return wide_; }
  __device__ M maximum() const { return maximum_; }
  __device__ int count() const { return count_; }

 private:
  // Leaves out what cannot have a weight given the list and `entry`, and returns their tau. The maximum is
  // among them: it is never left out. Lanes read a stretch of the list, then write before or into it.
  __device__ double drop(M entry) {
    __syncwarp();
    const ListEntries<M> list{&list_, &count_, 1};
    const double tau = find_tau<Rule>(WarpGroup(), ListAndLaneEntries<M>{list, entry}, maximum_);
    int left = 0;
    for (int first = 0; first < count_; first += kWarp) {
      const int i = first + lane_index();
      const M x = i < count_ ? list_.values[i] : -kInfinity<M>;
      const int place = i < count_ ? list_.places[i] : 0;
      const bool kept = distance_above<Rule>(x, maximum_, tau) > 0.0;
      const unsigned keeping = __ballot_sync(kAllLanes, kept);
      __syncwarp();
      if (kept) {
        const int at = left + __popc(keeping & ((1U << lane_index()) - 1));
        list_.values[at] = x;
        list_.places[at] = place;
      }
      left += __popc(keeping);
    }
    __syncwarp();
    count_ = left;
    return tau;
  }

  CandidateList<M>& list_;
  M maximum_ = -kInfinity<M>;
  int count_ = 0;
  bool undefined_ = false;
  bool wide_ = false;
};

// Whether the lists hold all that has a weight.
template <class M>
struct LongRowResult {
  RowThreshold<M> threshold;
  bool wide;
};

// Calls visit(place) once for every place of the row, after the entry there was read. The block meets at
// barriers.
template <class Rule, class Stored, class M, class Visit>
__device__ LongRowResult<M> sweep_row(const Stored* row, int n, LongRowMemory<M>& memory, Visit visit) {
  const BlockGroup block{memory.parts};
  const int warp = warp_index();
  Collector<Rule, M> collector(memory.lists[warp]);
  for (int first = warp * kWarp; first < n; first += kStepsAhead * kBlockThreads) {
    M x[kStepsAhead];
#pragma unroll
    for (int step = 0; step < kStepsAhead; ++step) {
      const int j = first + step * kBlockThreads + lane_index();
      x[step] = j < n ? widened(row[j]) : -kInfinity<M>;
    }
#pragma unroll
    for (int step = 0; step < kStepsAhead; ++step) {
      const int j = first + step * kBlockThreads + lane_index();
      collector.add(x[step], j);
      if (j < n) visit(j);
    }
  }
  if (lane_index() == 0) {
    memory.counts[warp] = collector.count();
    memory.maxima[warp] = collector.maximum();
  }
  const bool undefined = block.any(collector.undefined());
  const bool wide = block.any(collector.wide());
  M maximum = memory.maxima[0];
  for (int other = 1; other < kBlockWarps; ++other)
    maximum = memory.maxima[other] > maximum ? memory.maxima[other] : maximum;
  if (undefined) return {{RowKind::undefined, maximum, 0.0}, false};
  if (maximum == -kInfinity<M>) return {{RowKind::empty, maximum, 0.0}, false};
  if (wide) {
    return {{RowKind::usual, maximum, find_tau<Rule>(block, RowEntries<Stored>{row, n}, maximum)}, true};
  }
  if (warp == 0) {
    const double tau =
        find_tau<Rule>(WarpGroup(), ListEntries<M>{memory.lists, memory.counts, kBlockWarps}, maximum);
    if (lane_index() == 0) memory.tau = tau;
  }
  __syncthreads();
  return {{RowKind::usual, maximum, memory.tau}, false};
}

}  // namespace giantrabbit::ops::cuda
