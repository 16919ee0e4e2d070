// Cuts LibTorch's traces off; every other text is passed on whole.
#include "eval/error_text.h"

#include <c10/util/Exception.h>

namespace giantrabbit::eval {

std::string error_text(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return torch_error == nullptr ? error.what() : torch_error->what_without_backtrace();
}

}  // namespace giantrabbit::eval
