// See attention_stages.h. One head of independent unit normals, d = 64, sparsemax, no support kept: the
// stages of the chosen instruction set are called through a table that takes the time of every call.
#include "tests/bench/attention_stages.h"

#include <algorithm>
#include <ctime>
#include <limits>

#include <fmt/format.h>

#include "ops/cpu/exact/block.h"
#include "ops/cpu/exact/forward.h"
#include "tests/bench/attention_problem.h"

namespace giantrabbit::bench {
namespace {

namespace exact = ops::cpu::exact;
using exact::Functions;

enum class Stage : size_t { quantise_keys, quantise_queries, seed, filter, count, refine, output };
constexpr size_t kStages = 7;
using StageSeconds = std::array<double, kStages>;

StageSeconds stage_seconds;

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// A function with the signature of a stage that adds the time of the call to the stage's.
template <Stage stage, auto member>
struct Timed;
template <Stage stage, class Result, class... Arguments, Result (*Functions::*member)(Arguments...)>
struct Timed<stage, member> {
  static Result call(Arguments... arguments) {
    struct Clock {
      double start = thread_seconds();
      ~Clock() { stage_seconds[static_cast<size_t>(stage)] += thread_seconds() - start; }
    } clock;
    return (exact::chosen_functions().*member)(arguments...);
  }
};

Functions timed_functions() {
  Functions timed = exact::chosen_functions();
  timed.quantise_keys = Timed<Stage::quantise_keys, &Functions::quantise_keys>::call;
  timed.quantise_queries = Timed<Stage::quantise_queries, &Functions::quantise_queries>::call;
  timed.seed = Timed<Stage::seed, &Functions::seed>::call;
  timed.filter = Timed<Stage::filter, &Functions::filter>::call;
  timed.count = Timed<Stage::count, &Functions::count>::call;
  timed.refine = Timed<Stage::refine, &Functions::refine>::call;
  timed.output = Timed<Stage::output, &Functions::output>::call;
  return timed;
}

// The codes of one head, and memory for them.
struct Codes {
  explicit Codes(int64_t keys, int64_t steps)
      : blocks((keys + exact::kBlockKeys - 1) / exact::kBlockKeys),
        codes(torch::empty({blocks, steps * exact::kBlockKeys}, torch::kInt)),
        scales(torch::empty({4, blocks})),
        of{steps,
           reinterpret_cast<uint32_t*>(codes.data_ptr<int32_t>()),
           scales[0].data_ptr<float>(),
           scales[1].data_ptr<float>(),
           scales[2].data_ptr<float>(),
           scales[3].data_ptr<float>()} {}
  int64_t blocks;
  at::Tensor codes;
  at::Tensor scales;
  exact::KeyCodes of;
};

exact::Counters run(const ops::cpu::AttentionProblem<float>& problem, const Functions& functions,
                    const Codes& codes, const ops::cpu::HeadsView<float>& target) {
  const exact::HeadOperands head{
      problem.keys, {problem.key.data, problem.key.row}, {problem.value.data, problem.value.row}, codes.of};
  TORCH_CHECK(functions.quantise_keys(head.keys, head.count, problem.width, head.codes, 0, codes.blocks));
  exact::BlockStages stages(problem, functions);
  stages.output = &target;
  exact::Counters total;
  std::vector<int64_t> counts(exact::kBlockQueries);
  const exact::QueryBlocks cut{problem.queries};
  for (int64_t block = 0; block < cut.count(); ++block) {
    TORCH_CHECK(stages.run({0, 0, cut.range(block)}, head, counts.data(), nullptr),
                "attention_bench: a block is wide");
    total.scored += stages.counters().scored;
    total.refined += stages.counters().refined;
    total.support += stages.counters().support;
  }
  return total;
}

// What a stage did in one run: operations at one of the peaks, or bytes.
struct Work {
  const char* name;
  double amount;
  double peak;  // 0: bytes
};

std::array<Work, kStages> work(const Shape& shape, const exact::Counters& counters, const Peaks& peaks) {
  const auto width = static_cast<double>(shape.width);
  const auto rows = static_cast<double>(shape.queries);
  const double seeded = rows * exact::kBlockKeys *
                        static_cast<double>(std::min(exact::kSeedBlocks, shape.keys / exact::kBlockKeys));
  const double scored = static_cast<double>(counters.scored);
  const bool codes = exact::chosen_functions().coordinates_per_step > 1;
  const double low = codes ? peaks.int8 : peaks.fp32;
  const double refined = 2 * width * static_cast<double>(counters.refined);
  const double combined = 2 * width * static_cast<double>(counters.support);
  const double code_bytes = codes ? 1 : 4;
  return {{{"quantise keys", static_cast<double>(shape.keys) * width * (4 + code_bytes), 0},
           {"quantise queries", rows * width * (4 + 4 + code_bytes), 0},
           {"seed", 2 * width * seeded, low},
           {"filter", 2 * width * std::max(scored - seeded, 0.0), low},
           {"count", (scored / 8), 0},
           {"refine, threshold", refined, peaks.fp32},
           {"output", combined, peaks.fp32}}};
}

void print_stages(const Shape& shape, const Peaks& peaks, int rounds) {
  const at::NoGradGuard no_grad;
  const Problem inputs = make_problem(shape, ops::Normalizer::sparsemax);
  const ops::AttentionCall call = ops::cpu::float_rows({inputs.inputs[0],
                                                        inputs.inputs[1],
                                                        inputs.inputs[2],
                                                        std::nullopt,
                                                        inputs.normalizer,
                                                        {},
                                                        inputs.mask});
  const auto problem = ops::cpu::make_problem<float>(call);
  at::Tensor result = torch::empty({1, 1, shape.queries, shape.width});
  const auto target = ops::cpu::heads_view<float>(result);
  const Codes codes(shape.keys, exact::code_steps(shape.width));
  const Functions timed = timed_functions();
  StageSeconds least;
  least.fill(std::numeric_limits<double>::infinity());
  double whole = std::numeric_limits<double>::infinity();
  exact::Counters counters;
  for (int round = 0; round < rounds; ++round) {
    stage_seconds = {};
    const double start = thread_seconds();
    counters = run(problem, timed, codes, target);
    whole = std::min(whole, thread_seconds() - start);
    for (size_t stage = 0; stage < kStages; ++stage)
      least[stage] = std::min(least[stage], stage_seconds[stage]);
  }
  TORCH_CHECK(result.equal(ours(inputs)), "attention_bench: the stages differ from the operator");
  const auto works = work(shape, counters, peaks);
  for (size_t stage = 0; stage < kStages; ++stage) {
    const Work& of = works[stage];
    if (of.amount <= 0) continue;  // the seed was everything
    const double rate = of.amount / least[stage];
    fmt::print("{:<14} {:<20} {:>9.4f} {:>7.0f}% {:>9.1f} {:<7} {}\n",
               stage == 0 ? fmt::format("{}n{}", shape.causal ? "causal " : "", shape.keys) : "", of.name,
               least[stage] * 1e3, 100 * least[stage] / whole, rate * 1e-9, of.peak > 0 ? "Gop/s" : "GB/s",
               of.peak > 0 ? fmt::format("{:>6.0f}% of {}", 100 * rate / of.peak,
                                         of.peak == peaks.int8 ? "int8" : "fp32")
                           : "");
  }
}

}  // namespace

void stages_table(const Options& options, const Peaks& peaks) {
  fmt::print("{:<14} {:<20} {:>9} {:>8} {:>9} {:<7} {}\n", "", "stage", "ms", "of all", "rate", "",
             "of peak");
  for (const bool causal : {false, true}) {
    for (const int64_t length : {256, 1024, 4096, 16384}) {
      if (options.quick && length > 4096) continue;
      print_stages({1, 1, length, length, 64, causal}, peaks, options.quick ? 20 : 100);
    }
  }
}

}  // namespace giantrabbit::bench
