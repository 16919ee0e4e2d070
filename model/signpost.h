// Sign-posts: where a token stands, in terms that do not depend on absolute length. Made from token ids
// alone, with tensor operations only, so that training, generation and export see the same numbers.
//   column: whole numbers since the last BOS, ANS, NL, ';' or ':' (the token itself included); in a prompt,
//   which has no other position, row labels count as well: "SUB R3 R2 1" is not "SUB R2 R3 1"
//   row:    in a prompt and behind ANS the number of the row, counted by ';'; inside a chain the row label
//   that the
//           current line names first (R2 in "SUB R2 R1 3 : ..")
#pragma once

#include <torch/torch.h>

#include "model/config.h"

namespace giantrabbit::model {

struct Signposts {
  torch::Tensor row;     // [B, T] int64 in 0 .. max_row
  torch::Tensor column;  // [B, T] int64 in 0 .. max_column
};

// What the sign-posts of a decoder sequence depend on, carried from token to token.
struct SignpostCount {
  int64_t columns = 0;
  int64_t labels_in_line = 0;
  int64_t line_label = 0;
  bool answered = false;
  int64_t answer_rows = 0;
};

class SignpostImpl : public torch::nn::Module {
 public:
  static constexpr int64_t max_row = 15;
  static constexpr int64_t max_column = 31;

  explicit SignpostImpl(const TokenTraits& traits);
  Signposts prompt(const torch::Tensor& tokens) const;  // tokens [B, T]
  Signposts decoder(const torch::Tensor& tokens) const;
  // The same, token by token: the row and column of a sequence's next token, which joins `count`.
  struct Place {
    int64_t row;
    int64_t column;
  };
  Place decoder_next(SignpostCount& count, int64_t token) const;

 private:
  torch::Tensor column(const torch::Tensor& tokens, const torch::Tensor& counted) const;
  torch::Tensor whole_, ends_group_, ends_line_, ends_row_, starts_answer_, row_label_;  // [V] int64
};
TORCH_MODULE(Signpost);

}  // namespace giantrabbit::model
