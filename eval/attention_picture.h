// One answered problem as a picture: for every written word, how strongly one decoder layer attended to every
// word before it, with the words marked that it was computed from.
#pragma once

#include <string>

#include "data/problem.h"
#include "eval/plot.h"
#include "model/config.h"
#include "model/trace.h"

namespace giantrabbit::eval {

// Of the layer that gives needed words the most weight. Columns: the prompt's words, then the written ones
// but the last. A weight is the largest that any head of the layer gives to a key that stands for the word;
// weights below 1% are left out.
HeatMap attention_picture(const std::string& run, const model::ModelConfig& config, const model::Trace& trace,
                          const data::Words& prompt, const data::Words& output, data::ChainFormat format);

}  // namespace giantrabbit::eval
