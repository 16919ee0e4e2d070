// Problems of a task as a pure function of (task, split, seed, index): no state, exact resume, the same
// everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "data/split.h"

namespace giantrabbit::data {

// Task names: "row-reduction" (RREF, 2x3 .. 3x5), "row-reduction-4x5" (RREF, that shape only), "exam" (the
// nine families in turn), one exam family's name in lower case with dashes ("null", "fact-count"), or a task
// of another domain (data/families/domains.cpp); "abc-sort-5x12" for 5 letters and length 12, any sizes.
class ExampleSource : public Dataset {
 public:
  // Throws std::invalid_argument that lists the known tasks.
  ExampleSource(std::string_view task, ChainFormat format, Split split, uint64_t seed);
  Example example(uint64_t index) const override;
  // The base words and those of the task.
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  ChainFormat format() const { return format_; }
  static std::vector<std::string> tasks();
  // The vocabulary of every run of the task. Throws like the constructor.
  static Vocabulary task_vocabulary(std::string_view task);

 private:
  std::vector<const Family*> families_;
  ChainFormat format_;
  Split split_;
  uint64_t seed_;
  uint64_t task_key_;
  Vocabulary vocabulary_;
};

}  // namespace giantrabbit::data
