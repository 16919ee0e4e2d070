// giantrabbit-eval exam: the nine questions, each answered by every run and shown step by step.
#include <fmt/format.h>

#include "data/item_file.h"
#include "eval/chain_text.h"
#include "eval/commands/command.h"
#include "eval/metrics.h"
#include "eval/report.h"
#include "eval/run.h"

namespace giantrabbit::eval {
namespace {

std::string summary(const Run& run, const Evaluation& evaluation) {
  const Metrics metrics = measure(view(evaluation));
  std::string text =
      fmt::format("{}: {} of {} right ({}%), {} right in every step ({}%)", run.name, metrics.exact.count,
                  metrics.exact.total, percent_with_interval(metrics.exact), metrics.chain_valid.count,
                  percent_with_interval(metrics.chain_valid));
  if (run.task.task != "exam")
    text += fmt::format("; trained on {}, not on the exam's families", run.task.task);
  return text;
}

}  // namespace

void run_exam(std::span<const std::string> arguments) {
  cxxopts::Options options(
      "giantrabbit-eval exam",
      "Lets every RUN answer the nine exam questions and checks every step of the chains.");
  options.custom_help("RUN.. [options]");
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  std::vector<Run> runs = load_runs(parsed);
  const std::vector<data::Problem> problems = data::exam_problems();
  std::vector<Evaluation> evaluations;
  for (Run& run : runs) {
    evaluations.push_back(
        evaluate(run.network, run.vocabulary, problems, run.format(), std::ssize(problems), run.weights));
  }

  for (size_t question = 0; question < problems.size(); ++question) {
    fmt::print("{}  {}\n", problems[question].id, data::join_words(problems[question].prompt));
    for (size_t run = 0; run < runs.size(); ++run) {
      fmt::print("  {}\n{}", runs[run].name,
                 chain_text(evaluations[run].items[question], runs[run].format()));
    }
    fmt::print("\n");
  }
  for (size_t run = 0; run < runs.size(); ++run) fmt::print("{}\n", summary(runs[run], evaluations[run]));
  fmt::print("Nine questions measure nothing (the brackets are 95% intervals): they are a demonstration.\n");
}

}  // namespace giantrabbit::eval
