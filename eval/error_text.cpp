// Cuts LibTorch's traces off; every other text is passed on whole, in one line.
#include "eval/error_text.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include <c10/util/Exception.h>

namespace giantrabbit::eval {

std::string error_text(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return printable(torch_error == nullptr ? error.what() : torch_error->what_without_backtrace());
}

std::string printable(const std::string& text) {
  using nlohmann::json;
  const std::string quoted = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  std::string valid = json::parse(quoted).get<std::string>();
  const auto is_control = [](unsigned char letter) { return letter < 0x20 || letter == 0x7f; };
  std::ranges::replace_if(valid, is_control, ' ');
  return valid;
}

}  // namespace giantrabbit::eval
