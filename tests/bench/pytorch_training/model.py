"""The default GiantRabbit model in PyTorch, written as a PyTorch user would write it: the same mathematics as
model/*.cpp, with torch.nn modules, F.scaled_dot_product_attention and boolean masks (True = may be seen).

In: padded prompt and decoder tokens. Out: logits. Weights come from training_bench's file under the C++ names.
Where a plain formulation saves work it is used: the word table is made once per step, and the memory is joined
without moving padding, which attention does not notice."""

import torch
import torch.nn.functional as F
from torch import nn

HEADS = 4
MAX_ROW = 15
MAX_COLUMN = 31
PAD = 0


def split_heads(x, parts):
    return [part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in x.chunk(parts, -1)]


def merge_heads(x):
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x, mask=None):
        query, key, value = split_heads(self.qkv(x), 3)
        heads = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        return self.out(merge_heads(heads))


class CrossAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x, memory, mask):
        (query,) = split_heads(self.query(x), 1)
        key, value = split_heads(self.key_value(memory), 2)
        return self.out(merge_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=mask)))


class FeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.into = nn.Linear(width, hidden, bias=False)
        self.out_of = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.out_of(F.relu(self.into(x)).square())


class EncoderLayer(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width)
        self.feed_forward = FeedForward(width, hidden)

    def forward(self, x, mask):
        x = x + self.attention(self.attention_norm(x), mask)
        return x + self.feed_forward(self.feed_forward_norm(x))


class CrossLayer(nn.Module):
    """Decoder layer and thought step: self-attention (causal without a mask), cross-attention, feed-forward."""

    def __init__(self, width, hidden):
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.cross_norm = nn.LayerNorm(width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.self_attention = SelfAttention(width)
        self.cross_attention = CrossAttention(width)
        self.feed_forward = FeedForward(width, hidden)

    def forward(self, x, memory, memory_mask, mask=None):
        x = x + self.self_attention(self.self_norm(x), mask)
        x = x + self.cross_attention(self.cross_norm(x), memory, memory_mask)
        return x + self.feed_forward(self.feed_forward_norm(x))


def since_reset(events, resets):
    total = events.cumsum(1)
    return total - (total * resets).cummax(1).values


class Signpost(nn.Module):
    TABLES = ("whole", "ends_group", "ends_line", "ends_row", "starts_answer", "row_label")

    def __init__(self, vocabulary):
        super().__init__()
        for name in self.TABLES:
            self.register_buffer(name, torch.zeros(vocabulary, dtype=torch.int64))

    def column(self, tokens):
        return since_reset(self.whole[tokens], self.ends_group[tokens]).clamp_max(MAX_COLUMN)

    def prompt(self, tokens):
        return (1 + self.ends_row[tokens].cumsum(1)).clamp_max(MAX_ROW), self.column(tokens)

    def decoder(self, tokens):
        answer = self.starts_answer[tokens]
        new_line = (self.ends_line[tokens] | answer).ne(0).long()
        label = self.row_label[tokens]
        is_first = since_reset((label > 0).long(), new_line).eq(1) & (label > 0)
        line_label = since_reset(label * is_first, new_line)
        answer_row = 1 + since_reset(self.ends_row[tokens], answer)
        row = torch.where(answer.cumsum(1) > 0, answer_row, line_label)
        return row.clamp_max(MAX_ROW), self.column(tokens)


class Embedding(nn.Module):
    def __init__(self, vocabulary, width, features, positions):
        super().__init__()
        self.words = nn.Parameter(torch.empty(vocabulary, width))
        self.number_projection = nn.Parameter(torch.empty(features, width))
        self.decoder_positions = nn.Parameter(torch.empty(positions, width))
        self.rows = nn.Parameter(torch.empty(MAX_ROW + 1, width))
        self.columns = nn.Parameter(torch.empty(MAX_COLUMN + 1, width))
        self.register_buffer("number_features", torch.zeros(vocabulary, features))
        self.signpost = Signpost(vocabulary)

    def table(self):
        return torch.addmm(self.words, self.number_features, self.number_projection)

    def place(self, x, signposts):
        row, column = signposts
        return x + F.embedding(row, self.rows) + F.embedding(column, self.columns)

    def prompt(self, tokens, table):
        return self.place(F.embedding(tokens, table), self.signpost.prompt(tokens))

    def decoder(self, tokens, table):
        x = F.embedding(tokens, table) + self.decoder_positions[: tokens.size(1)]
        return self.place(x, self.signpost.decoder(tokens))


class Encoder(nn.Module):
    def __init__(self, width, hidden, layers):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(width, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width)


class ChainOfThought(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.step = CrossLayer(width, hidden)
        self.norm = nn.LayerNorm(width)


class Decoder(nn.Module):
    def __init__(self, width, hidden, layers):
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(width, hidden) for _ in range(layers))


class OutputHead(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)


class GiantRabbit(nn.Module):
    def __init__(self, vocabulary, features, positions, width=128, hidden=512, encoder_layers=1, decoder_layers=3,
                 thought_steps=2):
        super().__init__()
        self.thought_steps = thought_steps
        self.embedding = Embedding(vocabulary, width, features, positions)
        self.encoder = Encoder(width, hidden, encoder_layers)
        self.chain_of_thought = ChainOfThought(width, hidden)
        self.decoder = Decoder(width, hidden, decoder_layers)
        self.output_head = OutputHead(width)

    def forward(self, prompt, prompt_lengths, decoder_input):
        table = self.embedding.table()
        mask = (torch.arange(prompt.size(1)) < prompt_lengths.unsqueeze(1))[:, None, None, :]
        x = self.embedding.prompt(prompt, table)
        for layer in self.encoder.layers:
            x = layer(x, mask)
        encoded = self.encoder.norm(x)
        thought = encoded
        for _ in range(self.thought_steps):
            thought = self.chain_of_thought.step(thought, encoded, mask, mask)
        memory = torch.cat([encoded, self.chain_of_thought.norm(thought)], 1)
        memory_mask = torch.cat([mask, mask], -1)
        x = self.embedding.decoder(decoder_input, table)
        for layer in self.decoder.layers:
            x = layer(x, memory, memory_mask)
        return F.linear(self.output_head.norm(x), table)

    def hidden_matrices(self):
        return [p for name, p in self.named_parameters() if p.dim() == 2 and not name.startswith("embedding.")]


def torch_name(name):
    """The name in this file of a weight's C++ name."""
    if name.startswith("embedding."):
        return name
    if name.endswith((".gain", ".offset")):
        return name.replace(".gain", ".weight").replace(".offset", ".bias")
    return name + ".weight"


def from_state(state):
    words = state["embedding.number_features"]
    model = GiantRabbit(words.size(0), words.size(1), state["embedding.decoder_positions"].size(0))
    model.load_state_dict({torch_name(name): tensor for name, tensor in state.items()})
    return model
