// Decodes problems with a model and judges every output. Used for validation during training and by every report.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/problem.h"
#include "eval/decode.h"

namespace giantrabbit::eval {

struct Judged {
  data::Problem problem;
  data::Words output;
  data::Verdict verdict;
};

struct Evaluation {
  std::vector<Judged> items;
  PhaseSeconds seconds;
  int64_t tokens = 0;
  double exact() const;        // share of right answers
  double chain_valid() const;  // share with every step valid and the answer right
};

Evaluation evaluate(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                    std::span<const data::Problem> problems, data::ChainFormat format, int64_t batch_size = 128);

}  // namespace giantrabbit::eval
