// A judged output for people: one line per step with its check mark or the reason it is wrong, then the
// answer.
#pragma once

#include <functional>
#include <string>

#include "eval/evaluator.h"

namespace giantrabbit::eval {

std::string check_mark(bool right);

// `beside` adds a column to the words [begin, end) of the output, for example their time; may be empty.
using BesideStep = std::function<std::string(int begin, int end)>;
std::string chain_text(const Judged& item, data::ChainFormat format, const BesideStep& beside = {});

}  // namespace giantrabbit::eval
