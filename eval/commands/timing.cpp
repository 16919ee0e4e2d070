// giantrabbit-eval timing: time per token against the length of the chain, runs interleaved, with the
// straight lines through it, the crossover that the model's shape predicts and the one that was measured.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/commands/command.h"
#include "eval/ladder.h"
#include "eval/table.h"

namespace giantrabbit::eval {
namespace {

using cxxopts::value;
using nlohmann::json;

constexpr int64_t long_length = 100'000;

cxxopts::Options timing_options() {
  cxxopts::Options options("giantrabbit-eval timing",
                           "Forces a known chain through every RUN and shows time and work against length.");
  options.custom_help("RUN.. [options]");
  options.add_options()  //
      ("lengths", "positions to report, in tokens",
       value<std::string>()->default_value("64,256,1024,4096,16384"),
       "LIST")                                   //
      ("long", "report 100,000 tokens as well")  //
      ("repeats", "repeats of prefill and encode, the fastest counts",
       value<std::string>()->default_value("3"),
       "N")  //
      ("json", "write the figures to this file", value<std::string>(), "FILE");
  return options;
}

std::string milliseconds(double seconds) { return fmt::format("{:.4g}", 1000 * seconds); }

std::string length_text(const std::optional<double>& length) {
  return length ? fmt::format("{:.0f}", *length) : "none";
}

Table token_table(const std::vector<Ladder>& ladders) {
  Table table{
      "Time of one token against its position, ms",
      {"position", "run", "median", "quartiles", "prefill", "encode", "keys seen", "in 8 bits", "in fp32",
       "values", "kB read"},
      {},
      "Keys, values and kB: self-attention of one token, all layers and heads. Prefill and encode: that "
      "many known tokens at once."};
  for (size_t rung = 0; rung < ladders.front().rungs.size(); ++rung) {
    for (const Ladder& ladder : ladders) {
      const Rung& at = ladder.rungs[rung];
      table.rows.push_back(
          {std::to_string(at.position), ladder.name, milliseconds(at.token.median),
           fmt::format("[{}, {}]", milliseconds(at.token.low), milliseconds(at.token.high)),
           milliseconds(at.prefill), milliseconds(at.encode), fmt::format("{:.0f}", at.work.keys_visible),
           fmt::format("{:.0f}", at.work.keys_coded), fmt::format("{:.0f}", at.work.keys_scored),
           fmt::format("{:.0f}", at.work.values_read), fmt::format("{:.1f}", at.work.bytes_read / 1000)});
    }
  }
  return table;
}

Table line_table(const std::vector<Ladder>& ladders) {
  Table table{
      "Straight lines: ms per token = intercept + slope x position",
      {"run", "intercept, ms", "slope, ms per 1,000", "crossover measured", "predicted",
       "slope of the first / this", "faster than the first from"},
      {},
      "Crossover: position where what grows with it costs as much as the rest. Predicted from the shape, "
      "for dense attention: bytes of weights / bytes of keys and values per position."};
  const Ladder& first = ladders.front();
  for (const Ladder& ladder : ladders) {
    const bool other = &ladder != &first;
    table.rows.push_back({ladder.name, milliseconds(ladder.line.intercept),
                          milliseconds(1000 * ladder.line.slope), length_text(ladder.line.crossover()),
                          fmt::format("{:.0f}", ladder.predicted_crossover),
                          other ? fmt::format("{:.2f}", first.line.slope / ladder.line.slope) : "",
                          other ? length_text(overtaking(first.line, ladder.line)) : ""});
  }
  return table;
}

json to_json(const Ladder& ladder) {
  json rungs = json::array();
  for (const Rung& rung : ladder.rungs) {
    rungs.push_back({{"position", rung.position},
                     {"token_seconds",
                      {{"least", rung.token.least},
                       {"low", rung.token.low},
                       {"median", rung.token.median},
                       {"high", rung.token.high}}},
                     {"prefill_seconds", rung.prefill},
                     {"encode_seconds", rung.encode},
                     {"keys_visible", rung.work.keys_visible},
                     {"keys_coded", rung.work.keys_coded},
                     {"keys_scored", rung.work.keys_scored},
                     {"values_read", rung.work.values_read},
                     {"bytes_read", rung.work.bytes_read}});
  }
  const auto crossover = ladder.line.crossover();
  return {{"name", ladder.name},
          {"rungs", rungs},
          {"intercept_seconds", ladder.line.intercept},
          {"slope_seconds", ladder.line.slope},
          {"crossover", crossover ? json(*crossover) : json()},
          {"predicted_crossover", ladder.predicted_crossover},
          {"weight_bytes", ladder.weight_bytes}};
}

}  // namespace

void run_timing(std::span<const std::string> arguments) {
  cxxopts::Options options = timing_options();
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  check_output(parsed, "json");
  LadderPlan plan;
  plan.lengths = lengths(parsed, "lengths");
  if (flag(parsed, "long") && plan.lengths.back() < long_length) plan.lengths.push_back(long_length);
  plan.repeats = static_cast<int>(whole_number(parsed, "repeats", 1, 1000));
  std::vector<Run> runs = load_runs(parsed);
  const std::string task = common_task(runs, "they cannot be forced through one chain");
  const ForcedChain chain = forced_chain(runs.front().task, plan.lengths.back());
  fmt::print("{} words of task {}, the first chain has {}; {} weights\n", plan.lengths.back(), task,
             chain.first_chain, weights_text(runs));
  const std::vector<Ladder> ladders = climb(runs, chain, plan);
  fmt::print("\n{}\n{}", to_text(token_table(ladders)), to_text(line_table(ladders)));
  json document = {{"task", task}, {"runs", json::array()}};
  for (const Ladder& ladder : ladders) document["runs"].push_back(to_json(ladder));
  write_json(parsed, document);
}

}  // namespace giantrabbit::eval
