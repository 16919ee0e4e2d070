// Live progress of a run: on a terminal one line that is rewritten, elsewhere a line every few seconds.
#pragma once

#include <cstdint>
#include <string>

namespace giantrabbit::train {

struct ProgressState {
  double share = 0;  // of the run, 0 .. 1
  int64_t step = 0;
  double loss = 0;
  double tokens_per_second = 0;
  std::string validation;  // what the newest one found; empty before the first
  double seconds = 0;      // so far
};

class Progress {
 public:
  explicit Progress(std::string name);
  void show(const ProgressState& state);
  // Ends the live line with a full one.
  void finish(const ProgressState& state);

 private:
  void print(const ProgressState& state, bool last);
  std::string name_;
  bool terminal_;
  double last_shown_ = -1e9;
};

}  // namespace giantrabbit::train
