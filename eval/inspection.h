// One answered problem for people: for every thought step and every written step what each head attended to,
// word by word, and for written steps what they needed and how much of it the heads' supports held.
#pragma once

#include <string>

#include "eval/evaluator.h"
#include "eval/need_match.h"
#include "model/config.h"
#include "model/trace.h"

namespace giantrabbit::eval {

struct InspectionOptions {
  double mass = default_support_mass;  // see eval/need_match.h
  bool each_word = false;              // every written word and every thought by itself, not only whole steps
};

// `trace` is what the network recorded while the item's output was forced through it.
std::string inspection_text(const model::ModelConfig& config, const model::Trace& trace, const Judged& item,
                            data::ChainFormat format, const InspectionOptions& options);

// The name of every word's place: "R2.3" is row 2, value 3 of the prompt, "p4" another word of the prompt
// (from 0), "2:5" the fifth word of the second written line.
class PlaceNames {
 public:
  PlaceNames(const data::Words& prompt, const data::Words& output);
  std::string operator()(const Place& place) const;  // "3@R2.1": the word and where it stands

 private:
  std::vector<std::string> prompt_, output_;
};

}  // namespace giantrabbit::eval
