// A table of texts, drawn for a terminal or as HTML. The first column is aligned to the left, the others to
// the right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace giantrabbit::eval {

struct Table {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // each as long as the header
  std::string note;                            // one sentence below the table; may be empty
};

std::string to_text(const Table& table);
std::string to_html(const Table& table);
std::string escape_html(std::string_view text);
size_t characters(std::string_view text);  // of UTF-8, not bytes

}  // namespace giantrabbit::eval
