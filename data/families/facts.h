// What FACT_COUNT and FACT_SPACES share: the prompt "NAME m n r ;", the two differences m - r and n - r,
// their lines. Kept invariant: 0 <= r <= min(m, n), sizes from 1 to 60.
#pragma once

#include "data/families/support.h"

namespace giantrabbit::data {

struct Sizes {
  int rows = 0;
  int columns = 0;
  int rank = 0;
};

class FactFamily : public ExamFamily {
 public:
  Problem from_json(const nlohmann::json& given) const final;
  Words solve(const Words& prompt, ChainFormat format) const final;
  std::string canonical(const Words& prompt) const final;

 protected:
  Words draw(CounterRng& rng) const final;
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const final;
  Sizes read(const Words& prompt) const;  // throws ProblemError
  virtual void append_answer(Words& words, const Sizes& sizes) const = 0;

 private:
  Words write(const Sizes& sizes) const;
};

}  // namespace giantrabbit::data
