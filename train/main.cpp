// giantrabbit-train: options -> run. Exit codes: 0 finished (or stopped by Ctrl-C with everything saved), 1
// failed, 2 wrong usage.
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <malloc.h>

#include "eval/error_text.h"
#include "train/command_line.h"
#include "train/launch.h"
#include "train/process_group.h"
#include "train/trainer.h"

namespace {

volatile std::sig_atomic_t stop_requested = 0;

// A second Ctrl-C ends the process at once. A second SIGTERM does not: whoever stops a whole group of
// processes may send it twice.
void request_stop(int number) {
  stop_requested = 1;
  if (number == SIGINT) std::signal(number, SIG_DFL);
}

// Every update frees and asks for the same large buffers: keep them in the process (32 MB is the most that
// glibc takes for the first threshold) and let LibTorch put them on huge pages, or the system clears their
// pages anew each time. Must run before the first tensor.
void keep_large_buffers() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
  // Batches of many shapes: the products of each are prepared once, not again after every 1024 others.
  setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384", 0);
  setenv("LRU_CACHE_CAPACITY", "16384", 0);
}

int train(int argc, char** argv) {
  giantrabbit::train::CommandLine line = giantrabbit::train::parse_command_line(argc, argv);
  if (!line.help.empty()) {
    fmt::print("{}\n", line.help);
    return 0;
  }
  const giantrabbit::train::Launch launch = giantrabbit::train::launch_from_environment();
  line.config.train.require_even_shares(launch.size);  // before others are kept waiting
  giantrabbit::train::ProcessGroup group(launch);
  const bool is_first = group.is_first();
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
  giantrabbit::train::Trainer trainer(line.config, line.out, line.resume, std::move(group));
  const auto& config = line.config;
  if (is_first) {
    fmt::print("{}: {} parameters, attention {}, task {}, {}\n", line.out.string(),
               trainer.network()->parameter_count(), config.model.attention, config.task.task,
               config.task.is_text() ? config.task.text : "format " + config.task.format);
  }
  if (!trainer.run(&stop_requested) && is_first) {
    fmt::print("stopped; everything is saved, continue with: giantrabbit-train --resume --out {}\n",
               line.out.string());
  }
  return 0;
}

// The launcher's number of the process in front of its errors: all of them write to the same terminal.
int fail(int code, const std::exception& error) {
  const char* rank = std::getenv("RANK");
  fmt::print(stderr, "giantrabbit-train{}: {}\n", rank == nullptr ? "" : fmt::format(" (rank {})", rank),
             giantrabbit::eval::error_text(error));
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  keep_large_buffers();
  try {
    return train(argc, argv);
  } catch (const giantrabbit::model::OptionError& error) {
    return fail(2, error);
  } catch (const std::exception& error) {
    return fail(1, error);
  }
}
