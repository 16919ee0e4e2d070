// Attention and squared ReLU by the operators of ops/; see sources.h. Loading needs giantrabbit_ops.
#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const custom_operators = R"py(
def squared_relu(x: Tensor) -> Tensor:
    return ops.giantrabbit.squared_relu(x)

# window: 0 = all.
def attend(
        query: Tensor, key: Tensor, value: Tensor, key_lengths: Optional[Tensor], causal: bool,
        window: int) -> Tensor:
    limit: Optional[int] = None
    if window > 0:
        limit = window
    return ops.giantrabbit.sparse_mask_attention(
        query, key, value, normalizer=config.normalizer, scale=config.scale, causal=causal, window=limit,
        key_lengths=key_lengths)

# bias, broadcastable to [B, H, M, N], joins the scaled scores; -inf = not permitted.
def attend_biased(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    return ops.giantrabbit.sparse_mask_attention(
        query, key, value, normalizer=config.normalizer, scale=config.scale, bias=bias)

# Attention that every key receives from queries that are no padding, [B, N].
def received_mass(query: Tensor, key: Tensor, lengths: Tensor, window: int) -> Tensor:
    limit: Optional[int] = None
    if window > 0:
        limit = window
    output, row_offsets, key_indices, weights, counters = ops.giantrabbit.sparse_mask_attention_support(
        query, key, key, normalizer=config.normalizer, scale=config.scale, window=limit, key_lengths=lengths)
    row = torch.repeat_interleave(row_offsets.diff())
    sequence = torch.div(row, query.size(1) * query.size(2), rounding_mode="floor")
    padding = torch.remainder(row, query.size(2)) >= lengths.index_select(0, sequence)
    mass = torch.zeros([query.size(0) * key.size(2)], dtype=weights.dtype, device=weights.device)
    mass = mass.index_add(0, sequence * key.size(2) + key_indices, weights.masked_fill(padding, 0))
    return mass.view([query.size(0), key.size(2)])

# Queries that are keys, too, find earlier ones by hashing: the results of the queries from `first` on.
def lsh_attend(query: Tensor, value: Tensor, rotations: Tensor, first: int) -> Tensor:
    buckets = ops.giantrabbit.lsh_buckets(query, rotations, [2 * rotations.size(3)])
    heads = ops.giantrabbit.lsh_attention(
        query, shared_keys(query), value, buckets, normalizer=config.normalizer, scale=config.scale,
        chunk_length=config.lsh_chunk, causal=True)
    return heads[:, :, first:]
)py";

}  // namespace giantrabbit::model::script
