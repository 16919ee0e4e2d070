// The options by which a command chooses its problems: drawn from a split of a task, or read from a file.
#pragma once

#include <string>
#include <vector>

#include "eval/commands/command.h"
#include "eval/problem_set.h"
#include "eval/run.h"

namespace giantrabbit::eval {

// --items, --skip-unparsable, --task, --split, --seed.
void add_problem_options(cxxopts::Options& options);
// What the user wrote, before anything is loaded: throws UsageError for options that would have no
// effect with --items or without it.
void check_problem_options(const Parsed& parsed);
// All items of the file, or the first `count` problems of the task (default: the one that the runs were
// trained on). Throws UsageError when the runs have different ones and none is chosen.
ProblemSet choose_problems(const Parsed& parsed, const std::vector<Run>& runs, int64_t count);

}  // namespace giantrabbit::eval
