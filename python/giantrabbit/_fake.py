"""Shapes of the results that depend on the values, for tracing (torch.compile, torch.export, opcheck): in,
calls with fake tensors; out, results of the right dtypes, with symbols for the sizes that only the values
tell.

All other operators have their shapes in the library itself, which can say a symbol of an input but not make a
new one. What applies where follows ops/cpu/exact/forward.cpp (``_keeps_support``) and room_for_weights() of
ops/cpu/attention_forward.cpp; tests/interop compares the two.
"""

import torch
from torch import SymInt, Tensor

_ops = torch.ops.giantrabbit
_FEWEST_KEYS = 128
_WIDEST_HEAD = 16384
_BLOCK_QUERIES = 96
_MOST_KEYS_KEPT = 128
_COLUMN_PADDING = 16


def _unknown_size() -> SymInt:
    return torch.library.get_ctx().new_dynamic_size()


def _accumulation(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _keeps_support(query: Tensor, key: Tensor, value: Tensor, call: dict[str, object]) -> bool:
    return (
        call.get("normalizer", "sparsemax") != "softmax"
        and call.get("bias") is None
        and query.dtype != torch.float64
        and query.shape[3] <= _WIDEST_HEAD
        and key.shape[2] >= _FEWEST_KEYS
        and query.numel() > 0
        and value.shape[3] > 0
    )


def _attention_forward(
    query: Tensor, key: Tensor, value: Tensor, **call: object
) -> tuple[Tensor, list[Tensor]]:
    output = _ops.sparse_mask_attention(query, key, value, **call)
    batch, heads, queries, _ = query.shape
    if not _keeps_support(query, key, value, call):
        keys = key.shape[2]
        if keys > _MOST_KEYS_KEPT:
            return output, []
        columns = (keys + _COLUMN_PADDING - 1) // _COLUMN_PADDING * _COLUMN_PADDING
        return output, [query.new_empty(batch, heads, queries, columns, dtype=_accumulation(query.dtype))]
    nonzeros = _unknown_size()
    kept = [
        query.new_empty(batch * heads * queries + 1, dtype=torch.int64),  # row offsets
        query.new_empty(nonzeros, dtype=torch.int32),  # key indices
        query.new_empty(nonzeros, dtype=torch.float32),  # weights
        query.new_empty(batch, heads, (queries - 1) // _BLOCK_QUERIES + 1, dtype=torch.int64),  # wide blocks
        query.new_empty(
            _unknown_size(), _BLOCK_QUERIES, _unknown_size(), dtype=torch.float32
        ),  # and their weights
    ]
    return output, kept


def _attention_support(
    query: Tensor, key: Tensor, value: Tensor, **call: object
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    output = _ops.sparse_mask_attention(query, key, value, **call)
    batch, heads, queries, _ = query.shape
    nonzeros = _unknown_size()
    return (
        output,
        query.new_empty(batch * heads * queries + 1, dtype=torch.int64),
        query.new_empty(nonzeros, dtype=torch.int64),
        query.new_empty(nonzeros, dtype=_accumulation(query.dtype)),
        query.new_empty(batch, heads, 6, dtype=torch.int64),
    )


def _lsh_forward(
    query: Tensor, key: Tensor, value: Tensor, buckets: Tensor, **call: object
) -> tuple[Tensor, list[Tensor]]:
    output = _ops.lsh_attention(query, key, value, buckets, **call)
    batch, heads, length, _ = query.shape
    dtype = _accumulation(query.dtype)
    order = torch.empty_like(buckets, memory_format=torch.contiguous_format)
    if call.get("normalizer", "softmax") == "softmax":
        log_sums = query.new_empty(batch, heads, length, dtype=dtype)
        return output, [order, log_sums, query.new_empty(output.shape, dtype=dtype)]
    nonzeros = _unknown_size()
    row_offsets = query.new_empty(batch * heads * length + 1, dtype=torch.int64)
    key_indices = query.new_empty(nonzeros, dtype=torch.int32)
    return output, [order, row_offsets, key_indices, query.new_empty(nonzeros, dtype=dtype)]


torch.library.register_fake("giantrabbit::_sparse_mask_attention_forward", _attention_forward)
torch.library.register_fake("giantrabbit::sparse_mask_attention_support", _attention_support)
torch.library.register_fake("giantrabbit::_lsh_attention_forward", _lsh_forward)
