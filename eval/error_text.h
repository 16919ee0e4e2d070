// One sentence for people from any exception: LibTorch's own errors carry stack traces behind their first
// line, and what a file holds may be quoted in any of them.
#pragma once

#include <exception>
#include <string>

namespace giantrabbit::eval {

std::string error_text(const std::exception& error);
// UTF-8 without control characters: what a file holds goes to terminals and into JSON.
std::string printable(const std::string& text);
bool is_utf8(const std::string& text);

}  // namespace giantrabbit::eval
