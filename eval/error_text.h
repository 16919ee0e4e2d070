// One sentence for people from any exception: LibTorch's own errors carry stack traces behind their first
// line.
#pragma once

#include <exception>
#include <string>

namespace giantrabbit::eval {

std::string error_text(const std::exception& error);

}  // namespace giantrabbit::eval
