// Families whose problem is one matrix A: NULL, COLSP, BLOCK. In: {"A": rows} or "NAME rows". Out: prompts,
// the matrix again, random matrices of listed shapes. Kept invariant: the split is that of A.
#pragma once

#include <span>

#include "data/families/drawing.h"
#include "data/families/support.h"

namespace giantrabbit::data {

class MatrixFamily : public ExamFamily {
 public:
  Problem from_json(const nlohmann::json& given) const final;
  std::string canonical(const Words& prompt) const final;

 protected:
  explicit MatrixFamily(std::span<const Shape> shapes) : shapes_(shapes) {}
  Words draw(CounterRng& rng) const final;
  // What else `given` must say; throws ProblemError.
  virtual void check_given(const nlohmann::json& given) const;
  static Matrix read(const Words& prompt);

 private:
  std::span<const Shape> shapes_;
};

}  // namespace giantrabbit::data
