// Processes for a test, here threads that meet in a store in memory and sum through Gloo on this machine.
#pragma once

#include <exception>
#include <thread>
#include <vector>

#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "train/process_group.h"

namespace giantrabbit::train {

// Runs `body(group)` as each of `size` processes; the first error is thrown on.
template <typename Body>
void as_processes(int size, Body body) {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::vector<std::exception_ptr> errors(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(ProcessGroup(store, rank, size));
      } catch (...) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace giantrabbit::train
