// Takes the measurements of a comparison one after the other; see comparison_report.h.
#include "eval/comparison_report.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "eval/attention_picture.h"
#include "eval/ladder.h"
#include "eval/variant.h"

namespace giantrabbit::eval {
namespace {

std::vector<size_t> solved_by_all(const std::vector<Evaluation>& evaluations) {
  std::vector<size_t> solved;
  for (size_t item = 0; item < evaluations.front().items.size(); ++item) {
    const auto right = [item](const Evaluation& evaluation) {
      return evaluation.items[item].verdict.answer_right;
    };
    if (std::ranges::all_of(evaluations, right)) solved.push_back(item);
  }
  return solved;
}

RunReport describe(const Run& run) {
  RunReport entry;
  entry.label = run.name;
  entry.directory = run.directory.string();
  entry.attention = run.config.attention;
  entry.format = run.task.format;
  entry.seed = run.task.seed;
  entry.parameters = run.network->parameter_count();
  entry.learning = read_learning_curve(run.directory);
  return entry;
}

void add_accuracy(Report& report, const std::vector<Evaluation>& evaluations) {
  const std::vector<Judged>& items = evaluations.front().items;
  report.groupings = {by_family(items), by_size(items), by_subset(items)};
  const std::vector<size_t> solved = solved_by_all(evaluations);
  for (size_t index = 0; index < evaluations.size(); ++index) {
    const Evaluation& evaluation = evaluations[index];
    RunReport& entry = report.runs[index];
    entry.all = measure(view(evaluation));
    entry.step_validity = validity_by_step(view(evaluation));
    for (const Grouping& grouping : report.groupings) {
      std::vector<Metrics>& groups = entry.groups.emplace_back();
      for (const auto& members : grouping.membership) groups.push_back(measure(select(evaluation, members)));
    }
    entry.solved_by_all = measure_lengths(select(evaluation, solved));
  }
}

// Where all outputs agree there is nothing to resample: the interval is never narrower than one seed's at the
// mean count.
Estimate mean_exact(const Variant& variant, const std::vector<Evaluation>& evaluations) {
  std::vector<std::vector<double>> right;
  for (const size_t run : variant.runs) {
    std::vector<double>& row = right.emplace_back();
    for (const Judged& item : evaluations[run].items) row.push_back(item.verdict.answer_right ? 1 : 0);
  }
  const Resampled resampled = seed_item_bootstrap(right);
  const auto items = std::ssize(evaluations.front().items);
  const Interval at_mean_count = wilson(std::llround(resampled.mean * static_cast<double>(items)), items);
  return {resampled.mean,
          {std::min(resampled.interval.low, at_mean_count.low),
           std::max(resampled.interval.high, at_mean_count.high)}};
}

void add_comparisons(Report& report, const std::vector<Run>& runs,
                     const std::vector<Evaluation>& evaluations) {
  std::vector<RunIdentity> identities;
  for (size_t index = 0; index < runs.size(); ++index) {
    identities.push_back({report.runs[index].label, runs[index].configuration, runs[index].task.seed});
  }
  const std::vector<Variant> variants = group_runs(identities);
  for (const Variant& variant : variants) {
    report.variants.push_back({variant.label, variant.runs, mean_exact(variant, evaluations)});
  }
  for (size_t first = 0; first < variants.size(); ++first) {
    for (size_t second = first + 1; second < variants.size(); ++second) {
      const Variant& a = variants[first];
      const Variant& b = variants[second];
      std::vector<EvaluationPair> pairs;
      for (const RunPair& pair : pair_by_seed(a, b, identities)) {
        pairs.push_back({&evaluations[pair.first], &evaluations[pair.second], identities[pair.first].seed});
      }
      if (pairs.empty()) {
        report.left_out.push_back(
            fmt::format("{} and {} share no seed and are not compared.", a.label, b.label));
        continue;
      }
      const size_t left_out = std::max(a.runs.size(), b.runs.size()) - pairs.size();
      if (left_out > 0) {
        report.left_out.push_back(fmt::format("{} and {} share {} seed{}; their other runs are not compared.",
                                              a.label, b.label, pairs.size(), pairs.size() == 1 ? "" : "s"));
      }
      report.comparisons.push_back(compare_variants(a.label, b.label, pairs, report.groupings));
    }
  }
  adjust(report.comparisons);
}

// A problem for the picture: solved by every run, with a need that is known, and short enough to be read.
std::optional<size_t> picture_item(const std::vector<Run>& runs, const std::vector<Evaluation>& evaluations) {
  constexpr size_t fewest_steps = 3;
  std::optional<size_t> best;
  const std::vector<Judged>& items = evaluations.front().items;
  for (const size_t index : solved_by_all(evaluations)) {
    const Judged& item = items[index];
    const bool shorter = !best || item.output.size() < items[*best].output.size();
    if (!shorter || item.verdict.steps.size() < fewest_steps) continue;
    const std::vector<WordNeed> needs = find_needs(item.problem.prompt, item.output, runs.front().format());
    if (std::ranges::any_of(needs, &WordNeed::is_defined)) best = index;
  }
  return best;
}

void add_pictures(Report& report, std::vector<Run>& runs, const std::vector<Evaluation>& evaluations) {
  const auto index = picture_item(runs, evaluations);
  if (!index) return;
  for (size_t run = 0; run < runs.size(); ++run) {
    const Judged& item = evaluations[run].items[*index];
    const model::Trace trace =
        trace_output(runs[run].network, runs[run].vocabulary, item.problem.prompt, item.output);
    report.pictures.push_back(attention_picture(report.runs[run].label, runs[run].config, trace,
                                                item.problem.prompt, item.output, runs[run].format()));
  }
}

void add_attention(RunReport& entry, Run& run, const std::vector<data::Problem>& problems, double mass) {
  NeedCounter needs(mass);
  entry.cost = measure_attention(run.network, run.vocabulary, reference_items(problems, run.format()),
                                 [&](const ForcedItem& item, const model::Trace& trace) {
                                   needs.add(run.config, trace, item.prompt, item.output, run.format());
                                 });
  entry.needs = needs.result();
}

void add_ladders(Report& report, std::vector<Run>& runs, const ReportPlan& plan) {
  fmt::print(stderr, "forcing a chain of {} words through every run\n", plan.lengths.back());
  const ForcedChain chain = forced_chain(runs.front().task, plan.lengths.back());
  report.ladders = climb(runs, chain, {plan.lengths});
}

}  // namespace

std::vector<data::Problem> sample(const std::vector<data::Problem>& problems, int64_t count) {
  const int64_t total = std::ssize(problems);
  const int64_t taken = std::min(count, total);
  std::vector<data::Problem> chosen;
  for (int64_t index = 0; index < taken; ++index)
    chosen.push_back(problems[static_cast<size_t>(index * total / taken)]);
  return chosen;
}

Traceable traceable(const std::vector<data::Problem>& problems, std::span<const Run> runs) {
  Traceable chosen;
  for (const data::Problem& problem : problems) {
    const auto fits = [&problem](const Run& run) {
      const std::vector<ForcedItem> reference = reference_items({problem}, run.format());
      return !reference.empty() &&
             std::ssize(reference.front().output) <= position_limit(run.config, std::ssize(problem.prompt));
    };
    if (std::ranges::all_of(runs, fits)) chosen.problems.push_back(problem);
  }
  const size_t others = problems.size() - chosen.problems.size();
  if (others > 0) {
    chosen.left_out = fmt::format(
        "Attention is not measured on {} of {} problems: they have no reference output, or none that fits "
        "the positions of every run.",
        others, problems.size());
  }
  return chosen;
}

std::vector<ForcedItem> reference_items(const std::vector<data::Problem>& problems,
                                        data::ChainFormat format) {
  std::vector<ForcedItem> items;
  for (const data::Problem& problem : problems) {
    try {
      items.push_back(
          {problem.prompt, data::find_family(problem.prompt.at(0)).solve(problem.prompt, format)});
    } catch (const data::ProblemError&) {
      continue;  // an outside item without a reference inside the vocabulary
    }
  }
  return items;
}

Report build_report(std::vector<Run>& runs, const ProblemSet& set, const ReportPlan& plan) {
  for (const Run& run : runs) require_words(run, set.problems);
  if (!plan.lengths.empty()) check_lengths(runs, plan.lengths);
  Report report;
  report.machine = this_machine();
  report.items = set.description;
  report.weights = weights_text(runs);
  report.refused = set.refused;
  for (const Run& run : runs) report.runs.push_back(describe(run));
  std::vector<Evaluation> evaluations;
  for (Run& run : runs) {
    fmt::print(stderr, "judging {} on {} problems\n", run.name, set.problems.size());
    evaluations.push_back(
        evaluate(run.network, run.vocabulary, set.problems, run.format(), plan.batch, run.weights));
    for (const auto& item : set.refused) evaluations.back().items.push_back(unreadable_item(item.id));
  }
  add_accuracy(report, evaluations);
  add_comparisons(report, runs, evaluations);

  const std::vector<data::Problem> timed = sample(set.problems, plan.timed);
  if (!timed.empty()) fmt::print(stderr, "timing {} problems one at a time\n", timed.size());
  std::vector<TimedRun> timed_runs;
  for (Run& run : runs) timed_runs.push_back({run.network, run.format(), run.vocabulary, run.weights});
  const std::vector<RunTiming> timings = time_interleaved(timed_runs, timed);
  const Traceable traced = traceable(sample(set.problems, plan.traced), runs);
  if (!traced.left_out.empty()) report.left_out.push_back(traced.left_out);
  for (size_t index = 0; index < runs.size(); ++index) {
    report.runs[index].timing = timings[index];
    add_attention(report.runs[index], runs[index], traced.problems, plan.mass);
  }
  if (!traced.problems.empty()) add_pictures(report, runs, evaluations);
  if (!plan.lengths.empty()) add_ladders(report, runs, plan);
  return report;
}

}  // namespace giantrabbit::eval
