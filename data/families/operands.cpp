// In: an item, a prompt or random numbers. Out: a prompt or its operands. Kept invariant: both operands have
// 1 .. `longest` digits.
#include "data/families/operands.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/json_values.h"

namespace giantrabbit::data {
namespace {

Digits json_digits(const nlohmann::json& given, const char* field) {
  const auto& value = json_field(given, field);
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  return parse_decimal(text, fmt::format("given.{}", field));
}

std::string decimal(const Digits& digits) {
  std::string text;
  for (const int digit : digits) text += static_cast<char>('0' + digit);
  return {text.rbegin(), text.rend()};
}

// The first digit that people write is not 0, unless the number has one digit only.
Digits draw_number(CounterRng& rng, size_t digits) {
  Digits number(digits);
  for (int& digit : number) digit = static_cast<int>(rng.uniform(0, 9));
  if (digits > 1) number.back() = static_cast<int>(rng.uniform(1, 9));
  return number;
}

}  // namespace

Problem OperandFamily::from_json(const nlohmann::json& given) const {
  const Problem problem = write({json_digits(given, "a"), json_digits(given, "b")});
  return checked(problem.prompt);
}

Problem OperandFamily::generate(CounterRng& rng) const {
  const auto digits = static_cast<size_t>(rng.uniform(least_, most_));
  Digits a = draw_number(rng, digits);
  Digits b = draw_number(rng, digits);
  return write({std::move(a), std::move(b)});
}

std::string OperandFamily::canonical(const Words& prompt) const {
  const Operands operands = read(prompt);
  std::string a = decimal(trimmed(operands.a));
  std::string b = decimal(trimmed(operands.b));
  if (b < a) std::swap(a, b);
  return fmt::format("{}|{}{}{}", name(), a, sign_, b);
}

std::string OperandFamily::stratum(const Words& prompt) const {
  const Operands operands = read(prompt);
  return fmt::format("{}x{}", operands.a.size(), operands.b.size());
}

Operands OperandFamily::read(const Words& prompt) const {
  const auto sign = std::find(prompt.begin(), prompt.end(), sign_);
  if (prompt.size() > 2 && prompt.front() == name() && sign != prompt.end() && prompt.back() == ";") {
    const auto a = read_digits(std::span(prompt.begin() + 1, sign));
    const auto b = read_digits(std::span(sign + 1, prompt.end() - 1));
    if (a && b && a->size() <= longest_ && b->size() <= longest_) return {*a, *b};
  }
  throw ProblemError(
      fmt::format("{}: expected digits of two numbers, least significant first, at most {} of each (\"{} 2 1 "
                  "{} 4 3 ;\" is 12 {} 34), got \"{}\"",
                  name(), longest_, name(), sign_, sign_, join_words(prompt)));
}

Problem OperandFamily::write(const Operands& operands) const {
  Problem problem{"", {std::string(name())}};
  append_digits(problem.prompt, operands.a, operands.a.size());
  problem.prompt.emplace_back(sign_);
  append_digits(problem.prompt, operands.b, operands.b.size());
  problem.prompt.emplace_back(";");
  return problem;
}

}  // namespace giantrabbit::data
