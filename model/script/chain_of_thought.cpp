// TorchScript of ChainOfThought and ThoughtStep; see sources.h.
#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const thought_step = R"py(
def forward(
        self, x: Tensor, lengths: Tensor, memory: Tensor, memory_lengths: Tensor, positions: Tensor) -> Tensor:
    attended, key, value = self.self_attention.forward(self.self_norm.forward(x), lengths, False, positions)
    x = x + attended
    normed = self.cross_norm.forward(x)
    looked_up, memory_key, memory_value = self.cross_attention.forward(normed, memory, memory_lengths)
    x = x + looked_up
    return x + self.feed_forward.forward(self.feed_forward_norm.forward(x))

def received_mass(self, x: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
    return self.self_attention.received_mass(self.self_norm.forward(x), lengths, positions)
)py";

const char* const chain_of_thought = R"py(
def of_positions(self, table: Tensor, tokens: int) -> Tensor:
    assert tokens <= table.size(0), "chain_of_thought: the mask knows fewer positions; raise model.max_positions"
    return table.narrow(0, 0, tokens)

def mask_features(self, states: Tensor, t: int) -> Tensor:
    if config.static_features:
        kept = self.static_features
    elif config.random_features:
        kept = self.of_positions(self.random_features[t], states.size(1))
    else:
        kept = keep_largest(states, config.kept_features)
    return states * kept

def drop_tokens(self, states: Tensor, lengths: Tensor, importance: Tensor) -> Tuple[Tensor, Tensor]:
    tokens = states.size(1)
    padding = torch.arange(tokens, device=states.device).unsqueeze(0) >= lengths.unsqueeze(1)
    # ceil(a n), where a product that is whole but for rounding counts as whole.
    kept = torch.ceil((lengths.to(float64) * config.keep_fraction) * (1 - 1e-12)).to(int64)
    room = int(kept.max())
    worth = importance.masked_fill(padding, -infinity)
    ranked = worth.sort(stable=True, dim=-1, descending=True)[1].narrow(1, 0, room)
    unused = torch.arange(room, device=states.device).unsqueeze(0) >= kept.unsqueeze(1)
    in_order = ranked.masked_fill(unused, tokens).sort(1)[0].clamp_max(tokens - 1)
    return take_rows(states, in_order), kept

# mass: attention that the tokens received in the step before.
def mask_tokens(self, states: Tensor, lengths: Tensor, t: int, mass: Tensor) -> Tuple[Tensor, Tensor]:
    tokens = states.size(1)
    importance = mass
    if config.recent_tokens:
        importance = torch.arange(tokens, dtype=float64, device=states.device).expand([states.size(0), -1])
    elif config.random_tokens:
        importance = self.of_positions(self.random_importance[t], tokens).expand([states.size(0), -1])
    elif config.static_tokens:
        importance = self.of_positions(self.static_importance, tokens).expand([states.size(0), -1])
    if config.static_tokens:
        drops = t == 0
    else:
        drops = t > 0
    if drops:
        states, lengths = self.drop_tokens(states, lengths, importance)
    return states, lengths

# R_0 .. R_T and their lengths.
def thoughts(self, memory: Tensor, memory_lengths: Tensor) -> Tuple[List[Tensor], List[Tensor]]:
    state = memory
    lengths = memory_lengths
    states = [state]
    all_lengths = [lengths]
    mass = torch.zeros([0])
    for t in range(config.thought_steps):
        if config.masked_features:
            state = self.mask_features(state, t)
        if config.masked_tokens:
            state, lengths = self.mask_tokens(state, lengths, t, mass)
        positions = torch.arange(state.size(1), device=state.device)
        if config.masked_by_mass:
            mass = self.step.received_mass(state, lengths, positions)
        state = self.step.forward(state, lengths, memory, memory_lengths, positions)
        states.append(state)
        all_lengths.append(lengths)
    return states, all_lengths

# The final thoughts, normalised.
def forward(self, memory: Tensor, memory_lengths: Tensor) -> Tuple[Tensor, Tensor]:
    states, lengths = self.thoughts(memory, memory_lengths)
    return self.norm.forward(states[-1]), lengths[-1]
)py";

}  // namespace giantrabbit::model::script
