"""Exact sparse attention for PyTorch: sparsemax and entmax-1.5 operators with gradients, on the CPU.

Row contract of everything here: a score of -inf is not permitted and gets weight exactly 0; a row without any
permitted entry gives zeros and zero gradient; NaN or +inf in a row gives NaN in that row only; equal scores
get equal weights. Results have the same bits for any number of threads. Errors are RuntimeError (IndexError
for a dimension out of range) and name the operator, what it expected and what came.

The operators themselves are ``torch.ops.giantrabbit.*``; they work with autograd, autocast and torch.compile.
"""

from ._library import load_operators

load_operators()

from .attention import (  # noqa: E402  the operators have to be there first
    AttentionSupport,
    Normalizer,
    SparseMask,
    entmax15_attention,
    sparse_mask_attention,
    sparse_mask_attention_support,
    sparsemax_attention,
)
from .lsh import lsh_attention, lsh_buckets, lsh_rotations  # noqa: E402
from .module import SparsemaxAttention  # noqa: E402
from .rows import entmax15, entmax15_loss, sparsemax, sparsemax_loss, squared_relu  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "AttentionSupport",
    "Normalizer",
    "SparseMask",
    "SparsemaxAttention",
    "entmax15",
    "entmax15_attention",
    "entmax15_loss",
    "lsh_attention",
    "lsh_buckets",
    "lsh_rotations",
    "sparse_mask_attention",
    "sparse_mask_attention_support",
    "sparsemax",
    "sparsemax_attention",
    "sparsemax_loss",
    "squared_relu",
]
