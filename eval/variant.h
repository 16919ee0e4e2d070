// Runs that differ in nothing but their seed are one variant measured several times. In: runs. Out: variants
// in the order of their first run, each with its runs in ascending order of the seed. Every run is in exactly
// one variant; no variant has two runs of one seed.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/run.h"

namespace giantrabbit::eval {

// Makes the runs' names unique: as many last parts of the directory as tell a run from the others, then its
// changes ("dense@window=8"); " #2" behind what is named twice.
void make_names_distinct(std::span<Run> runs);

struct RunIdentity {
  std::string label;          // unique among the runs
  std::string configuration;  // everything in config.toml but the seed
  int64_t seed = 0;
};

struct Variant {
  std::string label;         // what the labels of its runs begin with, and their changes; one run: its label
  std::vector<size_t> runs;  // indices
};
std::vector<Variant> group_runs(std::span<const RunIdentity> runs);

// Pairs (run of first, run of second) of equal seed; of two single runs the pair, whatever their seeds.
struct RunPair {
  size_t first = 0;
  size_t second = 0;
};
std::vector<RunPair> pair_by_seed(const Variant& first, const Variant& second,
                                  std::span<const RunIdentity> runs);

}  // namespace giantrabbit::eval
