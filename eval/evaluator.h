// Decodes problems with a model and judges every output. Used for validation during training and by every
// report.
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
  std::vector<Judged> items;  // in the order of the problems
  PhaseSeconds seconds;
  int64_t tokens = 0;
  double exact() const;        // share of right answers; 0 without items
  double chain_valid() const;  // share with every step valid and the answer right; 0 without items
};

// An outside item that could not be read: it counts as wrong and belongs to no group.
Judged unreadable_item(std::string id);
bool is_unreadable(const Judged& item);

// Most tokens an output may have: twice the reference solution, 256 when there is none. Longer ones count as
// truncated, otherwise a model that never stops would be timed for its loops.
int64_t output_limit(const data::Problem& problem, data::ChainFormat format);

Evaluation evaluate(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                    std::span<const data::Problem> problems, data::ChainFormat format,
                    int64_t batch_size = 128, model::WeightType weights = model::WeightType::float32);

}  // namespace giantrabbit::eval
