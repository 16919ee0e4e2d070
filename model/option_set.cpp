// Binding, checking and printing of typed options; see option_set.h.
#include "model/option_set.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace giantrabbit::model {
namespace {

std::string describe(const OptionValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  return "'" + std::get<std::string>(value) + "'";
}

[[noreturn]] void refuse(const std::string& key, const std::string& expected, const OptionValue& value) {
  throw OptionError(fmt::format("{}: expected {}, got {}", key, expected, describe(value)));
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

bool is_choice(std::string_view choice, std::string_view text) {
  return choice.ends_with('*') ? text.starts_with(choice.substr(0, choice.size() - 1)) : text == choice;
}

template <typename T>
bool parse_whole(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

void OptionSet::add(std::string key, int64_t* field, std::string help, IntegerRange range) {
  const std::string expected = range.high == INT64_MAX
                                   ? fmt::format("an integer of at least {}", range.low)
                                   : fmt::format("an integer from {} to {}", range.low, range.high);
  auto set = [=](const OptionValue& value) {
    const auto* integer = std::get_if<int64_t>(&value);
    if (integer == nullptr || *integer < range.low || *integer > range.high) refuse(key, expected, value);
    *field = *integer;
  };
  options_.push_back({key, std::move(help), "integer", false, set, [=] { return OptionValue(*field); }});
}

void OptionSet::add(std::string key, double* field, std::string help, RealRange range) {
  const std::string expected = range.high >= 1e300
                                   ? fmt::format("a number of at least {}", range.low)
                                   : fmt::format("a number from {} to {}", range.low, range.high);
  auto set = [=](const OptionValue& value) {
    double number = std::nan("");
    if (const auto* real = std::get_if<double>(&value)) number = *real;
    if (const auto* integer = std::get_if<int64_t>(&value)) number = static_cast<double>(*integer);
    if (!(number >= range.low && number <= range.high)) refuse(key, expected, value);
    *field = number;
  };
  options_.push_back({key, std::move(help), "number", false, set, [=] { return OptionValue(*field); }});
}

void OptionSet::add(std::string key, bool* field, std::string help) {
  auto set = [=](const OptionValue& value) {
    const auto* flag = std::get_if<bool>(&value);
    if (flag == nullptr) refuse(key, "true or false", value);
    *field = *flag;
  };
  options_.push_back({key, std::move(help), "true or false", true, set, [=] { return OptionValue(*field); }});
}

void OptionSet::add(std::string key, std::string* field, std::string help, std::vector<std::string> choices) {
  const std::string type = choices.empty() ? "text" : fmt::format("{}", fmt::join(choices, "|"));
  auto set = [=](const OptionValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    const bool known =
        text != nullptr && (choices.empty() || std::ranges::any_of(choices, [&](const std::string& choice) {
                              return is_choice(choice, *text);
                            }));
    if (!known) refuse(key, choices.empty() ? "a text" : "one of " + type, value);
    *field = *text;
  };
  options_.push_back({key, std::move(help), type, false, set, [=] { return OptionValue(*field); }});
}

const OptionSet::Option& OptionSet::find(std::string_view key) const {
  std::vector<std::string> known;
  for (const Option& option : options_) {
    if (option.key == key) return option;
    known.push_back(option.key);
  }
  throw OptionError(unknown_key_message(key, known));
}

void OptionSet::set(std::string_view key, const OptionValue& value) { find(key).set(value); }

void OptionSet::set_text(std::string_view key, std::string_view text) {
  const Option& option = find(key);
  int64_t integer = 0;
  double number = 0;
  if (option.is_flag && (text == "true" || text == "false")) {
    option.set(text == "true");
  } else if (option.type == "integer" && parse_whole(text, integer)) {
    option.set(integer);
  } else if (option.type == "number" && parse_whole(text, number)) {
    option.set(number);
  } else {
    option.set(std::string(text));  // a text option takes it, any other type refuses it with its own sentence
  }
}

std::string OptionSet::text(const Option& option) const {
  const OptionValue value = option.get();
  if (const auto* real = std::get_if<double>(&value)) {
    const std::string digits = fmt::format("{}", *real);  // shortest form that reads back exactly
    return digits.find_first_of(".en") == std::string::npos ? digits + ".0" : digits;
  }
  if (const auto* words = std::get_if<std::string>(&value)) {
    std::string quoted = "\"";
    for (const char c : *words) {
      const auto code = static_cast<unsigned char>(c);
      if (code < 0x20 || code == 0x7f) {
        quoted += fmt::format("\\u{:04x}", code);
        continue;
      }
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    return quoted + "\"";
  }
  return describe(value);
}

std::string unknown_key_message(std::string_view key, const std::vector<std::string>& known) {
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const std::string& name : known) {
    // A key may be given without its table: compare with the last part as well.
    const std::string last = name.substr(name.rfind('.') + 1);
    ranked.emplace_back(std::min(edit_distance(key, name), edit_distance(key, last)), name);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> nearest;
  for (size_t i = 0; i < ranked.size() && i < 3; ++i) nearest.push_back(ranked[i].second);
  return fmt::format("unknown option '{}'; nearest known: {}", key, fmt::join(nearest, ", "));
}

}  // namespace giantrabbit::model
