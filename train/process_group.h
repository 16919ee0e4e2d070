// The processes that train one model together. In: what their launcher said. Out: sums, broadcasts and
// agreement over LibTorch's Gloo. Kept invariant: every process makes the same calls in the same order and
// gets the same bits from them.
//
// A process on its own is a group of one: the same calls, which then do nothing. Where another process ends
// or falls silent, every call throws std::runtime_error with one sentence that names it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "train/launch.h"

namespace c10d {
class Store;
}

namespace giantrabbit::train {

class ProcessGroup {
 public:
  ProcessGroup();  // of one
  // Meets the others; throws std::runtime_error where they are not met within a minute.
  explicit ProcessGroup(const Launch& launch);
  // The same in a store that all reach, on this machine alone.
  ProcessGroup(c10::intrusive_ptr<c10d::Store> store, int rank, int size);
  ProcessGroup(ProcessGroup&&) noexcept;
  ProcessGroup& operator=(ProcessGroup&&) noexcept;
  ~ProcessGroup();

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_first() const { return rank_ == 0; }

  // Replaces `values` (contiguous, in main memory) by their sums over the processes while the caller goes on;
  // the function that it returns waits for that.
  [[nodiscard]] std::function<void()> start_sum(at::Tensor values) const;
  std::vector<double> sum(std::vector<double> values) const;
  // Replaces `values` (as above) by the first process's.
  void broadcast(const at::Tensor& values) const;
  // Throws in every process whose `bytes` are not the first one's: "<what> differs from that of rank 0".
  void require_same(std::string_view what, std::string_view bytes) const;
  // The first process acts, the others wait for it, however long it takes.
  void first_only(const std::function<void()>& action) const;
  // Every process tells how long its updates take: the others may be late by twice that and 20 seconds.
  void expect_updates_of(double seconds) const;

 private:
  class Connection;
  int rank_ = 0;
  int size_ = 1;
  std::unique_ptr<Connection> connection_;  // none in a group of one
};

}  // namespace giantrabbit::train
