// What a launcher such as torchrun tells a process about its group, as environment variables: RANK,
// WORLD_SIZE, MASTER_ADDR, MASTER_PORT; TORCHELASTIC_USE_AGENT_STORE and TORCHELASTIC_RESTART_COUNT where
// torchrun keeps the meeting point itself and starts a group again.
#pragma once

#include <cstdint>
#include <string>

namespace giantrabbit::train {

struct Launch {
  int rank = 0;
  int size = 1;
  std::string address;  // of the meeting point; empty in a group of one
  uint16_t port = 0;
  bool keeps_meeting_point = false;  // the launcher does; otherwise the first process
  std::string restart = "0";
};

// Without RANK and WORLD_SIZE a process is on its own. Throws model::OptionError for what no launcher sets.
Launch launch_from_environment();

}  // namespace giantrabbit::train
