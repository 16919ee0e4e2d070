// In: a file of items, or nothing. Out: problems and the items that could not be read, with reasons. Kept
// invariant: every item of the file appears exactly once, as a problem or as refused.
#include "data/item_file.h"

#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/community_items.h"

namespace giantrabbit::data {
namespace {

using nlohmann::json;

// Questions 1a to 4b of the exam: identifier, family and what is given.
constexpr const char* exam_items = R"([
  {"id": "1a", "family": "SOLSET",
   "given": {"A_shape": [3, 3], "particular": [4, 0, 0], "special": [[2, 1, 0], [5, 0, 1]]}},
  {"id": "1b", "family": "UNDO",
   "given": {"R": [[1, -2, -5], [0, 0, 0], [0, 0, 0]], "d": [4, 0, 0],
             "operations": [{"target": 2, "source": 1, "factor": 3}, {"target": 3, "source": 1, "factor": 5}]}},
  {"id": "2a", "family": "NULL", "given": {"A": [[0, 1, 2, 2], [0, 3, 8, 7], [0, 0, 4, 2]]}},
  {"id": "2b", "family": "COLSP", "given": {"A": [[0, 1, 2, 2], [0, 3, 8, 7], [0, 0, 4, 2]]}},
  {"id": "2c", "family": "BLOCK",
   "given": {"A": [[0, 1, 2, 2], [0, 3, 8, 7], [0, 0, 4, 2]], "block_pattern": "[[A,A],[A,A]]"}},
  {"id": "3a", "family": "FACT_COUNT", "given": {"m": 3, "n": 5, "rank": 3}},
  {"id": "3b", "family": "FACT_SPACES", "given": {"m": 3, "n": 5, "rank": 3}},
  {"id": "4a", "family": "MEMBER_RULE", "given": {"A": [[2, 1], [6, 5], [2, 4]]}},
  {"id": "4b", "family": "MEMBER", "given": {"A": [[2, 1], [6, 5], [2, 4]], "b": [8, 28, 14]}}
])";

// Discarded where the text is no JSON. What lies deeper than any family reads is left out: the library writes
// values into error messages by recursion.
json parse(const std::string& text) {
  constexpr int most_depth = 64;
  return json::parse(
      text, [](int depth, json::parse_event_t, const json&) { return depth < most_depth; }, false);
}

int64_t next_number(const ItemFile& file) { return std::ssize(file.problems) + std::ssize(file.refused) + 1; }

std::string item_id(const json& item, int64_t number) {
  if (item.is_object() && item.contains("id")) {
    return item["id"].is_string() ? item["id"].get<std::string>() : item["id"].dump();
  }
  return fmt::format("item {}", number);
}

Problem read_item(const json& item) {
  if (!item.is_object()) throw ProblemError(fmt::format("expected an object, got {}", item.type_name()));
  if (!item.contains("family") && item.contains("question")) return read_graph_question(item);
  if (!item.contains("family") || !item["family"].is_string()) throw ProblemError("\"family\" is missing");
  if (!item.contains("given")) throw ProblemError("\"given\" is missing");
  return find_family(item["family"].get_ref<const std::string&>()).from_json(item["given"]);
}

// `read` gives the problem or throws.
template <typename Read>
void add(ItemFile& file, const std::string& id, Read read) {
  try {
    Problem problem = read();
    problem.id = id;
    file.problems.push_back(std::move(problem));
  } catch (const ProblemError& error) {
    file.refused.push_back({id, error.what(), next_number(file)});
  } catch (const json::exception& error) {
    file.refused.push_back({id, error.what(), next_number(file)});
  }
}

void add_item(ItemFile& file, const json& item) {
  const std::string id = item_id(item, next_number(file));
  add(file, id, [&] { return read_item(item); });
}

// A list, {"items": list}, or one item.
bool add_document(ItemFile& file, const json& document) {
  const bool wrapped = document.is_object() && document.contains("items") && document["items"].is_array();
  if (wrapped || document.is_array()) {
    for (const json& item : wrapped ? document["items"] : document) add_item(file, item);
    return true;
  }
  if (!document.is_object()) return false;
  add_item(file, document);
  return true;
}

enum class LineFormat { json_item, multiplication, list_ops };

std::optional<LineFormat> line_format(const std::string& line) {
  if (json::accept(line)) return LineFormat::json_item;
  if (line.find("||") != std::string::npos) return LineFormat::multiplication;
  if (line.find('\t') != std::string::npos) return LineFormat::list_ops;
  return std::nullopt;
}

Problem read_line(const std::string& line, LineFormat format) {
  if (format == LineFormat::multiplication) return read_multiplication_line(line);
  if (format == LineFormat::list_ops) return read_list_ops_line(line);
  throw ProblemError("the line is no JSON");
}

// The first line decides what the file is; later bad lines are refused one by one. The title of a table is no
// item.
void add_lines(ItemFile& file, std::istream& text, const std::filesystem::path& path) {
  std::optional<LineFormat> format;
  std::string line;
  for (size_t number = 1; std::getline(text, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const bool first = !format.has_value();
    if (first) format = line_format(line);
    if (!format) {
      throw std::runtime_error(
          fmt::format("{}: neither JSON nor JSON lines nor lines of multiplication (\"question||chain #### "
                      "answer\") or ListOps (label, tab, expression) (line {})",
                      path.string(), number));
    }
    if (first && format == LineFormat::list_ops && line.find('[') == std::string::npos &&
        !has_list_ops_label(line)) {
      continue;
    }
    const json item = parse(line);
    if (format == LineFormat::json_item && !item.is_discarded()) {
      add_item(file, item);
    } else {
      add(file, fmt::format("line {}", number), [&] { return read_line(line, *format); });
    }
  }
}

}  // namespace

ItemFile read_items(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream || std::filesystem::is_directory(path)) {
    throw std::runtime_error(fmt::format("{}: cannot be opened", path.string()));
  }
  std::stringstream text;
  text << stream.rdbuf();
  ItemFile file;
  const json document = parse(text.str());
  if (!document.is_discarded()) {
    if (add_document(file, document)) return file;
    throw std::runtime_error(
        fmt::format("{}: expected a list of items, got {}", path.string(), document.type_name()));
  }
  add_lines(file, text, path);
  if (file.problems.empty() && file.refused.empty()) {
    throw std::runtime_error(fmt::format("{}: the file is empty", path.string()));
  }
  return file;
}

std::vector<Problem> exam_problems() {
  ItemFile file;
  for (const json& item : json::parse(exam_items)) add_item(file, item);
  if (!file.refused.empty()) {
    throw std::logic_error(fmt::format("exam item {}: {}", file.refused[0].id, file.refused[0].reason));
  }
  return file.problems;
}

}  // namespace giantrabbit::data
