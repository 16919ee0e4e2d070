// A ListOps expression under evaluation. In: words "[MAX 2 9 [MIN 4 7 ] 0 ]". Out: its operators in
// postorder, which of them are ready (all arguments are numbers), the expression with some of them replaced
// by numbers. Kept invariant: an operator is ready only when all operators inside it have been replaced.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/problem.h"

namespace giantrabbit::data {

// MIN, MAX, MED (the lower one of two middle values' mean, without fraction) or SM (sum modulo 10).
int list_operation(std::string_view name, std::vector<int> arguments);
bool is_list_operator(std::string_view word);  // "[MAX" ..

class ListExpression {
 public:
  // Throws ProblemError unless the words are one expression: an operator with digits and operators as
  // arguments.
  explicit ListExpression(std::span<const std::string> words);

  // The ready operators in postorder; empty when all is evaluated.
  const std::set<size_t>& ready() const { return ready_; }
  std::string_view name(size_t node) const { return nodes_[node].name; }
  std::vector<int> arguments(size_t node) const;  // of a ready operator
  void replace(size_t node, int value);           // a ready operator
  size_t operators() const { return nodes_.size(); }
  int depth() const { return depth_; }

 private:
  struct Argument {
    int value = 0;
    std::optional<size_t> node;  // the operator whose value it will be
  };
  struct Node {
    std::string name;
    std::vector<Argument> arguments;
    std::optional<size_t> parent;
    size_t place = 0;  // among the parent's arguments
    size_t open = 0;   // arguments that are operators still
  };
  std::vector<Node> nodes_;  // in postorder
  std::set<size_t> ready_;
  int depth_ = 0;
};

}  // namespace giantrabbit::data
