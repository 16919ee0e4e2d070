// giantrabbit-eval timing: time per token against the length of the chain, runs interleaved, with the
// straight lines through it, the crossover that the model's shape predicts and the one that was measured.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/commands/command.h"
#include "eval/ladder.h"
#include "eval/ladder_report.h"

namespace giantrabbit::eval {
namespace {

using cxxopts::value;

constexpr int64_t long_length = 100'000;
const std::vector<int64_t> default_lengths{64, 256, 1024, 4096, 16384};

cxxopts::Options timing_options() {
  cxxopts::Options options("giantrabbit-eval timing",
                           "Forces a known chain through every RUN and shows time and work against length.");
  options.custom_help("RUN.. [options]");
  options.add_options()  //
      ("lengths",
       "positions to report, in tokens; without it those of 64,256,1024,4096,16384 that every RUN has "
       "positions for",
       value<std::string>(), "LIST")             //
      ("long", "report 100,000 tokens as well")  //
      ("repeats", "repeats of prefill and encode, the fastest counts",
       value<std::string>()->default_value("3"),
       "N")  //
      ("json", "write the figures to this file", value<std::string>(), "FILE");
  return options;
}

// Of the default lengths; says which are left out.
std::vector<int64_t> lengths_that_fit(std::span<const Run> runs) {
  const int64_t longest = longest_chain(runs);
  std::vector<int64_t> fitting;
  std::string left_out;
  for (const int64_t length : default_lengths) {
    if (length <= longest) {
      fitting.push_back(length);
    } else {
      left_out += fmt::format("{}{}", left_out.empty() ? "" : ", ", length);
    }
  }
  if (fitting.empty()) fitting.push_back(std::max<int64_t>(2, longest));
  if (!left_out.empty()) {
    fmt::print("Left out, as the runs have positions for {} tokens only: {}\n", longest, left_out);
  }
  return fitting;
}

}  // namespace

void run_timing(std::span<const std::string> arguments) {
  cxxopts::Options options = timing_options();
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  check_output(parsed, "json");
  LadderPlan plan;
  if (parsed.options.count("lengths") > 0) plan.lengths = lengths(parsed, "lengths");
  plan.repeats = static_cast<int>(whole_number(parsed, "repeats", 1, 1000));
  std::vector<Run> runs = load_runs(parsed);
  const std::string task = common_task(runs, "they cannot be forced through one chain");
  if (plan.lengths.empty()) plan.lengths = lengths_that_fit(runs);
  if (flag(parsed, "long") && plan.lengths.back() < long_length) {
    if (longest_chain(runs) < long_length) {
      throw UsageError(fmt::format("--long: a run has positions for {} tokens only", longest_chain(runs)));
    }
    plan.lengths.push_back(long_length);
  }
  check_lengths(runs, plan.lengths);
  const ForcedChain chain = forced_chain(runs.front().task, plan.lengths.back());
  fmt::print("{} words of task {}, the first chain has {}; {} weights\n", plan.lengths.back(), task,
             chain.first_chain, weights_text(runs));
  const std::vector<Ladder> ladders = climb(runs, chain, plan);
  for (const Table& table : ladder_tables(ladders)) fmt::print("\n{}", to_text(table));
  nlohmann::ordered_json document{{"task", task}, {"runs", nlohmann::ordered_json::array()}};
  for (const Ladder& ladder : ladders) document["runs"].push_back(ladder_json(ladder));
  write_json(parsed, document);
}

}  // namespace giantrabbit::eval
