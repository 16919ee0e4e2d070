// The problems a comparison is made on: drawn from a split, or read from a file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/item_file.h"
#include "data/problem.h"
#include "data/split.h"

namespace giantrabbit::eval {

struct ProblemSet {
  std::vector<data::Problem> problems;           // all different
  std::vector<data::ItemFile::Refused> refused;  // items of a file that could not be read
  std::string description;                       // a clause: "500 problems of task row-reduction, test split"
};

// "train", "validation" or "test"; throws std::invalid_argument otherwise.
data::Split parse_split(const std::string& text);

// The first `count` different problems of (task, split, seed); fewer where a family has no more of them,
// which the description then says. A repeated problem would make every interval too narrow.
ProblemSet draw_problems(const std::string& task, const std::string& split, uint64_t seed, int64_t count);
// Items that cannot be read are named and count as wrong; with `skip_unparsable` they are named in the
// description only and count nowhere. Throws std::runtime_error naming the file when it cannot be read or
// holds no item to judge.
ProblemSet read_problems(const std::filesystem::path& file, bool skip_unparsable = false);

// The problem with this number, from 1, in the order drawn or in the file, where items that could not be read
// have their numbers too. Throws data::ProblemError for those and behind the end. The set must be whole: of a
// file without `skip_unparsable`.
const data::Problem& problem_number(const ProblemSet& set, int64_t number);

}  // namespace giantrabbit::eval
