// giantrabbit-eval patterns: what hashing, the last keys and random keys find of exact attention on the same
// trained heads, and what RUN answers with each.
#include "eval/patterns.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/atomic_file.h"
#include "eval/commands/command.h"
#include "eval/gnuplot.h"
#include "eval/pattern_report.h"
#include "eval/problem_set.h"
#include "eval/shared_heads.h"

namespace giantrabbit::eval {
namespace {

using cxxopts::value;

constexpr int64_t most_rounds = 64;

cxxopts::Options pattern_options() {
  cxxopts::Options options(
      "giantrabbit-eval patterns",
      "Switches the shared-query-key layers of RUN to hashing, to the last keys and to random "
      "ones, and holds each against all earlier keys.");
  options.custom_help("RUN [options]");
  options.add_options()  //
      ("rounds", "rounds of hashing; the other patterns see lsh_chunk keys a round",
       value<std::string>()->default_value("1,2,4,8"),
       "LIST")                                                                                            //
      ("count", "problems of the test split to decode", value<std::string>()->default_value("100"), "N")  //
      ("task", "task to draw problems of, for other lengths (default: the one the run was trained on)",
       value<std::string>(), "NAME")                                                         //
      ("seed", "seed of the drawn problems", value<std::string>()->default_value("1"), "N")  //
      ("plot", "draw support found and right answers against rounds into this SVG file (needs gnuplot)",
       value<std::string>(), "FILE")  //
      ("json", "write the figures to this file", value<std::string>(), "FILE");
  return options;
}

ProblemSet choose(const Parsed& parsed, const Run& run) {
  const int64_t count = whole_number(parsed, "count", 1);
  const auto seed = static_cast<uint64_t>(whole_number(parsed, "seed", 0, INT64_MAX));
  const bool named = parsed.options.count("task") > 0;
  try {
    ProblemSet set =
        draw_problems(named ? parsed.options["task"].as<std::string>() : run.task.task, "test", seed, count);
    require_words(run, set.problems);
    return set;
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
}

}  // namespace

void run_patterns(std::span<const std::string> arguments) {
  cxxopts::Options options = pattern_options();
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  if (parsed.runs.size() != 1) {
    throw UsageError(fmt::format("patterns takes one run directory, got {}", parsed.runs.size()));
  }
  check_output(parsed, "plot");
  check_output(parsed, "json");
  const std::vector<int64_t> rounds = increasing_numbers(parsed, "rounds", 1, most_rounds);
  whole_number(parsed, "count", 1);  // refused before the run is read
  whole_number(parsed, "seed", 0, INT64_MAX);
  const bool plots = parsed.options.count("plot") > 0;
  if (plots && !has_gnuplot()) throw std::runtime_error("--plot: gnuplot is not on this machine");
  Run run = std::move(load_runs(parsed, "patterns decodes with float32 weights only").front());
  if (shared_layers(run.network).empty()) {
    throw UsageError(fmt::format(
        "{}: no layer of the model shares queries and keys; train one with --shared-attention lsh",
        run.name));
  }
  const ProblemSet set = choose(parsed, run);
  const PatternReport report = compare_patterns(parsed.runs.front(), run, set.problems, rounds);
  const std::string subject = run.name + " on " + set.description;
  fmt::print("{}", to_text(pattern_table(report, subject)));
  if (plots) {
    data::write_file_atomically(parsed.options["plot"].as<std::string>(),
                                draw_svg_file(gnuplot_script(pattern_plot(report, subject)), "patterns"));
  }
  nlohmann::ordered_json document{{"run", run.name}, {"problems", set.description}};
  document.update(pattern_json(report));
  write_json(parsed, document);
}

}  // namespace giantrabbit::eval
