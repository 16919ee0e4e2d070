// TorchScript of GiantRabbit: the methods that an export offers (script_module.h).
#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const giant_rabbit = R"py(
# Words of every prompt: what stands behind the last one that is not the pad word is padding.
def prompt_lengths(self, prompt: Tensor) -> Tensor:
    places = torch.arange(1, prompt.size(1) + 1, device=prompt.device)
    if prompt.size(1) == 0:
        return torch.zeros([prompt.size(0)], dtype=int64, device=prompt.device)
    return ((prompt != self.pad).to(int64) * places).amax([1])

# Prompt [B, N] -> states [B, K, D] and their lengths [B].
def encode(self, prompt: Tensor) -> Tuple[Tensor, Tensor]:
    lengths = self.prompt_lengths(prompt)
    states = self.embedding.prompt(self.embedding.input_table(), prompt)
    if config.pause:
        pauses = torch.full_like(lengths, self.pause.size(0))
        states, lengths = concatenate(states, lengths, self.pause.expand([prompt.size(0), -1, -1]), pauses)
    if config.encoder:
        states = self.encoder.forward(states, lengths)
    return states, lengths

# What encode() gave -> all thought states R_0 .. R_T and their lengths; R_0 alone in models without thoughts.
def think(self, states: Tensor, lengths: Tensor) -> Tuple[List[Tensor], List[Tensor]]:
    if config.thoughts:
        thoughts, thought_lengths = self.chain_of_thought.thoughts(states, lengths)
    else:
        thoughts = [states]
        thought_lengths = [lengths]
    return thoughts, thought_lengths

# What encode() gave -> what the decoder attends to.
def memory(self, states: Tensor, lengths: Tensor) -> Tuple[Tensor, Tensor]:
    if config.thoughts:
        thoughts, thought_lengths = self.chain_of_thought.forward(states, lengths)
        if config.encoder:
            states, lengths = concatenate(states, lengths, thoughts, thought_lengths)
        else:
            states = thoughts
            lengths = thought_lengths
    return states, lengths

# Prompt [B, N] and decoder tokens [B, U] (BOS, then what was written) -> logits [B, U, V]; row u is about the
# token behind decoder_tokens[u].
def forward(self, prompt: Tensor, decoder_tokens: Tensor) -> Tensor:
    encoded, lengths = self.encode(prompt)
    memory, memory_lengths = self.memory(encoded, lengths)
    words = self.embedding.input_table()
    if config.encoder:
        first = torch.zeros([1, 1], dtype=int64, device=prompt.device)
        written = self.embedding.decoder(words, decoder_tokens, first)
        hidden = self.decoder.forward(written, None, memory, memory_lengths)[0]
    else:
        # The prompt is the decoder's prefix: hidden states of the tokens only.
        first = lengths.unsqueeze(1)
        count = decoder_tokens.size(1)
        written = self.embedding.decoder(words, decoder_tokens, first)
        together, ends = concatenate(encoded, lengths, written, torch.full_like(lengths, count))
        states = self.decoder.forward(together, None, memory, memory_lengths)[0]
        hidden = take_rows(states, first + torch.arange(count, device=prompt.device))
    return self.output_head.forward(hidden, self.embedding.table())

# Most tokens that fit into the position table behind a prompt.
def output_limit(self, lengths: Tensor, max_tokens: int) -> int:
    if config.endless:
        return max_tokens
    room = config.max_positions
    if config.prefix:
        if lengths.numel() > 0:
            room = room - int(lengths.max())
    return max(0, min(max_tokens, room))

# The most likely words, one after the other, until every sequence has written EOS or max_tokens words:
# [B, most written], the pad word behind EOS. Does not depend on the other prompts of the batch.
def generate(self, prompt: Tensor, max_tokens: int) -> Tensor:
    encoded, lengths = self.encode(prompt)
    memory, memory_lengths = self.memory(encoded, lengths)
    limit = self.output_limit(lengths, max_tokens)
    words = self.embedding.input_table()
    table = self.embedding.table()
    if config.encoder:
        encoded = encoded.narrow(1, 0, 0)
        lengths = torch.zeros_like(lengths)
    hidden, caches = self.decoder.forward(encoded, lengths, memory, memory_lengths)
    longest = encoded.size(1)
    first = lengths.unsqueeze(1)
    rows = torch.arange(prompt.size(0), device=prompt.device)
    history = torch.full([prompt.size(0), 1], self.bos, dtype=int64, device=prompt.device)
    columns: List[Tensor] = []
    while len(columns) < limit and rows.numel() > 0:
        x = self.embedding.decoder_last(words, history, first)
        x = self.decoder.step(x, caches, lengths, longest, memory_lengths)
        best = self.output_head.forward(x.squeeze(1), table).argmax(-1)
        column = torch.full([prompt.size(0)], self.pad, dtype=int64, device=prompt.device)
        columns.append(column.index_copy(0, rows, best))
        lengths = lengths + 1
        longest = longest + 1
        history = torch.cat([history, best.unsqueeze(1)], 1)
        going = best != self.eos
        if not bool(going.all()):
            # Finished sequences leave.
            kept = going.nonzero().squeeze(1)
            rows = rows.index_select(0, kept)
            lengths = lengths.index_select(0, kept)
            first = first.index_select(0, kept)
            history = history.index_select(0, kept)
            memory_lengths = memory_lengths.index_select(0, kept)
            for cache in caches:
                for i in range(len(cache)):
                    cache[i] = cache[i].index_select(0, kept)
    if len(columns) == 0:
        return torch.zeros([prompt.size(0), 0], dtype=int64, device=prompt.device)
    return torch.stack(columns, 1)
)py";

}  // namespace giantrabbit::model::script
