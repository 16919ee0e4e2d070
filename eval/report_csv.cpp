// See report_csv.h. Invariant: no file is written twice.
#include "eval/report_csv.h"

#include <cctype>
#include <set>

#include <fmt/format.h>

#include "data/atomic_file.h"

namespace giantrabbit::eval {
namespace {

std::string csv_line(const std::vector<std::string>& cells) {
  std::string text;
  for (size_t cell = 0; cell < cells.size(); ++cell) text += (cell == 0 ? "" : ",") + csv_field(cells[cell]);
  return text + "\n";
}

std::string to_csv_table(const Table& table) {
  std::string text = csv_line(table.header);
  for (const std::vector<std::string>& row : table.rows) text += csv_line(row);
  return text;
}

}  // namespace

std::string file_stem(const std::string& title) {
  std::string stem;
  for (const char letter : title.substr(0, title.find(", "))) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isalnum(byte) != 0) {
      stem += static_cast<char>(std::tolower(byte));
    } else if (!stem.empty() && stem.back() != '-') {
      stem += '-';
    }
  }
  while (stem.ends_with('-')) stem.pop_back();
  return stem;
}

void write_csv(const Report& report, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  // Stems drop characters, so different titles may share one.
  std::set<std::string> written;
  const auto write = [&](const std::string& kind, const std::string& name, const std::string& text) {
    std::string stem = kind + "-" + name;
    for (int copy = 2; !written.insert(stem).second; ++copy) stem = fmt::format("{}-{}-{}", kind, name, copy);
    data::write_file_atomically(folder / (stem + ".csv"), text);
  };
  for (const Plot& plot : plots(report)) write("plot", plot.name, to_csv(plot));
  for (const HeatMap& map : report.pictures) write("picture", file_stem(map.name), to_csv(map));
  for (const Table& table : tables(report)) write("table", file_stem(table.title), to_csv_table(table));
}

}  // namespace giantrabbit::eval
