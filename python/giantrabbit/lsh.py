"""Attention with locality-sensitive hashing (Kitaev, Kaiser and Levskaya 2020, "Reformer"): a query scores
only keys that a few rounds of hashing put near it, so that the cost grows as n log n. Vectors and random
rotations in, buckets out; queries, keys, values and buckets in, the attended values out. The row contract is
that of the package."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .attention import Normalizer

_ops = torch.ops.giantrabbit


def lsh_rotations(
    heads: int,
    width: int,
    rounds: int,
    bucket_counts: Sequence[int],
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Standard normal rotations [heads, width, rounds, sum(bucket_counts) / 2] for :func:`lsh_buckets`."""
    return torch.randn(heads, width, rounds, sum(bucket_counts) // 2, generator=generator)


def lsh_buckets(
    vectors: Tensor, rotations: Tensor, bucket_counts: Sequence[int], valid: Tensor | None = None
) -> Tensor:
    """Buckets [B, H, R, N] int64 of vectors [B, H, N, d]: the argmax of [x R, -x R], the smallest in a tie.

    ``rotations`` [H or 1, d, R, sum(bucket_counts) / 2]; ``bucket_counts`` are even, several ones are factors
    of the number of buckets, each hashed with its own part of the rotations. ``valid`` [B, N] bool, False =
    padding, which falls into the last bucket of its round. Hashed in float32 (float64 for float64). Not
    differentiable.
    """
    return _ops.lsh_buckets(vectors, rotations, bucket_counts, valid)


def lsh_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    buckets: Tensor,
    *,
    normalizer: Normalizer = "softmax",
    scale: float | None = None,
    chunk_length: int = 64,
    chunks_before: int = 1,
    chunks_after: int = 0,
    causal: bool = False,
    exclude_self: bool = True,
    valid: Tensor | None = None,
) -> Tensor:
    """Attention over the pairs that hashing found: query, key [B, H, N, d], value [B, H, N, e], buckets [B,
    H, R, N] -> [B, H, N, e] in the query's dtype.

    In every round the positions of a head are sorted by bucket and cut into chunks of ``chunk_length``; a
    query sees its own chunk, ``chunks_before`` and ``chunks_after``. softmax combines the rounds by their
    log-sum-exp as the paper does; sparsemax and entmax15 take every key once. ``causal`` goes by position.
    ``exclude_self``: a query sees itself only where it sees nothing else. ``valid`` [B, N] bool: padding
    (False) is never seen and gives zeros. ``scale``: None = 1/sqrt(d). Differentiable once.
    """
    return _ops.lsh_attention(
        query,
        key,
        value,
        buckets,
        normalizer=normalizer,
        scale=scale,
        chunk_length=chunk_length,
        chunks_before=chunks_before,
        chunks_after=chunks_after,
        causal=causal,
        exclude_self=exclude_self,
        valid=valid,
    )
