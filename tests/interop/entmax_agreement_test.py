"""Agreement with the Python package entmax on random, tied, masked and huge rows, forward and backward.

The package in double is the oracle: its float32 finds tau of entmax15 through differences of mean squares,
which costs it half of the digits where scores are tied. Our float64 must agree to 1e-12, a few rounding
errors of sums of up to 200 terms; our float32 to 1e-6, some ten units in the last place of a weight near
1."""

import entmax
import giantrabbit
import pytest
import torch
from torch import Tensor

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
PAIRS = {
    "sparsemax": (giantrabbit.sparsemax, entmax.sparsemax),
    "entmax15": (giantrabbit.entmax15, entmax.entmax15),
}
LOSSES = {
    "sparsemax": (giantrabbit.sparsemax_loss, entmax.losses.sparsemax_loss),
    "entmax15": (giantrabbit.entmax15_loss, entmax.losses.entmax15_loss),
}


def _masked(scores: Tensor) -> Tensor:
    hidden = torch.rand(scores.shape) < 0.6
    hidden[:, 0] = False
    return scores.masked_fill(hidden, -torch.inf)


ROWS = {
    "random": lambda: torch.randn(64, 200),
    "narrow": lambda: torch.randn(64, 200) * 0.01,
    "short": lambda: torch.randn(64, 3),
    "single": lambda: torch.randn(64, 1),
    "tied": lambda: torch.randint(-2, 3, (64, 50)).float(),
    "equal": lambda: torch.full((4, 30), 0.3),
    "masked": lambda: _masked(torch.randn(64, 50)),
    "masked tied": lambda: _masked(torch.randint(-1, 2, (64, 50)).float()),
    "huge": lambda: torch.randn(64, 50) * 1e6,
    "huge tied": lambda: torch.randint(-2, 3, (64, 50)) * 1e30,
    "far": lambda: torch.randn(64, 50).round(decimals=2) + 4096,
}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("normalizer", PAIRS)
def test_weights_and_gradients(normalizer: str, rows: str, dtype: torch.dtype) -> None:
    ours, theirs = PAIRS[normalizer]
    scores = ROWS[rows]().to(dtype).requires_grad_()
    oracle = scores.detach().double().requires_grad_()
    outer = torch.randn(scores.shape, dtype=dtype)
    weights, expected = ours(scores), theirs(oracle, dim=-1)
    (gradient,) = torch.autograd.grad(weights, scores, outer)
    (expected_gradient,) = torch.autograd.grad(expected, oracle, outer.double())
    difference = (weights - expected).abs().max().item(), (gradient - expected_gradient).abs().max().item()
    print(f"largest difference of weights {difference[0]:.1e}, of gradients {difference[1]:.1e}")
    assert difference[0] <= TOLERANCE[dtype]
    # Gradients are differences of numbers of size up to 4 or so.
    assert difference[1] <= 4 * TOLERANCE[dtype]


@pytest.mark.parametrize("normalizer", PAIRS)
def test_other_dimensions(normalizer: str) -> None:
    ours, theirs = PAIRS[normalizer]
    scores = torch.randn(3, 17, 5, dtype=torch.double)
    for dim in (0, 1, -1):
        assert torch.allclose(ours(scores, dim), theirs(scores, dim=dim), rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalizer", PAIRS)
def test_rows_without_permitted_entries(normalizer: str) -> None:
    """Zeros and zero gradient here; the package refuses the whole tensor for them."""
    ours, theirs = PAIRS[normalizer]
    scores = torch.randn(3, 6)
    scores[1] = -torch.inf
    with pytest.raises(RuntimeError, match="out of bounds"):
        theirs(scores, dim=-1)
    scores.requires_grad_()
    weights = ours(scores)
    (gradient,) = torch.autograd.grad(weights, scores, torch.randn(3, 6))
    assert torch.equal(weights[1], torch.zeros(6)) and torch.equal(gradient[1], torch.zeros(6))
    assert torch.allclose(weights[[0, 2]], theirs(scores[[0, 2]], dim=-1), atol=1e-6)


@pytest.mark.parametrize("normalizer", LOSSES)
def test_losses(normalizer: str) -> None:
    ours, theirs = LOSSES[normalizer]
    logits = torch.randn(64, 20, dtype=torch.double, requires_grad=True)
    target = torch.randint(20, (64,))
    loss, expected = ours(logits, target), theirs(logits, target)
    outer = torch.rand(64, dtype=torch.double)
    (gradient,) = torch.autograd.grad(loss, logits, outer)
    (expected_gradient,) = torch.autograd.grad(expected, logits, outer)
    assert torch.allclose(loss, expected, rtol=0, atol=1e-12)
    assert torch.allclose(gradient, expected_gradient, rtol=0, atol=1e-12)
