// Report -> tables and sentences -> text and HTML.
#include "eval/report.h"

#include <algorithm>

#include <fmt/format.h>

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
  Table table{"Decoder attention per written token, all layers and heads",
              {"run", "keys scored", "bytes of K", "bytes of V"},
              {},
              "Every visible key is scored; V is read where the weight is not 0."};
  for (const RunReport& run : report.runs) {
    table.rows.push_back({run.label, fmt::format("{:.1f}", run.cost.keys_scored),
                          fmt::format("{:.0f}", run.cost.key_bytes),
                          fmt::format("{:.0f}", run.cost.value_bytes)});
  }
  return table;
}

// The second run's time against the first's on the same problems.
std::string time_sentence(const RunReport& first, const RunReport& second) {
  std::vector<double> first_totals;
  std::vector<double> second_totals;
  for (const TimedItem& item : first.timing.items) first_totals.push_back(item.seconds.total());
  for (const TimedItem& item : second.timing.items) second_totals.push_back(item.seconds.total());
  const PairedDifference difference = paired_bootstrap(first_totals, second_totals);
  const std::string figures =
      fmt::format("{:+.2f} ms per problem, 95% interval {:+.2f} to {:+.2f}", 1000 * difference.mean,
                  1000 * difference.interval.low, 1000 * difference.interval.high);
  if (difference.interval.low <= 0 && difference.interval.high >= 0) {
    return fmt::format("No difference in time between {} and {} is shown ({}).", first.label, second.label,
                       figures);
  }
  return fmt::format("{} is {} than {} ({}).", second.label, difference.mean < 0 ? "faster" : "slower",
                     first.label, figures);
}

}  // namespace

std::string percent_with_interval(const Share& share) {
  if (share.total == 0) return "-";
  return fmt::format("{} [{}, {}]", percent(share.rate()), percent(share.interval.low),
                     percent(share.interval.high));
}

std::vector<Table> tables(const Report& report) {
  std::vector<Table> all{accuracy_table(report), trace_table(report), error_table(report)};
  for (size_t index = 0; index < report.groupings.size(); ++index) {
    Table table = group_table(report, index);
    if (table.rows.size() > 1) all.push_back(std::move(table));
  }
  all.push_back(length_table(report));
  if (!report.runs.front().timing.items.empty()) all.push_back(time_table(report));
  if (report.runs.front().cost.items > 0) {
    for (const RunReport& run : report.runs) all.push_back(density_table(run));
    all.push_back(cost_table(report));
  }
  return all;
}

std::vector<std::string> sentences(const Report& report) {
  std::vector<std::string> all;
  for (const Comparison& comparison : report.comparisons) {
    for (std::string& sentence : conclusions(comparison)) all.push_back(std::move(sentence));
  }
  for (size_t index = 1; index < report.runs.size(); ++index) {
    if (!report.runs[index].timing.items.empty()) {
      all.push_back(time_sentence(report.runs.front(), report.runs[index]));
    }
  }
  for (const data::ItemFile::Refused& item : report.refused) {
    all.push_back(fmt::format("Item {} could not be read and counts as wrong: {}", item.id, item.reason));
  }
  return all;
}

std::string report_text(const Report& report) {
  std::string text =
      fmt::format("Judged on {}, greedy decoding, decoder weights in {}.\n", report.items, report.weights);
  for (const Table& table : tables(report)) text += "\n" + to_text(table);
  const std::vector<std::string> lines = sentences(report);
  if (!lines.empty()) text += "\nWhat the figures allow to conclude\n";
  for (const std::string& line : lines) text += "  " + line + "\n";
  return text;
}

std::string report_html(const Report& report) {
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>GiantRabbit "
      "comparison</title>\n"
      "<style>body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
      "h1{font-size:1.5em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse;"
      "font-variant-numeric:tabular-nums}th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid "
      "#ddd}"
      "th{border-bottom:2px solid #888}th:first-child,td:first-child{text-align:left}p{color:#555}</style>\n"
      "</head>\n<body>\n<h1>GiantRabbit comparison</h1>\n";
  html += fmt::format("<p>Judged on {}, greedy decoding, decoder weights in {}.</p>\n",
                      escape_html(report.items), report.weights);
  const std::vector<std::string> lines = sentences(report);
  if (!lines.empty()) {
    html += "<h2>What the figures allow to conclude</h2>\n<ul>\n";
    for (const std::string& line : lines) html += fmt::format("<li>{}</li>\n", escape_html(line));
    html += "</ul>\n";
  }
  for (const Table& table : tables(report)) html += to_html(table);
  return html + "</body>\n</html>\n";
}

}  // namespace giantrabbit::eval
