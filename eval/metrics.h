// Verdicts in, counted figures out: accuracy, correctness of the steps, error classes and chain lengths, for
// all items and for groups of them. Every share carries its interval; nothing is averaged that can be
// counted.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/evaluator.h"
#include "eval/statistics.h"

namespace giantrabbit::eval {

inline constexpr size_t error_classes = static_cast<size_t>(data::ErrorClass::truncated) + 1;

struct Lengths {
  int64_t items = 0;
  double words = 0;            // mean words before ANS
  double reference_words = 0;  // the same of the reference chains
  double steps = 0;            // mean written steps
  double ratio() const { return reference_words == 0 ? 0 : words / reference_words; }
};

struct Metrics {
  Share exact;        // right answers
  Share chain_valid;  // right, finished, and every step valid
  Share
      steps_valid;  // valid steps among written ones; interval allows for steps of one item failing together
  Share steps_as_reference;  // steps identical to the reference chain among written ones
  Share trace_error;         // a wrong step or none of the required ones, among right answers
  Share truncated;           // no EOS within the allowed length
  std::array<int64_t, error_classes> errors{};  // items by error class; index = ErrorClass
  Lengths lengths;
};

using ItemView = std::vector<const Judged*>;
ItemView view(const Evaluation& evaluation);
Metrics measure(const ItemView& items);
Lengths measure_lengths(const ItemView& items);
// [k]: valid steps among the k-th written steps of the outputs that have one; at most `most` of them.
std::vector<Share> validity_by_step(const ItemView& items, size_t most = 20);

// One way of dividing items: a title and the label of every item; items with an empty label belong to no
// group.
struct Grouping {
  std::string title;
  std::vector<std::string> groups;              // in the order they are shown
  std::vector<std::vector<size_t>> membership;  // for every group the indices of its items
};

// Families in the order of data::all_families(), as far as they occur.
Grouping by_family(std::span<const Judged> items);
// "2x3", "3x4", .. for prompts that are one matrix, the groups of data::Family::stratum() for others.
Grouping by_size(std::span<const Judged> items);
// Problems that are hard for a known reason; an item may be in several groups.
Grouping by_subset(std::span<const Judged> items);

ItemView select(const Evaluation& evaluation, const std::vector<size_t>& indices);

}  // namespace giantrabbit::eval
