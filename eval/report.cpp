// Report -> sentences and terminal text.
#include "eval/report.h"

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

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

// The interpretability question: do the supports hold what the steps needed, more than chance would?
std::vector<std::string> need_sentences(const RunReport& run) {
  const NeedRow* any = run.needs.find("decoder", "any");
  const NeedRow* mean = run.needs.find("decoder", "mean");
  if (any == nullptr || mean == nullptr) return {};
  const auto figures = [](const Recovered& part) {
    return fmt::format(
        "{:.1f}% against {:.1f}% by chance, difference {:+.1f}, 95% interval {:+.1f} to {:+.1f}",
        100 * part.found, 100 * part.chance, 100 * part.excess, 100 * part.excess_interval.low,
        100 * part.excess_interval.high);
  };
  const auto shown = [](const Recovered& part) { return part.excess_interval.low > 0 ? "" : "not "; };
  return {
      fmt::format("{}: that the words a step is computed from are in the support of some decoder head more "
                  "often than in a random one of its size is {}shown ({}).",
                  run.label, shown(any->values), figures(any->values)),
      fmt::format("{}: that the words in a decoder head's support are needed more often than random ones is "
                  "{}shown ({}).",
                  run.label, shown(mean->support), figures(mean->support))};
}

// Whose heads look more at what is needed, on the same problems; weights need no rule for what a support is.
std::vector<std::string> need_difference(const RunReport& first, const RunReport& second) {
  const NeedRow* a = first.needs.find("decoder", "mean");
  const NeedRow* b = second.needs.find("decoder", "mean");
  if (a == nullptr || b == nullptr || a->weight.items.size() != b->weight.items.size()) return {};
  const PairedDifference difference = paired_bootstrap(a->weight.items, b->weight.items);
  const bool shown = difference.interval.low > 0 || difference.interval.high < 0;
  return {
      fmt::format("That the decoder heads of {} put {} of their weight on needed words than those of {} is "
                  "{}shown ({:.1f}% against {:.1f}%, difference {:+.1f}, 95% interval {:+.1f} to {:+.1f}).",
                  second.label, difference.mean < 0 ? "less" : "more", first.label, shown ? "" : "not ",
                  100 * b->weight.found, 100 * a->weight.found, 100 * difference.mean,
                  100 * difference.interval.low, 100 * difference.interval.high)};
}

}  // namespace

std::vector<std::string> sentences(const Report& report) {
  std::vector<std::string> all;
  for (const Comparison& comparison : report.comparisons) {
    for (std::string& sentence : conclusions(comparison)) all.push_back(std::move(sentence));
  }
  all.insert(all.end(), report.not_compared.begin(), report.not_compared.end());
  // Time hardly depends on the seed: the first run of every variant stands for it.
  for (size_t index = 1; index < report.variants.size(); ++index) {
    const RunReport& first = report.runs[report.variants.front().runs.front()];
    const RunReport& second = report.runs[report.variants[index].runs.front()];
    if (!second.timing.items.empty()) all.push_back(time_sentence(first, second));
    for (std::string& sentence : need_difference(first, second)) all.push_back(std::move(sentence));
  }
  for (const RunReport& run : report.runs) {
    for (std::string& sentence : need_sentences(run)) all.push_back(std::move(sentence));
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

}  // namespace giantrabbit::eval
