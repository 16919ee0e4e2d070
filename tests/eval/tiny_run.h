// Small random models and run directories for the tests of this room.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/problem.h"
#include "eval/run.h"
#include "model/giant_rabbit.h"

namespace giantrabbit::eval {

// Width 16, two heads, one encoder and two decoder layers; tests change what they are about.
model::ModelConfig tiny_config();
// Every parameter is drawn anew: fresh models start with output projections of 0, which would hide attention.
model::GiantRabbit tiny_network(const model::ModelConfig& config, uint64_t seed);
// A complete run directory of such a model below the test's temporary folder; emptied first.
std::filesystem::path write_tiny_run(const std::string& name, const model::ModelConfig& config,
                                     uint64_t seed);
// The first `count` problems of row reduction's test split.
std::vector<data::Problem> some_problems(int64_t count);

}  // namespace giantrabbit::eval
