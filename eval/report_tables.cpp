// Report -> tables.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "eval/ladder_report.h"
#include "eval/report.h"

namespace giantrabbit::eval {
namespace {

std::string percent(double share) { return fmt::format("{:.1f}", 100 * share); }
std::string milliseconds(double seconds) { return fmt::format("{:.2f}", 1000 * seconds); }
std::string milliseconds(const Spread& spread) {
  return fmt::format("{:.2f} [{:.2f}, {:.2f}]", 1000 * spread.median, 1000 * spread.low, 1000 * spread.high);
}

Table accuracy_table(const Report& report) {
  Table table{
      "Accuracy, % with 95% interval",
      {"run", "attention", "parameters", "right", "right, all steps valid", "steps valid", "truncated"},
      {},
      "Step intervals allow for steps of one problem failing together."};
  for (const RunReport& run : report.runs) {
    table.rows.push_back({run.label, run.attention, std::to_string(run.parameters),
                          percent_with_interval(run.all.exact), percent_with_interval(run.all.chain_valid),
                          percent_with_interval(run.all.steps_valid), percent(run.all.truncated.rate())});
  }
  return table;
}

Table trace_table(const Report& report) {
  Table table{
      "Chains", {"run", "faulty chain among right answers, %", "steps as in the reference, %"}, {}, ""};
  for (const RunReport& run : report.runs) {
    table.rows.push_back({run.label, percent_with_interval(run.all.trace_error),
                          percent_with_interval(run.all.steps_as_reference)});
  }
  return table;
}

Table error_table(const Report& report) {
  Table table{"First fault of each output, problems", {"run"}, {}, ""};
  for (size_t index = 0; index < error_classes; ++index) {
    table.header.emplace_back(data::error_class_name(static_cast<data::ErrorClass>(index)));
  }
  for (const RunReport& run : report.runs) {
    std::vector<std::string> row{run.label};
    for (const int64_t count : run.all.errors) row.push_back(std::to_string(count));
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table group_table(const Report& report, size_t index) {
  const Grouping& grouping = report.groupings[index];
  Table table{grouping.title + ", %", {"", "problems"}, {}, ""};
  for (const RunReport& run : report.runs) {
    table.header.push_back(run.label + " right");
    table.header.push_back("all steps valid");
  }
  for (size_t group = 0; group < grouping.groups.size(); ++group) {
    if (grouping.membership[group].empty()) continue;
    std::vector<std::string> row{grouping.groups[group], std::to_string(grouping.membership[group].size())};
    for (const RunReport& run : report.runs) {
      const Metrics& metrics = run.groups[index][group];
      row.push_back(percent_with_interval(metrics.exact));
      row.push_back(percent(metrics.chain_valid.rate()));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table length_table(const Report& report) {
  Table table{"Chain length, mean words before ANS",
              {"run", "all: written", "reference", "steps", "solved by all: problems", "written", "reference",
               "ratio"},
              {},
              "Outputs are cut at twice the reference; cut ones count with the words they have."};
  for (const RunReport& run : report.runs) {
    const Lengths& all = run.all.lengths;
    const Lengths& solved = run.solved_by_all;
    table.rows.push_back(
        {run.label, fmt::format("{:.1f}", all.words), fmt::format("{:.1f}", all.reference_words),
         fmt::format("{:.1f}", all.steps), std::to_string(solved.items), fmt::format("{:.1f}", solved.words),
         fmt::format("{:.1f}", solved.reference_words), fmt::format("{:.3f}", solved.ratio())});
  }
  return table;
}

Table time_table(const Report& report) {
  Table table{
      "Time, ms, batch 1: median [quartiles] over problems",
      {"run", "encode", "thoughts", "decode", "total", "least total", "per token", "per written step"},
      {},
      ""};
  for (const RunReport& run : report.runs) {
    const RunTiming& timing = run.timing;
    table.rows.push_back({run.label, milliseconds(timing.encode.median), milliseconds(timing.think.median),
                          milliseconds(timing.decode), milliseconds(timing.total),
                          milliseconds(timing.total.least), milliseconds(timing.per_token),
                          milliseconds(timing.per_step)});
  }
  const RunTiming& first = report.runs.front().timing;
  table.note =
      fmt::format("{} problems, runs interleaved A B B A, fastest of {} repeats each; {}, {} thread{}, {}.",
                  first.items.size(), first.repeats, report.machine.cpu, report.machine.threads,
                  report.machine.threads == 1 ? "" : "s", report.machine.library);
  return table;
}

Table density_table(const RunReport& run) {
  Table table{fmt::format("Attention of {}", run.label),
              {"layer", "keys seen", "keys used", "density, %", "by head, %", "any head, %",
               fmt::format("pages of {}, %", keys_per_page)},
              {},
              fmt::format("{} problems, reference outputs forced through the network.", run.cost.items)};
  for (const LayerCost& layer : run.cost.layers) {
    std::string by_head;
    for (const HeadCost& head : layer.heads)
      by_head += fmt::format("{}{:.0f}", by_head.empty() ? "" : " ", 100 * head.density);
    const HeadCost mean = layer.mean();
    table.rows.push_back({layer.name, fmt::format("{:.1f}", layer.keys_visible),
                          fmt::format("{:.2f}", mean.keys_used), percent(mean.density), by_head,
                          percent(layer.union_density), percent(mean.page_density)});
  }
  return table;
}

Table cost_table(const Report& report) {
  Table table{
      "Decoder attention per written token, all layers and heads",
      {"run", "keys visible", "bytes of K, at most", "bytes of V"},
      {},
      "An upper bound: as if every visible key were scored. Sparse decoding scores fewer; timing counts "
      "those it did. V is read where the weight is not 0."};
  for (const RunReport& run : report.runs) {
    table.rows.push_back({run.label, fmt::format("{:.1f}", run.cost.keys_visible),
                          fmt::format("{:.0f}", run.cost.key_bytes),
                          fmt::format("{:.0f}", run.cost.value_bytes)});
  }
  return table;
}

Table variant_table(const Report& report) {
  Table table{"Variants over their seeds, right, %",
              {"variant", "seeds", "mean [95% interval]", "each seed"},
              {},
              "Interval: seeds drawn with replacement, then problems, and never narrower than Wilson's for "
              "one seed; with few seeds it is too narrow."};
  for (const VariantReport& variant : report.variants) {
    std::string each;
    for (const size_t run : variant.runs) {
      each += fmt::format("{}{}: {}", each.empty() ? "" : ", ", report.runs[run].seed,
                          percent(report.runs[run].all.exact.rate()));
    }
    table.rows.push_back(
        {variant.label, std::to_string(variant.runs.size()), percent_with_interval(variant.exact), each});
  }
  return table;
}

std::vector<std::string> difference_row(const std::string& name, const AccuracyDifference& accuracy) {
  const auto points = [](double share) { return fmt::format("{:+.1f}", 100 * share); };
  return {name,
          std::to_string(accuracy.items),
          fmt::format("{} [{}, {}]", points(accuracy.difference), points(accuracy.interval.low),
                      points(accuracy.interval.high)),
          fmt::format("{:.3g}", accuracy.probability),
          fmt::format("{:.3g}", accuracy.adjusted),
          accuracy.shown() ? "shown" : "not shown"};
}

Table difference_table(const Comparison& comparison) {
  Table table{fmt::format("Right answers of {} against {}", comparison.second, comparison.first),
              {"problems", "count", "difference, points [95%]", "p", "p after Holm", "a difference is"},
              {},
              "Holm's correction: over the pairs of variants for all problems, over all groups of all pairs "
              "for groups."};
  table.rows.push_back(difference_row("all", comparison.accuracy));
  for (const Comparison::Strata& strata : comparison.strata) {
    for (const Comparison::Stratum& stratum : strata.groups) {
      table.rows.push_back(difference_row(stratum.group, stratum.accuracy));
    }
  }
  return table;
}

std::string against_chance(const Recovered& part) {
  if (std::ranges::all_of(part.items, [](double share) { return std::isnan(share); })) return "-";
  const std::string found = percent(part.found);
  const bool with_interval = part.interval.high > part.interval.low;
  return fmt::format(
      "{}{} ({})", found,
      with_interval ? fmt::format(" [{}, {}]", percent(part.interval.low), percent(part.interval.high)) : "",
      percent(part.chance));
}

}  // namespace

std::string percent_with_interval(const Estimate& share) {
  return fmt::format("{} [{}, {}]", percent(share.mean), percent(share.interval.low),
                     percent(share.interval.high));
}

std::string percent_with_interval(const Share& share) {
  if (share.total == 0) return "-";
  return fmt::format("{} [{}, {}]", percent(share.rate()), percent(share.interval.low),
                     percent(share.interval.high));
}

Table need_table(const RunReport& run) {
  Table table{
      fmt::format("Needed words in the supports of {}, % (by chance)", run.label),
      {"attention", "head", "keys", "needed values found", "header found", "support that is needed",
       "weight on needed"},
      {},
      fmt::format("{} problems, {} written words; support = heaviest keys with {:.0f}% of the weight; chance "
                  "= a random support of the same size; 95% intervals over problems.",
                  run.needs.items, run.needs.words, 100 * run.needs.mass)};
  for (const NeedRow& row : run.needs.rows) {
    table.rows.push_back({row.layer, row.head, fmt::format("{:.1f} of {:.1f}", row.keys, row.visible),
                          against_chance(row.values), against_chance(row.header), against_chance(row.support),
                          against_chance(row.weight)});
  }
  return table;
}

std::vector<Table> tables(const Report& report) {
  std::vector<Table> all{accuracy_table(report)};
  if (report.variants.size() < report.runs.size()) all.push_back(variant_table(report));
  for (const Comparison& comparison : report.comparisons) all.push_back(difference_table(comparison));
  all.push_back(trace_table(report));
  all.push_back(error_table(report));
  for (size_t index = 0; index < report.groupings.size(); ++index) {
    Table table = group_table(report, index);
    if (table.rows.size() > 1) all.push_back(std::move(table));
  }
  all.push_back(length_table(report));
  if (!report.runs.front().timing.items.empty()) all.push_back(time_table(report));
  for (Table& table : ladder_tables(report.ladders)) all.push_back(std::move(table));
  if (report.runs.front().cost.items > 0) {
    for (const RunReport& run : report.runs) all.push_back(density_table(run));
    all.push_back(cost_table(report));
  }
  for (const RunReport& run : report.runs) {
    if (run.needs.items > 0) all.push_back(need_table(run));
  }
  return all;
}

}  // namespace giantrabbit::eval
