// What MUL and ADD share: the prompt "NAME a-digits SIGN b-digits ;", digits least significant first. In:
// items, prompts, random numbers. Out: both numbers, in the widths that they are written in.
#pragma once

#include <string_view>

#include "data/digits.h"
#include "data/families/chain_family.h"

namespace giantrabbit::data {

struct Operands {
  Digits a;
  Digits b;
};

class OperandFamily : public ChainFamily {
 public:
  // {"a": 1234, "b": "5678"}: numbers, or texts where they are longer than JSON numbers.
  Problem from_json(const nlohmann::json& given) const final;
  // Generates two numbers of the same number of digits, least .. most.
  Problem generate(CounterRng& rng) const final;
  // Both orders of the operands are one problem.
  std::string canonical(const Words& prompt) const final;
  std::string stratum(const Words& prompt) const final;  // "4x4": digits of a and b

 protected:
  // Numbers of at most `longest` digits are read: a solution's length may be their product.
  OperandFamily(std::string_view sign, int least, int most, size_t longest)
      : sign_(sign), least_(least), most_(most), longest_(longest) {}
  Operands read(const Words& prompt) const;  // throws ProblemError

 private:
  Problem write(const Operands& operands) const;

  std::string_view sign_;
  int least_;
  int most_;
  size_t longest_;
};

}  // namespace giantrabbit::data
