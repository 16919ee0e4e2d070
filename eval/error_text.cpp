// Cuts LibTorch's traces off; every other text is passed on whole, in one line.
#include "eval/error_text.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include <c10/util/Exception.h>

namespace giantrabbit::eval {
namespace {

// Bytes that are no UTF-8 are replaced.
std::string as_utf8(const std::string& text) {
  using nlohmann::json;
  return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
}

}  // namespace

std::string error_text(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return printable(torch_error == nullptr ? error.what() : torch_error->what_without_backtrace());
}

std::string printable(const std::string& text) {
  std::string valid = as_utf8(text);
  const auto is_control = [](unsigned char letter) { return letter < 0x20 || letter == 0x7f; };
  std::ranges::replace_if(valid, is_control, ' ');
  return valid;
}

bool is_utf8(const std::string& text) { return as_utf8(text) == text; }

}  // namespace giantrabbit::eval
