// What a run trains on and what it is validated by, chosen by its task: problems, answered and judged, or a
// text, predicted. The trainer knows neither.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "data/dataset.h"
#include "model/giant_rabbit.h"
#include "train/attention_sample.h"
#include "train/config.h"

namespace giantrabbit::train {

struct Validation {
  std::string result;              // the key in `figures` that the run's summary shows as well
  std::string text;                // for the live line: "exact 12.5%"
  nlohmann::ordered_json figures;  // of the line in metrics.jsonl
  AttentionSample attention;       // on the first item
};

class Validator {
 public:
  virtual ~Validator() = default;
  virtual Validation validate(model::GiantRabbit& network) const = 0;
};

struct TrainingData {
  std::unique_ptr<data::Dataset> examples;
  std::unique_ptr<Validator> validator;
};

// Reads the text of a text run and writes its fingerprint into the configuration, or, where it holds one,
// throws std::runtime_error unless it is that.
TrainingData open_training_data(RunConfig& config);

}  // namespace giantrabbit::train
