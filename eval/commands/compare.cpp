// giantrabbit-eval compare: all runs on the same problems -> accuracy, chains, times, attention, conclusions.
#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/atomic_file.h"
#include "data/example_source.h"
#include "eval/commands/command.h"
#include "eval/problem_set.h"
#include "eval/report.h"
#include "eval/report_json.h"
#include "eval/run.h"

namespace giantrabbit::eval {
namespace {

using cxxopts::value;

cxxopts::Options compare_options() {
  cxxopts::Options options(
      "giantrabbit-eval compare",
      "Judges every RUN on the same problems and says what the figures allow to conclude.");
  options.custom_help("RUN.. [options]");
  options.add_options()  //
      ("items",
       "judge the problems of this file instead of drawn ones: JSON list or lines, ListOps (label, tab, "
       "expression) or multiplication (question||chain #### answer)",
       value<std::string>(), "FILE")                                                                //
      ("skip-unparsable", "leave out items that cannot be read instead of counting them as wrong")  //
      ("task", "task to draw problems of (default: the one the runs were trained on)", value<std::string>(),
       "NAME")  //
      ("split", "split to draw from: test, validation or train", value<std::string>()->default_value("test"),
       "NAME")                                                                                              //
      ("count", "problems to draw", value<std::string>()->default_value("500"), "N")                        //
      ("seed", "seed of the drawn problems", value<std::string>()->default_value("1"), "N")                 //
      ("batch", "problems decoded together when judging", value<std::string>()->default_value("128"), "N")  //
      ("timed", "problems whose time is taken, one at a time; 0 = none",
       value<std::string>()->default_value("24"), "N")  //
      ("traced", "problems whose attention is measured; 0 = none", value<std::string>()->default_value("32"),
       "N")                                                                     //
      ("json", "write the figures to this file", value<std::string>(), "FILE")  //
      ("report", "write the tables to this file as one HTML page", value<std::string>(), "FILE");
  return options;
}

std::string task_of(const Parsed& parsed, std::span<const Run> runs) {
  if (parsed.options.count("task") > 0) return parsed.options["task"].as<std::string>();
  return common_task(runs, "choose one with --task");
}

ProblemSet choose_problems(const Parsed& parsed, const std::vector<Run>& runs) {
  const auto count = whole_number(parsed, "count", 1);
  const auto seed = static_cast<uint64_t>(whole_number(parsed, "seed", 0));
  if (parsed.options.count("items") > 0) {
    return read_problems(parsed.options["items"].as<std::string>(),
                         parsed.options.count("skip-unparsable") > 0);
  }
  try {
    return draw_problems(task_of(parsed, runs), parsed.options["split"].as<std::string>(), seed, count);
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
}

// `count` problems spread evenly over the list, so that every family and size is among them.
std::vector<data::Problem> sample(const std::vector<data::Problem>& problems, int64_t count) {
  const int64_t total = std::ssize(problems);
  const int64_t taken = std::min(count, total);
  std::vector<data::Problem> chosen;
  for (int64_t index = 0; index < taken; ++index)
    chosen.push_back(problems[static_cast<size_t>(index * total / taken)]);
  return chosen;
}

AttentionCost attention_cost(Run& run, std::span<const data::Problem> problems) {
  std::vector<ForcedItem> items;
  for (const data::Problem& problem : problems) {
    try {
      items.push_back(
          {problem.prompt, data::find_family(problem.prompt.at(0)).solve(problem.prompt, run.format())});
    } catch (const data::ProblemError&) {
      continue;  // an outside item without a reference inside the vocabulary
    }
  }
  return measure_attention(run.network, run.vocabulary, items);
}

void add_accuracy(Report& report, const std::vector<Run>& runs, const std::vector<Evaluation>& evaluations) {
  const std::vector<Judged>& items = evaluations.front().items;
  report.groupings = {by_family(items), by_size(items), by_subset(items)};
  std::vector<size_t> solved_by_all;
  for (size_t item = 0; item < items.size(); ++item) {
    const auto right = [item](const Evaluation& evaluation) {
      return evaluation.items[item].verdict.answer_right;
    };
    if (std::ranges::all_of(evaluations, right)) solved_by_all.push_back(item);
  }
  for (size_t index = 0; index < runs.size(); ++index) {
    const Run& run = runs[index];
    RunReport entry;
    entry.name = run.name;
    const bool unique = std::ranges::count(runs, run.name, &Run::name) == 1;
    entry.label = unique ? run.name : run.directory.string();
    entry.directory = run.directory.string();
    entry.attention = run.config.attention;
    entry.format = run.task.format;
    entry.parameters = run.network->parameter_count();
    entry.all = measure(view(evaluations[index]));
    for (const Grouping& grouping : report.groupings) {
      std::vector<Metrics>& groups = entry.groups.emplace_back();
      for (const auto& members : grouping.membership)
        groups.push_back(measure(select(evaluations[index], members)));
    }
    entry.solved_by_all = measure_lengths(select(evaluations[index], solved_by_all));
    report.runs.push_back(std::move(entry));
  }
  for (size_t first = 0; first < runs.size(); ++first) {
    for (size_t second = first + 1; second < runs.size(); ++second) {
      report.comparisons.push_back(compare_runs(report.runs[first].label, evaluations[first],
                                                report.runs[second].label, evaluations[second]));
    }
  }
}

Report build_report(const Parsed& parsed, std::vector<Run>& runs, model::WeightType type) {
  const ProblemSet set = choose_problems(parsed, runs);
  for (const Run& run : runs) require_words(run, set.problems);
  const int64_t batch = whole_number(parsed, "batch", 1);
  const std::vector<data::Problem> timed = sample(set.problems, whole_number(parsed, "timed", 0));
  const std::vector<data::Problem> traced = sample(set.problems, whole_number(parsed, "traced", 0));

  Report report;
  report.machine = this_machine();
  report.items = set.description;
  report.weights = model::weight_type_name(type);
  report.refused = set.refused;
  std::vector<Evaluation> evaluations;
  for (Run& run : runs) {
    fmt::print(stderr, "judging {} on {} problems\n", run.name, set.problems.size());
    evaluations.push_back(evaluate(run.network, run.vocabulary, set.problems, run.format(), batch, type));
    for (const auto& item : set.refused) evaluations.back().items.push_back(unreadable_item(item.id));
  }
  add_accuracy(report, runs, evaluations);

  if (!timed.empty()) fmt::print(stderr, "timing {} problems one at a time\n", timed.size());
  std::vector<TimedRun> timed_runs;
  for (Run& run : runs) timed_runs.push_back({run.network, run.format(), run.vocabulary, type});
  const std::vector<RunTiming> timings = time_interleaved(timed_runs, timed);
  for (size_t index = 0; index < runs.size(); ++index) {
    report.runs[index].timing = timings[index];
    report.runs[index].cost = attention_cost(runs[index], traced);
  }
  return report;
}

}  // namespace

void run_compare(std::span<const std::string> arguments) {
  cxxopts::Options options = compare_options();
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  check_output(parsed, "json");
  check_output(parsed, "report");
  const model::WeightType type = weights(parsed);

  std::vector<Run> runs;
  for (const std::string& directory : parsed.runs) runs.push_back(load_run(directory));
  const Report report = build_report(parsed, runs, type);
  fmt::print("{}", report_text(report));
  if (parsed.options.count("json") > 0) {
    data::write_file_atomically(parsed.options["json"].as<std::string>(), report_json(report).dump(1) + "\n");
  }
  if (parsed.options.count("report") > 0) {
    data::write_file_atomically(parsed.options["report"].as<std::string>(), report_html(report));
  }
}

}  // namespace giantrabbit::eval
