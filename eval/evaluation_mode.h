// A model in evaluation mode while this lives, in its former mode afterwards, also after an exception.
#pragma once

#include "model/giant_rabbit.h"

namespace giantrabbit::eval {

class EvaluationMode {
 public:
  explicit EvaluationMode(model::GiantRabbit& network)
      : network_(network), was_training_(network->is_training()) {
    network_->eval();
  }
  ~EvaluationMode() { network_->train(was_training_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  model::GiantRabbit& network_;
  bool was_training_;
};

}  // namespace giantrabbit::eval
