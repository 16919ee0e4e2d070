// The functions of custom_operators.cpp by LibTorch's own operators: masks written out, sparsemax and
// entmax-1.5 by sorting (ops/reference/sparsemax.cpp), hashing by counting which chunks two positions share
// (ops/reference/lsh_attention.cpp). Cost and memory grow as queries times keys.
#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const plain_operators = R"py(
def squared_relu(x: Tensor) -> Tensor:
    return torch.relu(x).square()

def softmax(scores: Tensor) -> Tensor:
    empty = scores.detach().isneginf().all(-1, True)
    return scores.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0)

def sparsemax_tau(y: Tensor) -> Tensor:
    ordered = y.sort(-1, True)[0]
    ranks = torch.arange(1, y.size(-1) + 1, dtype=y.dtype, device=y.device)
    members = (ordered * ranks + 1) > ordered.cumsum(-1)
    count = members.sum([-1], True).clamp_min(1)
    return (ordered.masked_fill(members.logical_not(), 0.0).sum([-1], True) - 1) / count

def entmax15_tau(y: Tensor) -> Tensor:
    ordered = y.sort(-1, True)[0]
    ranks = torch.arange(1, y.size(-1) + 1, dtype=y.dtype, device=y.device)
    head_mean = ordered.cumsum(-1) / ranks
    head_spread = ordered.square().cumsum(-1) - ranks * head_mean.square()
    head_tau = head_mean - ((1 - head_spread) / ranks).clamp_min(0).sqrt()
    members = (ordered > head_tau).detach()
    count = members.sum([-1], True).clamp_min(1)
    mean = ordered.masked_fill(members.logical_not(), 0.0).sum([-1], True) / count
    spread = (torch.where(members, ordered, mean) - mean).square().sum([-1], True)
    return mean - ((1 - spread) / count).sqrt()

# Rows of scores to weights: rows without a permitted entry give zeros, rows with NaN or +inf give NaN.
def normalize(scores: Tensor) -> Tensor:
    if config.softmax:
        weights = softmax(scores)
    elif scores.numel() == 0:
        weights = scores
    else:
        maximum = scores.detach().amax([-1], True)
        y = scores - maximum.masked_fill(maximum.isfinite().logical_not(), 0.0)
        if config.sparsemax:
            tau = sparsemax_tau(y)
            weights = torch.where(y > tau, y, tau) - tau
        else:
            tau = entmax15_tau(y / 2)
            weights = (torch.where(y / 2 > tau, y / 2, tau) - tau).square()
        weights = weights.masked_fill((maximum < infinity).logical_not(), nan)
    return weights

def scores_of(query: Tensor, key: Tensor) -> Tensor:
    return torch.matmul(query, key.transpose(-2, -1)) * config.scale

# [B or 1, 1, M, N]; the last query stands at the last key.
def permitted(
        query: Tensor, key: Tensor, key_lengths: Optional[Tensor], causal: bool, window: int) -> Tensor:
    column = torch.arange(key.size(2), device=query.device)
    diagonal = torch.arange(query.size(2), device=query.device).unsqueeze(1) + (key.size(2) - query.size(2))
    mask = torch.ones([1, 1, query.size(2), key.size(2)], dtype=boolean, device=query.device)
    if causal:
        mask = mask.logical_and(column <= diagonal)
    if window > 0:
        mask = mask.logical_and((column - diagonal).abs() < window)
    if key_lengths is not None:
        mask = mask.logical_and(column < key_lengths.view([-1, 1, 1, 1]))
    return mask

# window: 0 = all.
def attend(
        query: Tensor, key: Tensor, value: Tensor, key_lengths: Optional[Tensor], causal: bool,
        window: int) -> Tensor:
    forbidden = permitted(query, key, key_lengths, causal, window).logical_not()
    return torch.matmul(normalize(scores_of(query, key).masked_fill(forbidden, -infinity)), value)

# bias, broadcastable to [B, H, M, N], joins the scaled scores; -inf = not permitted.
def attend_biased(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    return torch.matmul(normalize(scores_of(query, key) + bias), value)

# Attention that every key receives from queries that are no padding, [B, N].
def received_mass(query: Tensor, key: Tensor, lengths: Tensor, window: int) -> Tensor:
    forbidden = permitted(query, key, lengths, False, window).logical_not()
    weights = normalize(scores_of(query, key).masked_fill(forbidden, -infinity))
    padding = torch.arange(query.size(2), device=query.device) >= lengths.unsqueeze(1)
    return weights.masked_fill(padding.view([-1, 1, query.size(2), 1]), 0.0).sum([1, 2])

# How often the rounds bring a key to the queries from `first` on, [B, H, N - first, N] whole numbers as floats: both
# stand in one chunk, or the key in the one before; the chunks of all rounds stand in one circle.
def lsh_counts(query: Tensor, rotations: Tensor, first: int) -> Tensor:
    rotated = torch.einsum("bhnd,hdrk->bhrnk", [query, rotations])
    buckets = torch.cat([rotated, -rotated], -1).argmax(-1)
    order = torch.argsort(buckets, stable=True, dim=-1)
    place = torch.argsort(order, stable=True, dim=-1)
    rounds = buckets.size(2)
    per_round = (query.size(2) + config.lsh_chunk - 1) // config.lsh_chunk
    round = torch.arange(rounds, device=query.device).view([1, 1, rounds, 1])
    chunk = (round * per_round + torch.div(place, config.lsh_chunk, rounding_mode="floor")).transpose(2, 3)
    shape = [query.size(0), query.size(1), query.size(2), rounds * per_round]
    stands = torch.zeros(shape, dtype=query.dtype, device=query.device).scatter(-1, chunk, 1.0)
    seen = stands
    if rounds * per_round > 1:
        seen = stands + stands.roll([1], [-1])
    return torch.matmul(stands[:, :, first:], seen.transpose(-2, -1))

# Queries that are keys, too, find earlier ones by hashing: the results of the queries from `first` on.
def lsh_attend(query: Tensor, value: Tensor, rotations: Tensor, first: int) -> Tensor:
    if query.size(2) == 0:
        return value
    counts = lsh_counts(query.detach(), rotations, first)
    others = (counts > 0).tril(first - 1)
    itself = torch.eye(query.size(2), dtype=boolean, device=query.device)[first:]
    visible = others.logical_or(others.any(-1, True).logical_not().logical_and(itself))
    bias = torch.zeros_like(counts)
    if config.softmax:
        bias = counts.clamp_min(1).log().masked_fill(itself, 0.0)
    bias = bias.masked_fill(visible.logical_not(), -infinity)
    return attend_biased(query[:, :, first:], shared_keys(query), value, bias)
)py";

}  // namespace giantrabbit::model::script
