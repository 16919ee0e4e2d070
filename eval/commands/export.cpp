// giantrabbit-eval export: a run as a TorchScript file for programs without this library's C++.
#include <filesystem>

#include <fmt/format.h>

#include "eval/commands/command.h"
#include "eval/problem_set.h"
#include "eval/script_export.h"

namespace giantrabbit::eval {
namespace {

std::vector<data::Problem> problems_of(const Run& run, int64_t count) {
  if (run.task.is_text()) return {};
  return draw_problems(run.task.task, "test", 1, count).problems;
}

void print_agreement(const std::string& file, bool portable, const ScriptAgreement& agreement) {
  fmt::print("{}: {:.1f} MB of TorchScript, {}\n", file,
             static_cast<double>(std::filesystem::file_size(file)) / 1e6,
             portable ? "LibTorch's own operators only"
                      : "with the operators of libgiantrabbit_ops.so, which is to be loaded first");
  fmt::print(
      "  read back and compared: logits differ from the model's by at most {:.1e} ({:.1e} of the largest)\n",
      agreement.absolute, agreement.logits);
  if (agreement.prompts == 0) return;
  fmt::print("  generate writes the model's words for {} of {} prompts{}\n", agreement.equal,
             agreement.prompts,
             agreement.equal == agreement.prompts ? "" : "; in the others it takes one of two that tie");
}

}  // namespace

void run_export(std::span<const std::string> arguments) {
  using cxxopts::value;
  cxxopts::Options options(
      "giantrabbit-eval export",
      "Writes RUN as a TorchScript file with the methods forward(prompt, decoder_tokens), encode(prompt), "
      "think(states, lengths), memory(states, lengths) and generate(prompt, max_tokens), and its words as "
      "the "
      "attribute words. The file is written only if it does what the model does.");
  options.custom_help("RUN --out FILE [options]");
  options.add_options()                                           //
      ("out", "the file to write", value<std::string>(), "FILE")  //
      ("portable",
       "use LibTorch's own operators only: needs no other library, but costs prompt times output")  //
      ("count", "problems of the test split on which generation is compared",
       value<std::string>()->default_value("20"), "N");
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  if (parsed.runs.size() != 1) {
    throw UsageError(fmt::format("export takes one run directory, got {}", parsed.runs.size()));
  }
  if (parsed.options.count("out") == 0) throw UsageError("export needs --out FILE");
  const int64_t count = whole_number(parsed, "count", 1);
  check_output(parsed, "out");
  const bool portable = flag(parsed, "portable");
  const auto file = parsed.options["out"].as<std::string>();
  Run run = std::move(load_runs(parsed, "export writes float32 weights only", RunKind::any).front());
  print_agreement(file, portable, export_script(run, problems_of(run, count), portable, file));
}

}  // namespace giantrabbit::eval
