// See progress.h.
#include "train/progress.h"

#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

namespace giantrabbit::train {
namespace {

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

Progress::Progress(std::string name) : name_(std::move(name)), terminal_(isatty(STDOUT_FILENO) != 0) {}

void Progress::show(const ProgressState& state) {
  const double interval = terminal_ ? 0.5 : 10;
  if (state.seconds - last_shown_ < interval) return;
  last_shown_ = state.seconds;
  print(state, false);
}

void Progress::finish(const ProgressState& state) { print(state, true); }

void Progress::print(const ProgressState& state, bool last) {
  const double left = state.share > 0 ? state.seconds * (1 - state.share) / state.share : 0;
  const std::string validation = state.validation.empty() ? "" : "  " + state.validation;
  const std::string line = fmt::format(
      "{}  {:3.0f}%  step {}  loss {:.4f}  {:.0f} tokens/s{}  {} gone, {} left", name_, 100 * state.share,
      state.step, state.loss, state.tokens_per_second, validation, duration(state.seconds), duration(left));
  if (terminal_) {
    fmt::print("\r\033[K{}{}", line, last ? "\n" : "");
  } else {
    fmt::print("{}\n", line);
  }
  std::fflush(stdout);
}

}  // namespace giantrabbit::train
