// Report -> sentences and terminal text.
#include "eval/report.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "eval/variant.h"

namespace giantrabbit::eval {
namespace {

// What is measured once per problem of a run, in the same order for every run.
using Figures = std::vector<double> (*)(const RunReport& run);

std::vector<double> total_seconds(const RunReport& run) {
  std::vector<double> seconds;
  for (const TimedItem& item : run.timing.items) seconds.push_back(item.seconds.total());
  return seconds;
}

// Weights need no rule for what a support is.
std::vector<double> weight_on_needed(const RunReport& run) {
  const NeedRow* mean = run.needs.find("decoder", "mean");
  return mean == nullptr ? std::vector<double>{} : mean->weight.items;
}

// Another variant against the first, over all their runs that pair.
struct VariantDifference {
  const VariantReport& first;
  const VariantReport& second;
  size_t pairs = 0;
  PairedDifference figures;
};

// Against every other variant; what was not measured is left out.
std::vector<VariantDifference> differences_to_first(const Report& report, Figures figures) {
  std::vector<RunIdentity> identities;
  for (const RunReport& run : report.runs) identities.push_back({run.label, "", run.seed});
  std::vector<VariantDifference> all;
  for (size_t index = 1; index < report.variants.size(); ++index) {
    const VariantReport& first = report.variants.front();
    const VariantReport& second = report.variants[index];
    std::vector<std::vector<double>> rows;
    for (const RunPair& pair : pair_by_seed({"", first.runs}, {"", second.runs}, identities)) {
      const std::vector<double> a = figures(report.runs[pair.first]);
      std::vector<double> b = figures(report.runs[pair.second]);
      if (a.size() != b.size() || a.empty()) continue;
      std::ranges::transform(b, a, b.begin(), std::minus());
      rows.push_back(std::move(b));
    }
    if (!rows.empty()) all.push_back({first, second, rows.size(), paired_difference(rows)});
  }
  std::vector<Test*> family;
  for (VariantDifference& difference : all) family.push_back(&difference.figures);
  adjust(family);
  return all;
}

// Differences are shown in units of 1 / scale.
std::string figures_text(const VariantDifference& difference, double scale, std::string_view unit) {
  const PairedDifference& figures = difference.figures;
  return fmt::format("{:+.2f} {}, 95% interval {:+.2f} to {:+.2f}, {}, {} problems{}", scale * figures.mean,
                     unit, scale * figures.interval.low, scale * figures.interval.high,
                     probability_text(figures), figures.items,
                     difference.pairs > 1 ? fmt::format(", {} seeds", difference.pairs) : "");
}

std::string time_sentence(const VariantDifference& difference) {
  const std::string figures = figures_text(difference, 1000, "ms per problem");
  if (!difference.figures.shown()) {
    return fmt::format("No difference in time between {} and {} is shown ({}).", difference.first.label,
                       difference.second.label, figures);
  }
  return fmt::format("{} is {} than {} ({}).", difference.second.label,
                     difference.figures.mean < 0 ? "faster" : "slower", difference.first.label, figures);
}

std::string need_difference_sentence(const VariantDifference& difference) {
  return fmt::format(
      "That the decoder heads of {} put {} of their weight on needed words than those of {} is {}shown ({}).",
      difference.second.label, difference.figures.mean < 0 ? "less" : "more", difference.first.label,
      difference.figures.shown() ? "" : "not ", figures_text(difference, 100, "points"));
}

// The interpretability question: do the supports hold what the steps needed, more than chance would? One
// family of tests over all runs.
std::vector<std::string> need_sentences(const Report& report) {
  struct Claim {
    const RunReport& run;
    const char* text;
    Recovered part;
  };
  std::vector<Claim> claims;
  for (const RunReport& run : report.runs) {
    const NeedRow* any = run.needs.find("decoder", "any");
    const NeedRow* mean = run.needs.find("decoder", "mean");
    if (any == nullptr || mean == nullptr) continue;
    claims.push_back({run,
                      "the words a step is computed from are in the support of some decoder head more often "
                      "than in a random one of its size",
                      any->values});
    claims.push_back(
        {run, "the words in a decoder head's support are needed more often than random ones", mean->support});
  }
  std::vector<Test*> family;
  for (Claim& claim : claims) family.push_back(&claim.part.excess_test);
  adjust(family);
  std::vector<std::string> all;
  for (const auto& [run, text, part] : claims) {
    all.push_back(fmt::format(
        "{}: that {} is {}shown ({:.1f}% against {:.1f}% by chance, difference {:+.1f}, 95% interval {:+.1f} "
        "to {:+.1f}, {}).",
        run.label, text, part.excess_test.shown() && part.excess > 0 ? "" : "not ", 100 * part.found,
        100 * part.chance, 100 * part.excess, 100 * part.excess_interval.low, 100 * part.excess_interval.high,
        probability_text(part.excess_test)));
  }
  return all;
}

}  // namespace

std::vector<std::string> sentences(const Report& report) {
  std::vector<std::string> all;
  for (const Comparison& comparison : report.comparisons) {
    for (std::string& sentence : conclusions(comparison)) all.push_back(std::move(sentence));
  }
  all.insert(all.end(), report.left_out.begin(), report.left_out.end());
  for (const auto& difference : differences_to_first(report, total_seconds)) {
    all.push_back(time_sentence(difference));
  }
  for (const auto& difference : differences_to_first(report, weight_on_needed)) {
    all.push_back(need_difference_sentence(difference));
  }
  for (std::string& sentence : need_sentences(report)) all.push_back(std::move(sentence));
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
