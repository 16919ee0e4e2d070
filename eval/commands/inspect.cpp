// giantrabbit-eval inspect: one problem step by step with every head's attention, or, over many problems, how
// often the supports hold what the steps needed.
#include <fmt/format.h>

#include "eval/attention_cost.h"
#include "eval/commands/command.h"
#include "eval/commands/problem_options.h"
#include "eval/comparison_report.h"
#include "eval/generation_trace.h"
#include "eval/inspection.h"
#include "eval/parameter_table.h"

namespace giantrabbit::eval {
namespace {

cxxopts::Options inspect_options() {
  using cxxopts::value;
  cxxopts::Options options(
      "giantrabbit-eval inspect",
      "With --problem or --item: lets RUN answer one problem and shows for every thought and every written "
      "step\n"
      "what each head attended to and whether it held the words the step was computed from. Without: the "
      "same\n"
      "measure for every RUN over --count problems, reference outputs forced, against random supports.");
  options.custom_help("RUN.. [--problem TEXT | --item N] [options]");
  options.add_options()  //
      ("problem", "the problem: family, rows separated by ';', fractions as 1/2", value<std::string>(),
       "TEXT")  //
      ("item", "the problem with this number, from 1, of those drawn or of the file", value<std::string>(),
       "N")  //
      ("trace",
       "with --problem or --item: before every written word the probabilities and every head's weights, of "
       "all RUNs side by side")                                                              //
      ("parameters", "the table of every RUN's parameters and nothing else")                 //
      ("words", "show every written word and every thought by itself as well")               //
      ("count", "problems of the summary", value<std::string>()->default_value("200"), "N")  //
      ("mass", "a head's support is its heaviest keys with this share of the weight; 1 = all with a weight",
       value<std::string>()->default_value("0.99"), "SHARE");
  add_problem_options(options);
  return options;
}

data::Problem choose_problem(const Parsed& parsed, const std::vector<Run>& runs) {
  if (parsed.options.count("problem") > 0)
    return data::parse_problem(parsed.options["problem"].as<std::string>());
  const int64_t number = whole_number(parsed, "item", 1);
  return problem_number(choose_problems(parsed, runs, number), number);
}

void print_inspection(Run& run, const data::Problem& problem, const InspectionOptions& options) {
  require_words(run, std::span(&problem, 1));
  const Evaluation evaluation =
      evaluate(run.network, run.vocabulary, std::span(&problem, 1), run.format(), 1, run.weights);
  const Judged& item = evaluation.items.front();
  const model::Trace trace = trace_output(run.network, run.vocabulary, problem.prompt, item.output);
  fmt::print("{}", inspection_text(run.config, trace, item, run.format(), options));
}

void print_traces(std::vector<Run>& runs, const data::Problem& problem) {
  std::vector<std::string> texts;
  for (Run& run : runs) {
    require_words(run, std::span(&problem, 1));
    const Evaluation evaluation =
        evaluate(run.network, run.vocabulary, std::span(&problem, 1), run.format(), 1, run.weights);
    texts.push_back(fmt::format("{}, attention {}", run.name, run.config.attention) +
                    to_text(trace_generation(run, problem.prompt, evaluation.items.front().output)));
  }
  fmt::print("{}", side_by_side(texts));
}

void print_summary(std::vector<Run>& runs, const ProblemSet& set, double mass) {
  for (const Run& run : runs) require_words(run, set.problems);
  const Traceable traced = traceable(set.problems, runs);
  Report report;
  for (Run& run : runs) {
    fmt::print(stderr, "tracing {} on {} problems\n", run.name, traced.problems.size());
    NeedCounter needs(mass);
    for (const ForcedItem& item : reference_items(traced.problems, run.format())) {
      needs.add(run.config, trace_output(run.network, run.vocabulary, item.prompt, item.output), item.prompt,
                item.output, run.format());
    }
    RunReport& entry = report.runs.emplace_back();
    entry.label = run.name;
    entry.needs = needs.result();
    report.variants.push_back({run.name, {report.runs.size() - 1}, {}});
  }
  fmt::print("Measured on {} of {}, reference outputs forced through the networks.\n", traced.problems.size(),
             set.description);
  if (!traced.left_out.empty()) fmt::print("{}\n", traced.left_out);
  for (const data::ItemFile::Refused& item : set.refused) {
    fmt::print("Item {} could not be read: {}\n", item.id, item.reason);
  }
  for (const RunReport& run : report.runs) fmt::print("\n{}", to_text(need_table(run)));
  fmt::print("\nWhat the figures allow to conclude\n");
  for (const std::string& sentence : sentences(report)) fmt::print("  {}\n", sentence);
}

}  // namespace

void run_inspect(std::span<const std::string> arguments) {
  cxxopts::Options options = inspect_options();
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  const double mass = share_of_one(parsed, "mass");
  const bool one = parsed.options.count("problem") + parsed.options.count("item") > 0;
  if (parsed.options.count("problem") > 0 && parsed.options.count("item") > 0) {
    throw UsageError("inspect takes --problem or --item, not both");
  }
  const bool trace = flag(parsed, "trace");
  if (trace && !one) throw UsageError("--trace goes with --problem or --item");
  if (one && !trace && parsed.runs.size() != 1) {
    throw UsageError(
        fmt::format("inspect takes one run directory for one problem, got {}", parsed.runs.size()));
  }
  refuse_beside(parsed, "problem", {"items", "task", "split", "seed", "count", "skip-unparsable"});
  refuse_beside(parsed, "item", {"count", "skip-unparsable"});
  refuse_beside(parsed, "parameters", {"problem", "item", "trace", "words"});
  if (!one && flag(parsed, "words")) throw UsageError("--words goes with --problem or --item");
  check_problem_options(parsed);
  const int64_t count = whole_number(parsed, "count", 1);
  // What the user wrote is checked before anything is loaded.
  if (parsed.options.count("problem") > 0) data::parse_problem(parsed.options["problem"].as<std::string>());
  if (parsed.options.count("item") > 0) whole_number(parsed, "item", 1);

  std::vector<Run> runs = load_runs(
      parsed, one ? "" : "the summary decodes nothing, so rounded weights go with --problem or --item only");
  if (flag(parsed, "parameters")) {
    for (const Run& run : runs) fmt::print("{}\n", to_text(parameter_table(run.name, run.network)));
  } else if (trace) {
    print_traces(runs, choose_problem(parsed, runs));
  } else if (one) {
    print_inspection(runs.front(), choose_problem(parsed, runs), {mass, flag(parsed, "words")});
  } else {
    print_summary(runs, choose_problems(parsed, runs, count), mass);
  }
}

}  // namespace giantrabbit::eval
