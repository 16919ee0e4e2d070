// giantrabbit-eval evict: accuracy of RUN when its cache forgets behind every written step, for each rule and
// share, on the same problems.
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/commands/command.h"
#include "eval/evaluator.h"
#include "eval/eviction.h"
#include "eval/metrics.h"
#include "eval/problem_set.h"
#include "eval/report.h"
#include "eval/run.h"
#include "eval/table.h"

namespace giantrabbit::eval {
namespace {

using cxxopts::value;

cxxopts::Options evict_options() {
  cxxopts::Options options(
      "giantrabbit-eval evict",
      "Lets every RUN forget a share of its cache behind each written step: tokens stay by "
      "received attention, by recency or at random.");
  options.custom_help("RUN.. [options]");
  options.add_options()  //
      ("keep", "shares of the cache that stay", value<std::string>()->default_value("0.9,0.7,0.5,0.3"),
       "LIST")                                                                                  //
      ("count", "problems of the test split", value<std::string>()->default_value("200"), "N")  //
      ("seed", "seed of the drawn problems and of random eviction", value<std::string>()->default_value("1"),
       "N")  //
      ("json", "write the figures to this file", value<std::string>(), "FILE");
  return options;
}

struct Line {
  std::string run;
  std::string rule;
  double keep_fraction;
  Metrics metrics;
  double keys_held;
};

Line measure_line(Run& run, const std::vector<data::Problem>& problems, const Eviction& eviction) {
  Evaluation evaluation;
  double held = 0;
  double written = 0;
  for (const data::Problem& problem : problems) {
    const EvictedOutput output = decode_evicting(run.network, run.vocabulary, problem.prompt,
                                                 output_limit(problem, run.format()), eviction);
    held += output.keys_held;
    written += output.keys_written;
    const data::Family& family = data::find_family(problem.prompt.at(0));
    evaluation.items.push_back(
        {problem, output.words, family.judge(problem.prompt, output.words, run.format())});
  }
  const bool whole = eviction.keep_fraction == 1;
  return {run.name, whole ? "none" : std::string(eviction_rule_name(eviction.rule)), eviction.keep_fraction,
          measure(view(evaluation)), held / written};
}

nlohmann::json to_json(const Line& line) {
  return {{"run", line.run},
          {"rule", line.rule},
          {"keep_fraction", line.keep_fraction},
          {"exact",
           {{"rate", line.metrics.exact.rate()},
            {"count", line.metrics.exact.count},
            {"total", line.metrics.exact.total},
            {"interval", {line.metrics.exact.interval.low, line.metrics.exact.interval.high}}}},
          {"keys_held", line.keys_held}};
}

}  // namespace

void run_evict(std::span<const std::string> arguments) {
  cxxopts::Options options = evict_options();
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  check_output(parsed, "json");
  const std::vector<double> keep = shares(parsed, "keep");
  const auto seed = static_cast<uint64_t>(whole_number(parsed, "seed", 0, INT64_MAX));
  const int64_t count = whole_number(parsed, "count", 1);
  std::vector<Run> runs = load_runs(parsed, "evict decodes with float32 weights only");
  const ProblemSet set = draw_problems(common_task(runs, "compare them one by one"), "test", seed, count);
  std::vector<Line> lines;
  for (Run& run : runs) {
    lines.push_back(measure_line(run, set.problems, {EvictionRule::recency, 1, seed}));
    for (const double share : keep) {
      if (share == 1) continue;  // every rule keeps everything: the line above
      for (const EvictionRule rule : eviction_rules) {
        lines.push_back(measure_line(run, set.problems, {rule, share, seed}));
      }
    }
  }
  Table table{"Accuracy with a cache that forgets behind every written step: " + set.description,
              {"run", "kept by", "share kept", "right, %", "chain valid, %", "keys held, %"},
              {},
              "Keys held: mean share of the written tokens that a layer could still see."};
  nlohmann::json document = nlohmann::json::array();
  for (const Line& line : lines) {
    table.rows.push_back({line.run, line.rule, fmt::format("{:g}", line.keep_fraction),
                          percent_with_interval(line.metrics.exact),
                          percent_with_interval(line.metrics.chain_valid),
                          fmt::format("{:.1f}", 100 * line.keys_held)});
    document.push_back(to_json(line));
  }
  fmt::print("{}", to_text(table));
  write_json(parsed, document);
}

}  // namespace giantrabbit::eval
