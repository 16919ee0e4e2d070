// Counting since the last reset, vectorised: a running sum minus its own value at the latest reset. The
// running sum never falls, so that value is the running maximum of the sum where resets are and 0 elsewhere.
#include "model/signpost.h"

#include <algorithm>

namespace giantrabbit::model {
namespace {

// Sum of `events` [B, T] since the last token with reset = 1; an event on the reset token itself does not
// count.
torch::Tensor since_reset(const torch::Tensor& events, const torch::Tensor& resets) {
  const torch::Tensor total = events.cumsum(1);
  return total - std::get<0>((total * resets).cummax(1));
}

template <typename Field>
torch::Tensor table(const TokenTraits& traits, Field field) {
  torch::Tensor values = torch::empty({traits.size()}, torch::kInt64);
  for (int64_t i = 0; i < traits.size(); ++i) values[i] = static_cast<int64_t>(field(traits.tokens[i]));
  return values;
}

}  // namespace

SignpostImpl::SignpostImpl(const TokenTraits& traits)
    : whole_(table(traits, [](const auto& t) { return t.is_whole; })),
      ends_group_(table(traits, [](const auto& t) { return t.ends_group; })),
      ends_line_(table(traits, [](const auto& t) { return t.ends_line; })),
      ends_row_(table(traits, [](const auto& t) { return t.ends_row; })),
      starts_answer_(table(traits, [](const auto& t) { return t.starts_answer; })),
      row_label_(table(traits, [](const auto& t) { return t.row_label; })) {
  for (torch::Tensor* buffer :
       {&whole_, &ends_group_, &ends_line_, &ends_row_, &starts_answer_, &row_label_}) {
    static constexpr const char* names[] = {"whole",    "ends_group",    "ends_line",
                                            "ends_row", "starts_answer", "row_label"};
    *buffer = register_buffer(names[buffers(false).size()], *buffer);
  }
}

// `counted` [V]: 1 for tokens that move on to the next column.
torch::Tensor SignpostImpl::column(const torch::Tensor& tokens, const torch::Tensor& counted) const {
  return since_reset(counted.index({tokens}), ends_group_.index({tokens})).clamp_max(max_column);
}

Signposts SignpostImpl::prompt(const torch::Tensor& tokens) const {
  const torch::Tensor row = 1 + ends_row_.index({tokens}).cumsum(1);
  return {row.clamp_max(max_row), column(tokens, whole_ + row_label_.gt(0))};
}

Signposts SignpostImpl::decoder(const torch::Tensor& tokens) const {
  const torch::Tensor answer = starts_answer_.index({tokens});
  const torch::Tensor new_line = ends_line_.index({tokens}).logical_or(answer).to(torch::kInt64);
  const torch::Tensor label = row_label_.index({tokens});
  const torch::Tensor is_first =
      since_reset(label.gt(0).to(torch::kInt64), new_line).eq(1).logical_and(label.gt(0));
  const torch::Tensor line_label = since_reset(label * is_first, new_line);
  const torch::Tensor answer_row = 1 + since_reset(ends_row_.index({tokens}), answer);
  const torch::Tensor row = torch::where(answer.cumsum(1).gt(0), answer_row, line_label);
  return {row.clamp_max(max_row), column(tokens, whole_)};
}

SignpostImpl::Place SignpostImpl::decoder_next(SignpostCount& count, int64_t token) const {
  const auto holds = [token](const torch::Tensor& words) {
    return words.const_data_ptr<int64_t>()[token] != 0;
  };
  const int64_t label = row_label_.const_data_ptr<int64_t>()[token];
  const bool answer = holds(starts_answer_);
  count.answered = count.answered || answer;
  count.columns = holds(ends_group_) ? 0 : count.columns + (holds(whole_) ? 1 : 0);
  count.answer_rows = answer ? 0 : count.answer_rows + (holds(ends_row_) ? 1 : 0);
  if (answer || holds(ends_line_)) {
    count.labels_in_line = 0;
    count.line_label = 0;
  } else if (label > 0 && ++count.labels_in_line == 1) {
    count.line_label += label;
  }
  const int64_t row = count.answered ? 1 + count.answer_rows : count.line_label;
  return {std::min(row, max_row), std::min(count.columns, max_column)};
}

}  // namespace giantrabbit::model
