// See launch.h.
#include "train/launch.h"

#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

#include "model/option_set.h"

namespace giantrabbit::train {
namespace {

std::string variable(const char* name, const std::string& otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : text;
}

std::string required(const char* name) {
  std::string text = variable(name, "");
  if (!text.empty()) return text;
  throw model::OptionError(
      fmt::format("{} is not set: a launcher sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT", name));
}

int required_number(const char* name, int low, int high) {
  const std::string text = required(name);
  int value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && stop == text.data() + text.size() && value >= low && value <= high)
    return value;
  throw model::OptionError(
      fmt::format("{}: expected an integer from {} to {}, got '{}'", name, low, high, text));
}

}  // namespace

Launch launch_from_environment() {
  Launch launch;
  if (std::getenv("RANK") == nullptr && std::getenv("WORLD_SIZE") == nullptr) return launch;
  launch.size = required_number("WORLD_SIZE", 1, 4096);
  launch.rank = required_number("RANK", 0, launch.size - 1);
  if (launch.size == 1) return launch;
  launch.address = required("MASTER_ADDR");
  launch.port = static_cast<uint16_t>(required_number("MASTER_PORT", 1, UINT16_MAX));
  launch.keeps_meeting_point = variable("TORCHELASTIC_USE_AGENT_STORE", "False") == "True";
  launch.restart = variable("TORCHELASTIC_RESTART_COUNT", "0");
  return launch;
}

}  // namespace giantrabbit::train
