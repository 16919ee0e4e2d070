// giantrabbit-eval solve: one typed problem; every step with its check mark, its time and the keys it used.
#include <numeric>

#include <fmt/format.h>

#include "eval/attention_cost.h"
#include "eval/chain_text.h"
#include "eval/commands/command.h"
#include "eval/run.h"

namespace giantrabbit::eval {
namespace {

// Mean number of keys with a nonzero weight over the heads and the words [begin, end) of the output.
double keys_used(const model::AttentionRecord& record, int64_t output_words, int begin, int end) {
  const int64_t heads = (record.support.row_offsets.numel() - 1) / record.queries;
  // Without an encoder the prompt's queries come first.
  const int64_t first = record.queries - output_words;
  const int64_t* offset = record.support.row_offsets.const_data_ptr<int64_t>();
  int64_t keys = 0;
  for (int64_t head = 0; head < heads; ++head) {
    const int64_t* row = offset + head * record.queries + first;
    keys += row[end] - row[begin];
  }
  return static_cast<double>(keys) / static_cast<double>(heads * (end - begin));
}

std::string keys_by_layer(const model::Trace& trace, std::string_view kind, int64_t output_words, int begin,
                          int end) {
  std::string text;
  for (const model::AttentionRecord& record : trace.attentions) {
    if (!record.name.starts_with("decoder.") || !record.name.ends_with(kind)) continue;
    text += fmt::format("{:5.1f}", keys_used(record, output_words, begin, end));
  }
  return text;
}

void print_solution(Run& run, const data::Problem& problem) {
  const data::ChainFormat format = run.format();
  const int64_t limit = output_limit(problem, format);
  const auto decode = [&] {
    return decode_greedy(run.network, run.vocabulary, std::span(&problem.prompt, 1), std::span(&limit, 1), 1,
                         run.weights);
  };
  decode();  // the first decoding pays for memory and thread pools, not for reasoning
  const Decoded decoded = decode();
  Judged item{problem, decoded.outputs.at(0), {}};
  item.verdict = data::find_family(problem.prompt.at(0)).judge(problem.prompt, item.output, format);
  const model::Trace trace = trace_output(run.network, run.vocabulary, problem.prompt, item.output);
  const auto words = std::ssize(item.output);

  fmt::print("{}\n", data::join_words(problem.prompt));
  fmt::print(
      "  per line: milliseconds; keys used per decoder layer, mean of heads, among the words written | in "
      "the "
      "memory\n");
  fmt::print(
      "{}", chain_text(item, format, [&](int begin, int end) {
        if (begin == end) return std::string();
        const double seconds =
            std::accumulate(decoded.step_seconds.begin() + begin, decoded.step_seconds.begin() + end, 0.0);
        return fmt::format("{:8.2f} {} |{}", 1000 * seconds, keys_by_layer(trace, ".self", words, begin, end),
                           keys_by_layer(trace, ".cross", words, begin, end));
      }));
  fmt::print("  encode {:.2f} ms, thoughts {:.2f} ms, decode {:.2f} ms for {} words\n",
             1000 * decoded.seconds.encode, 1000 * decoded.seconds.think, 1000 * decoded.seconds.decode,
             words);
  fmt::print("  {} answer {}, {} chain {}\n", check_mark(item.verdict.answer_right),
             item.verdict.answer_right ? "right" : "wrong", check_mark(item.verdict.chain_valid),
             item.verdict.chain_valid ? "valid in every step" : data::error_class_name(item.verdict.error));
}

}  // namespace

void run_solve(std::span<const std::string> arguments) {
  cxxopts::Options options(
      "giantrabbit-eval solve",
      "Lets RUN solve one problem and checks every step. The problem's first word is its family.");
  options.custom_help("RUN --problem \"NULL 0 1 2 2 ; 0 3 8 7 ; 0 0 4 2\" [options]");
  options.add_options()("problem", "the problem: family, rows separated by ';', fractions as 1/2",
                        cxxopts::value<std::string>(), "TEXT");
  std::string families = "Families:\n";
  for (const data::Family* family : data::all_families()) {
    families += fmt::format("  {:12} {}\n", family->name(), family->summary());
  }
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) {
    fmt::print("{}", families);
    return;
  }
  prepare(parsed);
  if (parsed.runs.size() != 1) {
    throw UsageError(fmt::format("solve takes one run directory, got {}", parsed.runs.size()));
  }
  if (parsed.options.count("problem") == 0) throw UsageError("solve needs --problem \"FAMILY ..\"");
  const data::Problem problem = data::parse_problem(parsed.options["problem"].as<std::string>());
  Run run = std::move(load_runs(parsed).front());
  require_words(run, std::span(&problem, 1));
  print_solution(run, problem);
}

}  // namespace giantrabbit::eval
