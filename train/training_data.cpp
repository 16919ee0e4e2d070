// See training_data.h. Validation items are the same at every validation of every run.
#include "train/training_data.h"

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "data/example_source.h"
#include "data/text_source.h"
#include "eval/evaluator.h"
#include "eval/text_judge.h"

namespace giantrabbit::train {
namespace {

class ProblemValidator : public Validator {
 public:
  ProblemValidator(const std::string& task, data::ChainFormat format, int64_t items)
      : source_(task, format, data::Split::validation, 1), items_(items) {}

  Validation validate(model::GiantRabbit& network) const override {
    std::vector<data::Problem> problems;
    for (int64_t i = 0; i < items_; ++i)
      problems.push_back(source_.example(static_cast<uint64_t>(i)).problem);
    const eval::Evaluation evaluation =
        eval::evaluate(network, source_.vocabulary(), problems, source_.format());
    return {"validation_exact",
            fmt::format("exact {:.1f}%", 100 * evaluation.exact()),
            {{"validation_exact", evaluation.exact()},
             {"validation_chain_valid", evaluation.chain_valid()},
             {"validation_items", problems.size()}},
            sample_attention(network, source_.example(0))};
  }

 private:
  data::ExampleSource source_;
  int64_t items_;
};

class TextValidator : public Validator {
 public:
  TextValidator(std::shared_ptr<const data::Text> text, int64_t windows)
      : text_(std::move(text)), windows_(windows) {}

  Validation validate(model::GiantRabbit& network) const override {
    const std::string_view part = text_->part(data::Split::validation);
    const auto windows = eval::spread_windows(std::ssize(part), text_->window(), windows_);
    const std::vector<double> bits = eval::character_bits(network, part, windows);
    return {"validation_bits_per_character",
            fmt::format("{:.3f} bits per character", eval::mean(bits)),
            {{"validation_bits_per_character", eval::mean(bits)},
             {"validation_characters", bits.size()},
             {"validation_items", windows.size()}},
            sample_attention(network, {{}, {}, data::byte_ids(part.substr(0, sampled_words))})};
  }

 private:
  std::shared_ptr<const data::Text> text_;
  int64_t windows_;
};

}  // namespace

TrainingData open_training_data(RunConfig& config) {
  const auto seed = static_cast<uint64_t>(config.task.seed);
  const int64_t items = config.train.validation_items;
  if (config.task.is_text()) {
    const auto text = config.task.open_text();
    config.task.text_fingerprint = text->fingerprint();
    return {std::make_unique<data::TextSource>(text, seed), std::make_unique<TextValidator>(text, items)};
  }
  const data::ChainFormat format = data::parse_chain_format(config.task.format);
  return {std::make_unique<data::ExampleSource>(config.task.task, format, data::Split::train, seed),
          std::make_unique<ProblemValidator>(config.task.task, format, items)};
}

}  // namespace giantrabbit::train
