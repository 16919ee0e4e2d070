// Time of sparse_mask_attention against LibTorch's scaled_dot_product_attention. In, --tables LETTERS (all
// unless given), --only TEXT, --quick, --threads N, --run RUN (trained_heads.h); out, tables. The two sides
// alternate in one process on the same inputs; every problem is compared with its definition in double before
// it is timed, and a mismatch ends the program with exit code 1.
#include <iostream>

#include <cxxopts.hpp>
#include <fmt/format.h>

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include "ops/cpu/capability.h"
#include "tests/bench/attention_tables.h"

namespace {

using giantrabbit::bench::Options;

int run(const Options& options, const std::string& letters) {
  at::set_num_threads(options.threads);
  const auto peaks = giantrabbit::bench::measure_peaks();
  fmt::print("instruction set {}; threads {}; {}\n",
             giantrabbit::ops::cpu::capability_name(giantrabbit::ops::cpu::chosen_capability()),
             options.threads, peaks.text());
  fmt::print(
      "ratios: LibTorch's time / ours. cpu: least processor time in ms, of the calling thread "
      "alone.\nsupport, refined: keys with a weight and keys scored in fp32, per query. dense: blocks left "
      "to "
      "the dense path.\nof peak: time that the scores take at the peak / time. error: against double.\n");
  for (const auto& table : giantrabbit::bench::all_tables()) {
    if (letters.find(table.letter) == std::string::npos) continue;
    fmt::print("\n({}) {}\n", table.letter, table.title);
    table.run(options, peaks);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  cxxopts::Options description("attention_bench", "Attention against LibTorch's");
  description.add_options()("tables", "letters of the tables to print",
                            cxxopts::value<std::string>()->default_value("abcdefghi"))(
      "only", "print the lines whose label holds this text",
      cxxopts::value<std::string>()->default_value(""))("quick", "at most 4,096 keys and few rounds")(
      "run", "a trained run whose attention table h measures on its longest chain",
      cxxopts::value<std::string>()->default_value(""))(
      "threads", "threads of both sides", cxxopts::value<int>()->default_value("1"))("help", "");
  try {
    const auto given = description.parse(argc, argv);
    if (given.count("help") != 0) {
      std::cout << description.help();
      return 0;
    }
    return run({given.count("quick") != 0, given["run"].as<std::string>(), given["only"].as<std::string>(),
                given["threads"].as<int>()},
               given["tables"].as<std::string>());
  } catch (const cxxopts::exceptions::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  } catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << '\n';
    return 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
