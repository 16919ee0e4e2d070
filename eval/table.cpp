// Column widths are counted in characters, not bytes, so that UTF-8 text stays aligned.
#include "eval/table.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

void check(const Table& table) {
  for (const std::vector<std::string>& row : table.rows) {
    if (row.size() != table.header.size()) {
      throw std::invalid_argument(fmt::format("table '{}': a row needs {} cells, got {}", table.title,
                                              table.header.size(), row.size()));
    }
  }
}

std::string text_line(const std::vector<std::string>& cells, const std::vector<size_t>& widths) {
  std::string line = " ";
  for (size_t column = 0; column < cells.size(); ++column) {
    const std::string gap(widths[column] - characters(cells[column]), ' ');
    line += column == 0 ? " " + cells[column] + gap : "  " + gap + cells[column];
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string html_row(const std::vector<std::string>& cells, std::string_view tag) {
  std::string row = "<tr>";
  for (const std::string& cell : cells) row += fmt::format("<{0}>{1}</{0}>", tag, escape_html(cell));
  return row + "</tr>\n";
}

}  // namespace

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

std::string to_text(const Table& table) {
  check(table);
  std::vector<size_t> widths;
  for (const std::string& cell : table.header) widths.push_back(characters(cell));
  for (const std::vector<std::string>& row : table.rows) {
    for (size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], characters(row[column]));
    }
  }
  std::string text = table.title + "\n" + text_line(table.header, widths);
  for (const std::vector<std::string>& row : table.rows) text += text_line(row, widths);
  if (!table.note.empty()) text += "  " + table.note + "\n";
  return text;
}

std::string to_html(const Table& table) {
  check(table);
  std::string html = fmt::format("<h3>{}</h3>\n<div class=\"scroll\"><table>\n", escape_html(table.title));
  html += html_row(table.header, "th");
  for (const std::vector<std::string>& row : table.rows) html += html_row(row, "td");
  html += "</table></div>\n";
  if (!table.note.empty()) html += fmt::format("<p>{}</p>\n", escape_html(table.note));
  return html;
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char character : text) {
    switch (character) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += character;
    }
  }
  return escaped;
}

}  // namespace giantrabbit::eval
