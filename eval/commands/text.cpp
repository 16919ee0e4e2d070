// giantrabbit-eval text: runs on the test part of the text they learned from, beside n-gram models of its
// training part, and what they write.
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/commands/command.h"
#include "eval/ngram.h"
#include "eval/text_judge.h"
#include "eval/text_report.h"
#include "eval/text_sample.h"

namespace giantrabbit::eval {
namespace {

cxxopts::Options text_options() {
  using cxxopts::value;
  cxxopts::Options options(
      "giantrabbit-eval text",
      "Judges every RUN of the task text on the last 5% of its file, in bits per character (byte), against\n"
      "n-gram models of the part that it was trained on.");
  options.custom_help("RUN.. [options]");
  options.add_options()  //
      ("count", "judge the first N windows only (default: all)", value<std::string>(),
       "N")  //
      ("text", "the same text in another place than the one that training read it from", value<std::string>(),
       "FILE")  //
      ("order", "order of the n-gram model: predicts from N - 1 characters; the next order is shown too",
       value<std::string>()->default_value("4"), "N")  //
      ("sample", "let every RUN write so many characters", value<std::string>()->default_value("0"),
       "N")  //
      ("temperature", "divides the logits when writing; 0 = the most likely character every time",
       value<std::string>()->default_value("0.8"), "T")                                   //
      ("seed", "seed of what is written", value<std::string>()->default_value("1"), "N")  //
      ("start", "what the text to write begins with", value<std::string>()->default_value("In the beginning"),
       "TEXT")  //
      ("json", "write the figures to this file", value<std::string>(), "FILE");
  return options;
}

SampleOptions sample_options(const Parsed& parsed) {
  SampleOptions options;
  options.start = parsed.options["start"].as<std::string>();
  options.characters = whole_number(parsed, "sample", 0);
  options.temperature = number(parsed, "temperature", 0, 100);
  options.seed = static_cast<uint64_t>(whole_number(parsed, "seed", 0, INT64_MAX));
  for (const char* option : {"temperature", "seed", "start"}) {
    if (parsed.options.count(option) > 0 && options.characters == 0) {
      throw UsageError(fmt::format("--{} goes with --sample", option));
    }
  }
  return options;
}

void check_sample(std::span<const Run> runs, const SampleOptions& options) {
  for (const Run& run : runs) {
    const int64_t most = longest_text(run);
    if (std::ssize(options.start) + options.characters > most) {
      throw UsageError(fmt::format("--sample {}: {} has positions for {} characters, --start included",
                                   options.characters, run.name, most));
    }
  }
}

void check_same_text(std::span<const Run> runs) {
  for (const Run& run : runs) {
    if (run.task.text_fingerprint != runs.front().task.text_fingerprint) {
      throw UsageError(fmt::format("{} and {} learned from different texts; judge them one by one",
                                   runs.front().name, run.name));
    }
  }
}

TextFigures judge(Run& run, std::string_view test, int64_t count, const SampleOptions& sample) {
  fmt::print(stderr, "judging {}\n", run.name);
  TextFigures figures;
  figures.name = run.name;
  figures.attention = run.config.attention;
  figures.parameters = run.network->parameter_count();
  figures.window = run.task.text_length;
  figures.bits =
      character_bits(run.network, test, covering_windows(std::ssize(test), run.task.text_length, count));
  if (sample.characters > 0) figures.sample = visible(sample.start + write_text(run, sample));
  return figures;
}

}  // namespace

void run_text(std::span<const std::string> arguments) {
  cxxopts::Options options = text_options();
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  check_output(parsed, "json");
  const int64_t count = parsed.options.count("count") > 0 ? whole_number(parsed, "count", 1) : INT64_MAX;
  const int64_t order = whole_number(parsed, "order", 1, NgramModel::most_order - 1);
  const SampleOptions sample = sample_options(parsed);
  std::vector<Run> runs = load_runs(parsed, "text decodes with float32 weights only", RunKind::text);
  check_same_text(runs);
  check_sample(runs, sample);
  const auto elsewhere =
      parsed.options.count("text") > 0 ? parsed.options["text"].as<std::string>() : std::string();
  const auto text = runs.front().task.open_text(elsewhere);
  const std::string_view training = text->part(data::Split::train);
  const std::string_view test = text->part(data::Split::test);

  TextReport report;
  report.text =
      fmt::format("{}, the last 5%; n-gram models learned from the first {} characters, as the runs",
                  elsewhere.empty() ? runs.front().task.text : elsewhere, training.size());
  report.test_size = std::ssize(test);
  for (const int64_t each : {order, order + 1}) {
    TextFigures& ngram = report.ngrams.emplace_back();
    ngram.name = fmt::format("n-gram of order {}", each);
    ngram.bits = NgramModel(training, each).bits(test);
  }
  for (Run& run : runs) {
    report.block = std::max(report.block, run.task.text_length / 2);
    report.runs.push_back(judge(run, test, count, sample));
  }
  fmt::print("{}", text_report_text(report));
  write_json(parsed, text_report_json(report));
}

}  // namespace giantrabbit::eval
