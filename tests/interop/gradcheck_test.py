"""torch.autograd.gradcheck in double on every differentiable call of every operator; second derivatives where
there are some; a clear error, or no gradient at all, everywhere else."""

import pytest
import torch
from torch import Tensor

from operator_cases import Call, name_of, operator_names, small_calls

torch.manual_seed(0)
CALLS = [call for call in small_calls(torch.float64) if call.differentiable()]
TWICE = [call for call in CALLS if not any(x in call.name for x in ("attention", "lsh"))]
# Without a derivative: out= (as LibTorch's own), what autograd itself calls, and results that are not
# functions of the inputs that one could differentiate (buckets, a support).
NOT_DIFFERENTIABLE = {
    *(name for name in operator_names() if name.endswith(".out")),
    "giantrabbit::_lsh_attention_backward",
    "giantrabbit::_lsh_attention_forward",
    "giantrabbit::_sparse_mask_attention_backward",
    "giantrabbit::_sparse_mask_attention_forward",
    "giantrabbit::lsh_buckets",
    "giantrabbit::sparse_mask_attention_support",
}


def _as_function(call: Call) -> tuple[object, tuple[Tensor, ...]]:
    """The call as a function of the tensors that require a gradient."""
    names = [key for key, x in call.kwargs.items() if isinstance(x, Tensor) and x.requires_grad]
    places = [i for i, x in enumerate(call.args) if isinstance(x, Tensor) and x.requires_grad]
    inputs = tuple(call.args[i] for i in places) + tuple(call.kwargs[name] for name in names)

    def function(*tensors: Tensor) -> Tensor:
        args = list(call.args)
        for i, tensor in zip(places, tensors, strict=False):
            args[i] = tensor
        named = dict(zip(names, tensors[len(places) :], strict=True))
        return call.operator(*args, **{**call.kwargs, **named})

    return function, inputs


def test_every_operator_is_covered() -> None:
    assert {name_of(call.operator) for call in CALLS} | NOT_DIFFERENTIABLE == set(operator_names())


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_gradcheck(call: Call) -> None:
    function, inputs = _as_function(call)
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("call", TWICE, ids=lambda call: call.name)
def test_gradgradcheck(call: Call) -> None:
    function, inputs = _as_function(call)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("name", ["attention sparsemax causal 5x7", "lsh sparsemax plain"])
def test_second_derivatives_of_attention_are_refused(name: str) -> None:
    function, inputs = _as_function(next(call for call in CALLS if call.name == name))
    (gradient,) = torch.autograd.grad(function(*inputs).square().sum(), inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="attention.*(once|not implemented)"):
        gradient.sum().backward()


def test_out_refuses_gradients() -> None:
    scores = torch.randn(3, 5, requires_grad=True)
    with pytest.raises(RuntimeError, match="sparsemax.*out=.*automatic differentiation"):
        torch.ops.giantrabbit.sparsemax.out(scores, -1, out=torch.empty(3, 5))


def test_supports_and_buckets_have_no_gradient() -> None:
    inputs = [torch.randn(1, 2, 8, 4, requires_grad=True) for _ in range(3)]
    support = torch.ops.giantrabbit.sparse_mask_attention_support(*inputs)
    buckets = torch.ops.giantrabbit.lsh_buckets(inputs[0], torch.randn(2, 4, 1, 2), [4])
    assert not any(x.requires_grad for x in (*support, buckets))
