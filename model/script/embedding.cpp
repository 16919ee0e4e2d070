// TorchScript of Embedding and Signpost; see sources.h. `words` is input_table(): callers compute it once.
#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const signpost = R"py(
def column(self, tokens: Tensor, counted: Tensor) -> Tensor:
    return since_reset(counted[tokens], self.ends_group[tokens]).clamp_max(config.max_column)

def prompt(self, tokens: Tensor) -> Tuple[Tensor, Tensor]:
    row = 1 + self.ends_row[tokens].cumsum(1)
    return row.clamp_max(config.max_row), self.column(tokens, self.whole + (self.row_label > 0).to(int64))

def decoder(self, tokens: Tensor) -> Tuple[Tensor, Tensor]:
    answer = self.starts_answer[tokens]
    new_line = self.ends_line[tokens].logical_or(answer).to(int64)
    label = self.row_label[tokens]
    is_first = (since_reset((label > 0).to(int64), new_line) == 1).logical_and(label > 0)
    line_label = since_reset(label * is_first.to(int64), new_line)
    answer_row = 1 + since_reset(self.ends_row[tokens], answer)
    row = torch.where(answer.cumsum(1) > 0, answer_row, line_label)
    return row.clamp_max(config.max_row), self.column(tokens, self.whole)
)py";

const char* const embedding = R"py(
def table(self) -> Tensor:
    vectors = self.words
    if config.number_features:
        vectors = vectors + torch.mm(self.number_features, self.number_projection)
    return vectors

def input_table(self) -> Tensor:
    vectors = self.table()
    if config.random_keep:
        vectors = vectors * self.random_keep
    elif config.largest_keep:
        vectors = vectors * keep_largest(vectors, config.kept_features)
    return vectors

def sinusoid(self, positions: Tensor) -> Tensor:
    rates = torch.exp(torch.arange(0, config.width, 2, device=positions.device) * config.sinusoid_rate)
    angles = positions.to(float32).unsqueeze(-1) * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2).narrow(-1, 0, config.width)

def look_up(self, table: Tensor, positions: Tensor) -> Tensor:
    if positions.numel() > 0:
        assert int(positions.max()) < config.max_positions, "embedding: a position is outside the table; raise model.max_positions"
    return torch.embedding(table, positions)

def prompt(self, words: Tensor, tokens: Tensor) -> Tensor:
    x = torch.embedding(words, tokens)
    positions = torch.arange(tokens.size(1), device=tokens.device)
    if config.sinusoidal:
        x = x + self.sinusoid(positions)
    elif config.axial:
        x = x + self.look_up((self.rows.unsqueeze(1) + self.columns).flatten(0, 1), positions)
    elif config.learned_prompt:
        x = x + self.look_up(self.prompt_positions, positions)
    elif config.learned_prefix:
        x = x + self.look_up(self.decoder_positions, positions)
    elif config.signpost:
        row, column = self.signpost.prompt(tokens)
        x = x + torch.embedding(self.rows, row) + torch.embedding(self.columns, column)
    return x

# x of the last columns of `history`, whose positions are given; history [B, t] are all decoder tokens so far.
def place(self, x: Tensor, history: Tensor, positions: Tensor) -> Tensor:
    if config.sinusoidal:
        x = x + self.sinusoid(positions)
    elif config.axial:
        x = x + self.look_up((self.rows.unsqueeze(1) + self.columns).flatten(0, 1), positions)
    elif config.learned_decoder:
        x = x + self.look_up(self.decoder_positions, positions)
    if config.signpost:
        row, column = self.signpost.decoder(history)
        earlier = history.size(1) - x.size(1)
        x = x + torch.embedding(self.rows, row.narrow(1, earlier, x.size(1)))
        x = x + torch.embedding(self.columns, column.narrow(1, earlier, x.size(1)))
    return x

# first [B or 1, 1]: position of the first token.
def decoder(self, words: Tensor, tokens: Tensor, first: Tensor) -> Tensor:
    positions = first + torch.arange(tokens.size(1), device=tokens.device)
    return self.place(torch.embedding(words, tokens), tokens, positions)

def decoder_last(self, words: Tensor, history: Tensor, first: Tensor) -> Tensor:
    last = history.size(1) - 1
    return self.place(torch.embedding(words, history.narrow(1, last, 1)), history, first + last)
)py";

}  // namespace giantrabbit::model::script
