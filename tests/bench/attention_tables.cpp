// See attention_tables.h. Unless a line says otherwise: batch 1, 4 heads, d = 64, independent unit normals
// (so scores of unit variance), sparsemax against LibTorch's fused softmax in fp32.
#include "tests/bench/attention_tables.h"

#include <fmt/format.h>

#include "tests/bench/attention_line.h"
#include "tests/bench/attention_stages.h"
#include "tests/bench/trained_heads.h"

namespace giantrabbit::bench {
namespace {

using ops::Normalizer;

LinePrinter printer(const Options& options, const Peaks& peaks) {
  constexpr double kQuickSeconds = 0.2;
  constexpr double kSeconds = 4.0;
  LinePrinter lines(peaks, options.quick ? kQuickSeconds : kSeconds, options.only, options.threads);
  lines.heading();
  return lines;
}

Shape square(int64_t length, int64_t width = 64, bool causal = false) {
  return {1, 4, length, length, width, causal};
}

void lengths_table(const Options& options, const Peaks& peaks) {
  const LinePrinter lines = printer(options, peaks);
  for (const int64_t width : {64, 32}) {
    for (const bool causal : {false, true}) {
      for (const int64_t length : {256, 512, 1024, 4096, 16384}) {
        if (options.quick && length > 4096) continue;
        lines.forward_and_training(fmt::format("{}d{} n{}", causal ? "causal " : "", width, length),
                                   make_problem(square(length, width, causal), Normalizer::sparsemax));
      }
    }
  }
}

void bfloat16_table(const Options& options, const Peaks& peaks) {
  const LinePrinter lines = printer(options, peaks);
  for (const bool causal : {false, true}) {
    const Problem problem = make_problem(square(4096, 64, causal), Normalizer::sparsemax);
    const Problem narrow = problem.to(at::kBFloat16);
    const std::string label = fmt::format("{}n4096", causal ? "causal " : "");
    lines.against(label + ", ours fp32, SDPA bf16", problem, narrow);
  }
}

void score_scales_table(const Options& options, const Peaks& peaks) {
  const LinePrinter lines = printer(options, peaks);
  for (const bool causal : {false, true}) {
    for (const int64_t length : {256, 1024, 4096}) {
      if (options.quick && length == 4096) continue;
      for (const double factor : {0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0}) {
        const Problem problem = make_problem(square(length, 64, causal), Normalizer::sparsemax, factor);
        lines.forward_and_training(fmt::format("{}n{} scores x{}", causal ? "causal " : "", length, factor),
                                   problem);
      }
    }
  }
}

// The last block of queries is looked at first: narrow here, while the scores of all others are 0. With
// `some_far` those of every fifth key are -10: no verdict falls on the first keys, most of which are marked.
Problem misleading_problem(int64_t length, bool causal, bool some_far) {
  Problem problem = make_problem(square(length, 64, causal), Normalizer::sparsemax);
  const at::NoGradGuard no_grad;
  const at::Tensor flat = problem.inputs[0].narrow(2, 0, length - 96).zero_();
  if (some_far) {
    flat.select(3, 0).fill_(8.0);
    const at::Tensor channel = problem.inputs[1].select(3, 0).zero_();
    channel.copy_(torch::where(torch::arange(length).remainder(5) == 0, -10.0, 0.0).expand_as(channel));
  }
  return problem;
}

void misleading_table(const Options& options, const Peaks& peaks) {
  const LinePrinter lines = printer(options, peaks);
  for (const bool causal : {false, true}) {
    for (const int64_t length : {256, 1024, 4096}) {
      if (options.quick && length == 4096) continue;
      for (const bool some_far : {false, true}) {
        lines.forward_and_training(fmt::format("{}n{} flat but the end{}", causal ? "causal " : "", length,
                                               some_far ? ", a fifth far" : ""),
                                   misleading_problem(length, causal, some_far));
      }
    }
  }
}

void training_table(const Options& options, const Peaks& peaks) {
  const LinePrinter lines = printer(options, peaks);
  for (const Normalizer normalizer : {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15}) {
    const std::string name(normalizer_name(normalizer));
    lines.forward_and_training("32x4x80x80 causal " + name,
                               make_problem({32, 4, 80, 80, 32, true}, normalizer));
    lines.forward_and_training("32x4x80x16 lengths " + name,
                               make_problem({32, 4, 80, 16, 32, false, true}, normalizer));
  }
}

void entmax_table(const Options& options, const Peaks& peaks) {
  const LinePrinter lines = printer(options, peaks);
  for (const bool causal : {false, true}) {
    lines.forward_and_training(fmt::format("{}n4096 entmax15", causal ? "causal " : ""),
                               make_problem(square(4096, 64, causal), Normalizer::entmax15));
  }
}

// LibTorch has no window: it computes the whole triangle.
void window_table(const Options& options, const Peaks& peaks) {
  const LinePrinter lines = printer(options, peaks);
  Shape shape = square(options.quick ? 4096 : 8192, 64, true);
  shape.window = 256;
  for (const Normalizer normalizer : {Normalizer::softmax, Normalizer::sparsemax}) {
    lines.forward_and_training(fmt::format("n{} window 256 {}", shape.keys, normalizer_name(normalizer)),
                               make_problem(shape, normalizer));
  }
}

void structures_table(const Options& options, const Peaks& peaks) {
  const LinePrinter lines = printer(options, peaks);
  if (!options.run.empty()) {
    for (const TrainedHeads& heads : trained_heads(options.run)) {
      const Problem problem = self_attention_problem(heads.query_key_value, heads.normalizer);
      lines.forward_and_training(fmt::format("trained {}, causal n{}", heads.attention, problem.shape.keys),
                                 problem);
    }
  }
  for (const Structure structure : {Structure::iid, Structure::clustered, Structure::local}) {
    for (int64_t length = 64; length <= (options.quick ? 4096 : 65536); length *= 2) {
      const std::string label = fmt::format("{} n{}", structure_name(structure), length);
      const Problem problem = make_problem(square(length), Normalizer::sparsemax, 1.0, structure);
      if (length <= 16384) {
        lines.forward_and_training(label, problem);
      } else {
        lines.forward_once(label, problem);
      }
    }
  }
}

}  // namespace

const std::vector<Table>& all_tables() {
  static const std::vector<Table> tables = {
      {'a', "lengths, scores of unit variance", lengths_table},
      {'b', "against LibTorch in bf16", bfloat16_table},
      {'c', "score scales, from flat to peaked", score_scales_table},
      {'d', "input that misleads the choice of path", misleading_table},
      {'e', "training shapes, d = 32", training_table},
      {'f', "entmax15", entmax_table},
      {'g', "a window against LibTorch's causal attention", window_table},
      {'h', "structure of the keys", structures_table},
      {'i', "stages of the exact forward pass, one head", stages_table}};
  return tables;
}

}  // namespace giantrabbit::bench
