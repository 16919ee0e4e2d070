"""sparsemax and entmax-1.5 over one dimension, the losses that belong to them, and squared ReLU: floating
tensors (float32, float64, bfloat16, float16) in, tensors of the same shape and dtype out. Differentiable
twice. Sums and thresholds are float32 or better. The row contract is that of the package."""

import torch
from torch import Tensor

_ops = torch.ops.giantrabbit


def sparsemax(scores: Tensor, dim: int = -1) -> Tensor:
    """argmin over p in the simplex of |p - scores|^2 along ``dim``: p_j = max(scores_j - tau, 0) with sum 1.

    Sparse counterpart of softmax (Martins and Astudillo 2016). Under autocast 16-bit scores are computed and
    returned in float32. Raises IndexError for a ``dim`` out of range.
    """
    return _ops.sparsemax(scores, dim)


def entmax15(scores: Tensor, dim: int = -1) -> Tensor:
    """p_j = max(scores_j / 2 - tau, 0)^2 with sum 1 along ``dim``: between softmax and sparsemax.

    alpha-entmax with alpha = 1.5 (Peters, Niculae and Martins 2019). Otherwise as :func:`sparsemax`.
    """
    return _ops.entmax15(scores, dim)


def sparsemax_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The loss that belongs to sparsemax as cross-entropy belongs to softmax.

    A Fenchel-Young loss (Blondel, Martins and Niculae 2020). ``logits`` [.., V], ``target`` [..] int64 class
    numbers in [0, V); the result [..] holds one loss per row (float32 for 16-bit logits) and is 0 exactly
    where the weights put everything on the target. A target of -100 gives loss 0 and gradient 0. A target
    whose logit is -inf, beside permitted ones, gives +inf.
    """
    return _ops.sparsemax_loss(logits, target)


def entmax15_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The loss that belongs to entmax-1.5; otherwise as :func:`sparsemax_loss`."""
    return _ops.entmax15_loss(logits, target)


def squared_relu(x: Tensor) -> Tensor:
    """max(x, 0)^2 (So et al. 2021), in one pass over memory each way. NaN stays NaN."""
    return _ops.squared_relu(x)
