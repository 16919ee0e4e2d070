// In: words. Out: the expression. Kept invariant: that of the header. Reading uses a stack, not recursion:
// outside expressions may be nested as deeply as they like.
#include "data/families/list_ops_tree.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace giantrabbit::data {
namespace {

constexpr std::array<std::string_view, 4> operators = {"[MIN", "[MAX", "[MED", "[SM"};

[[noreturn]] void fail(const std::string& what) {
  throw ProblemError("LISTOPS: expected one expression like \"[MAX 2 [MIN 4 7 ] 0 ]\": " + what);
}

}  // namespace

bool is_list_operator(std::string_view word) {
  return std::find(operators.begin(), operators.end(), word) != operators.end();
}

int list_operation(std::string_view name, std::vector<int> arguments) {
  if (name == "[SM") return std::accumulate(arguments.begin(), arguments.end(), 0) % 10;
  std::sort(arguments.begin(), arguments.end());
  if (name == "[MIN") return arguments.front();
  if (name == "[MAX") return arguments.back();
  const size_t middle = arguments.size() / 2;
  return arguments.size() % 2 == 1 ? arguments[middle] : (arguments[middle - 1] + arguments[middle]) / 2;
}

ListExpression::ListExpression(std::span<const std::string> words) {
  std::vector<Node> open;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (i > 0 && open.empty()) fail(fmt::format("\"{}\" stands behind its end", word));
    if (is_list_operator(word)) {
      open.push_back({word, {}, {}, 0, 0});
      depth_ = std::max(depth_, static_cast<int>(open.size()));
    } else if (open.empty()) {
      fail(fmt::format("it begins with \"{}\"", word));
    } else if (word.size() == 1 && word[0] >= '0' && word[0] <= '9') {
      open.back().arguments.push_back({word[0] - '0', {}});
    } else if (word != "]") {
      fail(fmt::format("\"{}\" is no operator, digit or \"]\"", word));
    } else {
      if (open.back().arguments.empty()) fail(fmt::format("{} has no arguments", open.back().name));
      const size_t node = nodes_.size();
      nodes_.push_back(std::move(open.back()));
      open.pop_back();
      for (const Argument& argument : nodes_[node].arguments) {
        if (argument.node) nodes_[*argument.node].parent = node;
      }
      if (nodes_[node].open == 0) ready_.insert(node);
      if (open.empty()) continue;
      nodes_[node].place = open.back().arguments.size();
      ++open.back().open;
      open.back().arguments.push_back({0, node});
    }
  }
  if (nodes_.empty() || !open.empty()) fail("it does not end");
}

std::vector<int> ListExpression::arguments(size_t node) const {
  std::vector<int> values;
  for (const Argument& argument : nodes_[node].arguments) values.push_back(argument.value);
  return values;
}

void ListExpression::replace(size_t node, int value) {
  ready_.erase(node);
  if (!nodes_[node].parent) return;
  Node& parent = nodes_[*nodes_[node].parent];
  parent.arguments[nodes_[node].place].value = value;
  if (--parent.open == 0) ready_.insert(*nodes_[node].parent);
}

}  // namespace giantrabbit::data
