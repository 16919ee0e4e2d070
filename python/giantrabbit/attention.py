"""Attention over the keys that a mask permits: query, key and value in, the attended values out. Exact:
sparsemax and entmax-1.5 skip only what provably has weight 0. The row contract is that of the package; a key
with weight exactly 0 contributes nothing, so NaN or infinity in it stays out of the result and of the
gradients."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

_ops = torch.ops.giantrabbit

Normalizer = Literal["softmax", "sparsemax", "entmax15"]


@dataclass(frozen=True, eq=False)
class SparseMask:
    """Which keys each of M queries may see of N keys: those that every rule permits that is set.

    causal: query i sees keys 0 .. i + (N - M), aligned to the end of the keys as a decoder with a cache
        needs.
    window: query i sees only keys j with abs(j - (i + N - M)) < window; at least 1.
    key_lengths: [B] int64, sequence b has its first key_lengths[b] keys only.
    row_offsets, key_indices: compressed rows. Row r, a block of ``block_rows`` queries, permits the blocks of
        ``block_columns`` keys key_indices[row_offsets[r]:row_offsets[r + 1]], which rise strictly. int64;
        row_offsets is [R + 1] (for all batches and heads), [B, R + 1] or [B, H, R + 1] and counts into the
        one key_indices [n]; R = ceil(M / block_rows).
    """

    causal: bool = False
    window: int | None = None
    key_lengths: Tensor | None = None
    row_offsets: Tensor | None = None
    key_indices: Tensor | None = None
    block_rows: int = 1
    block_columns: int = 1

    @staticmethod
    def from_dense(permitted: Tensor) -> "SparseMask":
        """Compressed rows from a bool tensor [M, N], [B, M, N] or [B, H, M, N], True = may see."""
        if permitted.dtype != torch.bool or not 2 <= permitted.dim() <= 4:
            raise ValueError(
                "SparseMask.from_dense: expected bool [M, N], [B, M, N] or [B, H, M, N], got "
                f"{permitted.dtype} {list(permitted.shape)}"
            )
        counts = permitted.sum(-1)
        ends = counts.flatten().cumsum(0).view_as(counts)
        if counts.shape[-1] == 0:
            row_offsets = counts.new_zeros(*counts.shape[:-1], 1)
        else:
            row_offsets = torch.cat([(ends - counts)[..., :1], ends], -1)
        return SparseMask(row_offsets=row_offsets, key_indices=permitted.nonzero()[:, -1].contiguous())

    def _arguments(self) -> dict[str, Any]:
        return {
            "causal": self.causal,
            "window": self.window,
            "key_lengths": self.key_lengths,
            "row_offsets": self.row_offsets,
            "key_indices": self.key_indices,
            "block_rows": self.block_rows,
            "block_columns": self.block_columns,
        }


_EVERYTHING = SparseMask()


def sparse_mask_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: SparseMask = _EVERYTHING,
    *,
    normalizer: Normalizer = "sparsemax",
    scale: float | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """out[i] = sum_j normalizer(scale * query[i].key[permitted] + bias[i])_j value[j].

    query [B, H, M, d], key [B, G, N, d], value [B, G, N, e] with H a multiple of G (grouped heads) -> [B, H,
    M, e] in the query's dtype. Any lengths (M != N too, and 0), widths and strides; one dtype of float32,
    float64, bfloat16 and float16, accumulated in float32 or better. ``scale``: None = 1/sqrt(d). ``bias``:
    floating, broadcastable to [B, H, M, N], -inf = not permitted; with one every score is computed.
    Differentiable once, in all four tensors; nothing of size M x N is kept for that (the gradient of ``bias``
    is of that size).
    """
    return _ops.sparse_mask_attention(
        query, key, value, normalizer=normalizer, scale=scale, bias=bias, **mask._arguments()
    )


class AttentionSupport(NamedTuple):
    """A result with its nonzero weights in compressed rows. Row r = (b * H + h) * M + i has the keys
    key_indices[row_offsets[r]:row_offsets[r + 1]], rising, with their weights beside them."""

    output: Tensor  # [B, H, M, e]
    row_offsets: Tensor  # [B * H * M + 1] int64
    key_indices: Tensor  # [nonzeros] int64
    weights: Tensor  # [nonzeros] float32, or float64 for float64 inputs
    # [B, H, 6] int64, pairs of query and key: scored in low precision, scored again in float32, with a
    # weight, never looked at, scored by the dense path; last, the bytes of codes, keys and values read.
    counters: Tensor

    def dense_weights(self, keys: int) -> Tensor:
        """The weights as [B, H, M, keys], zeros where the support has nothing."""
        batch, heads, queries, _ = self.output.shape
        dense = self.weights.new_zeros(batch * heads * queries, keys)
        rows = torch.arange(len(dense)).repeat_interleave(self.row_offsets.diff())
        dense[rows, self.key_indices] = self.weights
        return dense.view(batch, heads, queries, keys)


def sparse_mask_attention_support(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: SparseMask = _EVERYTHING,
    *,
    normalizer: Normalizer = "sparsemax",
    scale: float | None = None,
) -> AttentionSupport:
    """As :func:`sparse_mask_attention`, with the support beside the result. For softmax the support is every
    permitted key. Not differentiable."""
    return AttentionSupport(
        *_ops.sparse_mask_attention_support(
            query, key, value, normalizer=normalizer, scale=scale, **mask._arguments()
        )
    )


def sparsemax_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """sparsemax in the place of softmax, with the arguments of
    ``torch.nn.functional.scaled_dot_product_attention``.

    query [.., H, M, d], key [.., G, N, d], value [.., G, N, e] with 2 to 4 dimensions -> [.., H, M, e].
    ``attn_mask``: bool (True = may see) or floating (added to the scores), broadcastable to [.., H, M, N];
    with one every score is computed. ``is_causal`` aligns to the first key and excludes ``attn_mask``.
    ``enable_gqa`` permits H to be a multiple of G. Differentiable once, also with respect to a floating
    ``attn_mask``.
    """
    return _ops.sparsemax_attention(
        query, key, value, attn_mask, is_causal, scale=scale, enable_gqa=enable_gqa
    )


def entmax15_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """entmax-1.5 in the place of softmax; otherwise as :func:`sparsemax_attention`."""
    return _ops.entmax15_attention(
        query, key, value, attn_mask, is_causal, scale=scale, enable_gqa=enable_gqa
    )
