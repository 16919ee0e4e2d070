// Reads and writes config.toml. Every value goes through OptionSet, which checks key, type and range; this
// file only adds where in the file the fault is. Reading stops at the first fault.
#include "eval/config_file.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace giantrabbit::eval {
namespace {

std::string place(const std::filesystem::path& file, const toml::source_region& region) {
  return fmt::format("{}, line {}", file.string(), region.begin.line);
}

model::OptionValue option_value(const toml::node& node, const std::string& key, const std::string& where) {
  if (const auto* value = node.as_boolean()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_string()) return value->get();
  throw model::OptionError(
      fmt::format("{}: {} must be a number, a text, true or false, got a table, list or date", where, key));
}

void read_table(const toml::table& table, const std::string& name, const std::filesystem::path& file,
                model::OptionSet& options) {
  for (const auto& [entry, node] : table) {
    const std::string key = name + "." + std::string(entry.str());
    const std::string where = place(file, node.source());
    const model::OptionValue value = option_value(node, key, where);
    try {
      options.set(key, value);
    } catch (const model::OptionError& error) {
      throw model::OptionError(where + ": " + error.what());
    }
  }
}

toml::table parse_file(const std::filesystem::path& file) {
  if (!std::filesystem::is_regular_file(file)) {
    throw std::runtime_error(fmt::format(
        "{}: {}", file.string(), std::filesystem::exists(file) ? "not a regular file" : "no such file"));
  }
  try {
    return toml::parse_file(file.string());
  } catch (const toml::parse_error& error) {
    throw std::runtime_error(
        fmt::format("{}: not a TOML file: {}", place(file, error.source()), error.description()));
  }
}

}  // namespace

void read_config(const std::filesystem::path& file, model::OptionSet& options,
                 const std::vector<std::string_view>& other_tables) {
  const toml::table root = parse_file(file);
  for (const auto& [name, node] : root) {
    if (std::ranges::find(other_tables, name.str()) != other_tables.end()) continue;
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      throw model::OptionError(fmt::format("{}: key '{}' stands outside a table such as [model]",
                                           place(file, node.source()), name.str()));
    }
    read_table(*table, std::string(name.str()), file, options);
  }
}

std::string remaining_config(const std::filesystem::path& file,
                             const std::vector<std::string_view>& without) {
  toml::table root = parse_file(file);
  for (const std::string_view name : without) root.erase(name);
  // In the other forms a text loses a line break at its beginning, or cannot be read back.
  constexpr auto flags =
      toml::toml_formatter::default_flags &
      ~(toml::format_flags::allow_multi_line_strings | toml::format_flags::allow_literal_strings);
  std::ostringstream text;  // tables keep their keys sorted
  text << toml::toml_formatter(root, flags);
  return text.str();
}

std::string write_config(const model::OptionSet& options) {
  // TOML forbids opening a table twice, so the options of one table are collected wherever they were
  // registered.
  std::vector<std::pair<std::string, std::string>> tables;
  for (const model::OptionSet::Option& option : options.options()) {
    const size_t dot = option.key.find('.');
    const std::string table = option.key.substr(0, dot);
    auto found = std::ranges::find(tables, table, &std::pair<std::string, std::string>::first);
    if (found == tables.end()) found = tables.emplace(tables.end(), table, std::string());
    found->second += fmt::format("{} = {}\n", option.key.substr(dot + 1), options.text(option));
  }
  std::string text;
  for (const auto& [table, lines] : tables) {
    text += fmt::format("{}[{}]\n{}", text.empty() ? "" : "\n", table, lines);
  }
  return text;
}

}  // namespace giantrabbit::eval
