// What several modules of the script use; see sources.h.
#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const functions = R"py(
# Keys that share their vectors with the queries.
def shared_keys(query: Tensor) -> Tensor:
    return query * (query.square().mean([-1], True) + 1e-6).rsqrt()

def split_heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, [config.heads, config.head_width]).transpose(1, 2)

def merge_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)

# Rows `index` [B, K] of states [B, N, D].
def take_rows(states: Tensor, index: Tensor) -> Tensor:
    return states.gather(1, index.unsqueeze(-1).expand([-1, -1, states.size(2)]))

# Valid states of `first`, then those of `second`, per sequence.
def concatenate(
        first: Tensor, first_lengths: Tensor, second: Tensor,
        second_lengths: Tensor) -> Tuple[Tensor, Tensor]:
    room = first.size(1) + second.size(1)
    slot = torch.arange(room, device=first.device).unsqueeze(0)
    in_second = (slot - first_lengths.unsqueeze(1) + first.size(1)).clamp_max(room - 1)
    index = torch.where(slot < first_lengths.unsqueeze(1), slot, in_second)
    return take_rows(torch.cat([first, second], 1), index), first_lengths + second_lengths

# 1 at the `kept` entries of largest magnitude along the last dimension.
def keep_largest(x: Tensor, kept: int) -> Tensor:
    largest = x.detach().abs().topk(kept, -1, True, False)[1]
    return torch.zeros_like(x).scatter(-1, largest, 1.0)

# Rotary positions [M] or [B, M] turn pairs of entries of x [B, H, M, d].
def rotate(x: Tensor, positions: Tensor) -> Tensor:
    half = config.head_width // 2
    rates = torch.exp(torch.arange(half, device=x.device) * config.rotary_rate)
    angles = positions.to(float32).unsqueeze(-1) * rates
    if positions.dim() == 2:
        angles = angles.unsqueeze(1)
    cosine = angles.cos()
    sine = angles.sin()
    first = x.narrow(-1, 0, half)
    second = x.narrow(-1, half, half)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)

# Sum of events [B, T] since the last token with reset = 1.
def since_reset(events: Tensor, resets: Tensor) -> Tensor:
    total = events.cumsum(1)
    if total.size(1) > 0:
        total = total - (total * resets).cummax(1)[0]
    return total

# Puts one token per sequence, key and value [B, H, 1, d], behind its lengths[b] earlier ones.
def remember(cache: List[Tensor], key: Tensor, value: Tensor, lengths: Tensor, longest: int):
    if longest == cache[0].size(2):
        more = max(longest, 16)
        cache[0] = torch.constant_pad_nd(cache[0], [0, 0, 0, more])
        cache[1] = torch.constant_pad_nd(cache[1], [0, 0, 0, more])
    slot = lengths.view([-1, 1, 1, 1]).expand([-1, key.size(1), 1, key.size(3)])
    cache[0].scatter_(2, slot, key.detach())
    cache[1].scatter_(2, slot, value.detach())

# One query per sequence and the first lengths[b] keys of a cache, the last `window` of them only unless it is 0.
def attend_remembered(query: Tensor, cache: List[Tensor], lengths: Tensor, longest: int, window: int) -> Tensor:
    key = cache[0].narrow(2, 0, longest)
    value = cache[1].narrow(2, 0, longest)
    if window == 0:
        return attend(query, key, value, lengths, False, 0)
    column = torch.arange(longest, device=query.device)
    last = lengths.view([-1, 1, 1, 1])
    hidden = (column >= last).logical_or(column < last - window)
    bias = torch.zeros([query.size(0), 1, 1, longest], dtype=query.dtype, device=query.device)
    return attend_biased(query, key, value, bias.masked_fill(hidden, -infinity))
)py";

}  // namespace giantrabbit::model::script
