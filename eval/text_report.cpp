// Figures of a text to tables, sentences and JSON; see text_report.h.
#include "eval/text_report.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/comparison.h"
#include "eval/text_judge.h"

namespace giantrabbit::eval {
namespace {

// Sums over blocks, divided by the mean size of a block: their mean is the mean over all characters although
// the last block may be short.
std::vector<double> block_means(std::span<const double> bits, int64_t block) {
  std::vector<double> sums((bits.size() + static_cast<size_t>(block) - 1) / static_cast<size_t>(block));
  for (size_t at = 0; at < bits.size(); ++at) sums[at / static_cast<size_t>(block)] += bits[at];
  const double size = static_cast<double>(bits.size()) / static_cast<double>(sums.size());
  for (double& sum : sums) sum /= size;
  return sums;
}

TextComparison compared(const TextFigures& first, const TextFigures& second, int64_t block) {
  std::vector<double> differences(std::min(first.bits.size(), second.bits.size()));
  for (size_t at = 0; at < differences.size(); ++at) differences[at] = second.bits[at] - first.bits[at];
  const std::vector<double> blocks = block_means(differences, block);
  return {paired_difference(std::span(&blocks, 1)), first.name, second.name};
}

std::string bits_with_interval(const Estimate& estimate) {
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", estimate.mean, estimate.interval.low, estimate.interval.high);
}

// The n-gram model's figure on the characters of the run.
double on_same_characters(const TextFigures& ngram, const TextFigures& run) {
  return mean(std::span(ngram.bits).first(run.bits.size()));
}

Table figures_table(const TextReport& report) {
  Table table{
      "Test part of " + report.text,
      {"run", "attention", "parameters", "loss, nats", "bits per character", "characters"},
      {},
      fmt::format("In brackets: 95% intervals over blocks of {} characters. Each character is predicted "
                  "from at least half a window before it, except in the first window.",
                  report.block)};
  for (const TextFigures& ngram : report.ngrams) table.header.push_back(ngram.name + ", bits");
  for (const TextFigures& run : report.runs) {
    std::vector<std::string> row{run.name,
                                 run.attention,
                                 std::to_string(run.parameters),
                                 fmt::format("{:.4f}", nats_per_bit * mean(run.bits)),
                                 bits_with_interval(bits_per_character(run.bits, report.block)),
                                 fmt::format("{} of {}", run.bits.size(), report.test_size)};
    for (const TextFigures& ngram : report.ngrams) {
      row.push_back(fmt::format("{:.3f}", on_same_characters(ngram, run)));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

nlohmann::ordered_json text_run_json(const TextReport& report, const TextFigures& run) {
  const Estimate estimate = bits_per_character(run.bits, report.block);
  nlohmann::ordered_json entry{{"name", run.name},
                               {"attention", run.attention},
                               {"parameters", run.parameters},
                               {"window", run.window},
                               {"characters", run.bits.size()},
                               {"loss", nats_per_bit * estimate.mean},
                               {"bits_per_character", estimate.mean},
                               {"interval", {estimate.interval.low, estimate.interval.high}}};
  for (const TextFigures& ngram : report.ngrams) {
    entry["ngrams"].push_back({{"name", ngram.name}, {"bits_per_character", on_same_characters(ngram, run)}});
  }
  if (!run.sample.empty()) entry["sample"] = run.sample;
  return entry;
}

}  // namespace

Estimate bits_per_character(const std::vector<double>& bits, int64_t block) {
  const std::vector<double> blocks = block_means(bits, block);
  const Resampled resampled = seed_item_bootstrap(std::span(&blocks, 1));
  return {resampled.mean, resampled.interval};
}

std::vector<TextComparison> compare_texts(const TextReport& report) {
  std::vector<TextComparison> comparisons;
  for (const TextFigures& run : report.runs) {
    for (const TextFigures& ngram : report.ngrams) {
      comparisons.push_back(compared(ngram, run, report.block));
      comparisons.back().first = "the " + ngram.name;
    }
  }
  for (size_t run = 1; run < report.runs.size(); ++run) {
    comparisons.push_back(compared(report.runs.front(), report.runs[run], report.block));
  }
  std::vector<Test*> family;
  for (TextComparison& comparison : comparisons) family.push_back(&comparison);
  adjust(family);
  return comparisons;
}

std::string sentence(const TextComparison& comparison) {
  const std::string figures = fmt::format(
      "{:+.3f} bits per character, 95% interval {:+.3f} to {:+.3f}, {}, {} blocks", comparison.mean,
      comparison.interval.low, comparison.interval.high, probability_text(comparison), comparison.items);
  if (!comparison.shown()) {
    return fmt::format("A difference between {} and {} is not shown ({}).", comparison.second,
                       comparison.first, figures);
  }
  return fmt::format("{} is {} {} ({}).", comparison.second, comparison.mean < 0 ? "below" : "above",
                     comparison.first, figures);
}

std::string text_report_text(const TextReport& report) {
  std::string text = to_text(figures_table(report)) + "\nWhat the figures allow to conclude\n";
  for (const TextComparison& comparison : compare_texts(report)) text += "  " + sentence(comparison) + "\n";
  for (const TextFigures& run : report.runs) {
    if (!run.sample.empty()) text += fmt::format("\n{} writes:\n{}\n", run.name, run.sample);
  }
  return text;
}

nlohmann::ordered_json text_report_json(const TextReport& report) {
  nlohmann::ordered_json document{{"text", report.text}, {"block", report.block}};
  for (const TextFigures& run : report.runs) document["runs"].push_back(text_run_json(report, run));
  for (const TextComparison& comparison : compare_texts(report)) {
    document["comparisons"].push_back({{"first", comparison.first},
                                       {"second", comparison.second},
                                       {"difference", comparison.mean},
                                       {"interval", {comparison.interval.low, comparison.interval.high}},
                                       {"probability", comparison.probability},
                                       {"adjusted", comparison.adjusted},
                                       {"shown", comparison.shown()}});
  }
  return document;
}

}  // namespace giantrabbit::eval
