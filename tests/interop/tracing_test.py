"""torch.compile, torch.export and autocast: operators and the module give the results and gradients of plain
calls, one graph serves many lengths, nothing falls out of the graph."""

import shutil
from collections.abc import Callable

import giantrabbit
import pytest
import torch
import torch._dynamo.testing
from giantrabbit import SparseMask, SparsemaxAttention
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

BACKENDS = [
    "aot_eager",
    pytest.param("inductor", marks=pytest.mark.skipif(not shutil.which("g++"), reason="no g++")),
]


def _attention(x: Tensor) -> Tensor:
    heads = x.unflatten(-1, (4, 8)).transpose(1, 2)
    return giantrabbit.sparse_mask_attention(heads, heads * 0.5, heads + 1, SparseMask(causal=True))


def _with_bias(x: Tensor) -> Tensor:
    heads = x.unflatten(-1, (4, 8)).transpose(1, 2)
    return giantrabbit.sparse_mask_attention(
        heads, heads, heads + 1, bias=x.mean(-1)[:, None, None, :], normalizer="softmax"
    )


def _drop_in(x: Tensor) -> Tensor:
    heads = x.unflatten(-1, (4, 8)).transpose(1, 2)
    return giantrabbit.sparsemax_attention(heads, heads[:, :2], heads[:, 2:], is_causal=True, enable_gqa=True)


def _hashed(x: Tensor) -> Tensor:
    heads = x.unflatten(-1, (4, 8)).transpose(1, 2)
    rotations = torch.linspace(-1, 1, 4 * 8 * 2 * 3).sin().view(4, 8, 2, 3)
    buckets = giantrabbit.lsh_buckets(heads.detach(), rotations, [6])
    return giantrabbit.lsh_attention(heads, heads, heads + 1, buckets, normalizer="sparsemax", chunk_length=8)


def _rows(x: Tensor) -> Tensor:
    weights = giantrabbit.sparsemax(x) + giantrabbit.entmax15(x, 1)
    target = torch.zeros(x.shape[:2], dtype=torch.long)
    return (
        giantrabbit.squared_relu(x).sum()
        + weights.square().sum()
        + giantrabbit.sparsemax_loss(x, target).sum()
    )


FUNCTIONS = [_attention, _with_bias, _drop_in, _hashed, _rows]


def _results(function: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    output = function(x)
    return [output, *torch.autograd.grad(output.square().sum(), x)]


def _assert_close(ours: list[Tensor], expected: list[Tensor]) -> None:
    """The same kernels on the same numbers; inductor may order torch's own sums differently."""
    for a, b in zip(ours, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__[1:])
def test_compiled_functions(function: Callable[[Tensor], Tensor], backend: str) -> None:
    torch.compiler.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend(backend)
    compiled = torch.compile(function, backend=counter, fullgraph=True, dynamic=True)
    for length in (20, 33, 57, 130, 200):
        x = torch.randn(2, length, 32)
        _assert_close(_results(compiled, x), _results(function, x))
    # Inductor cuts torch's own sums by their size and may guard that once; ours do not depend on it.
    assert counter.frame_count <= (1 if backend == "aot_eager" else 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_supports_have_symbolic_sizes(backend: str) -> None:
    torch.compiler.reset()

    def count(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        support = giantrabbit.sparse_mask_attention_support(query, key, value)
        return support.output, support.weights * 2

    compiled = torch.compile(count, backend=backend, fullgraph=True)
    for _ in range(2):
        given = [torch.randn(1, 2, 150, 8) for _ in range(3)]
        _assert_close(list(compiled(*given)), list(count(*given)))


def test_compiled_out() -> None:
    torch.compiler.reset()

    def into(scores: Tensor, out: Tensor) -> Tensor:
        torch.ops.giantrabbit.sparsemax.out(scores, -1, out=out)
        return out + 1

    scores, out = torch.randn(3, 5), torch.empty(3, 5)
    result = torch.compile(into, backend="aot_eager", fullgraph=True)(scores, out)
    assert torch.equal(out, giantrabbit.sparsemax(scores)) and torch.equal(result, out + 1)


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = SparsemaxAttention(32, 4, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        attended, _ = self.attention(x, x, x, key_padding_mask=padding, need_weights=False, is_causal=True)
        return self.head(x + attended)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("padded", [False, True])
def test_compiled_module_trains(padded: bool, backend: str) -> None:
    torch.compiler.reset()
    model = _Model()
    compiled = torch.compile(model, backend=backend, fullgraph=True, dynamic=True)
    for length in (140, 150):
        x = torch.randn(3, length, 32)
        padding = torch.arange(length) >= torch.tensor([[length], [100], [7]]) if padded else None
        gradients = []
        for forward in (model, compiled):
            model.zero_grad()
            forward(x, padding).square().mean().backward()
            gradients.append([p.grad.clone() for p in model.parameters()])
        _assert_close(*gradients)


def test_exported_module() -> None:
    model = _Model().eval()
    shapes = {"x": {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}, "padding": None}
    program = torch.export.export(model, (torch.randn(2, 20, 32), None), dynamic_shapes=shapes)
    operators = {str(node.target) for node in program.graph.nodes}
    assert "giantrabbit.sparse_mask_attention.default" in operators
    for batch, length in ((2, 20), (5, 31), (3, 200)):
        x = torch.randn(batch, length, 32)
        _assert_close([program.module()(x, None)], [model(x, None)])


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax", "entmax15"])
def test_autocast(normalizer: str) -> None:
    query, key, value = (torch.randn(2, 4, 140, 16, requires_grad=True) for _ in range(3))
    plain = giantrabbit.sparse_mask_attention(query, key, value, normalizer=normalizer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = giantrabbit.sparse_mask_attention(query, key, value, normalizer=normalizer)
        weights = giantrabbit.sparsemax(query.bfloat16())
        loss = giantrabbit.entmax15_loss(query.bfloat16(), torch.zeros(2, 4, 140, dtype=torch.long))
    assert cast.dtype == torch.bfloat16 and weights.dtype == torch.float32 and loss.dtype == torch.float32
    # Inputs and result have 8 bits: scores of size 1 are off by 2^-8 or so, weights and results likewise.
    assert torch.allclose(cast.float(), plain, rtol=0, atol=0.05)
    cast.float().sum().backward()
    assert all(
        x.grad is not None and x.grad.dtype == torch.float32 and x.grad.isfinite().all()
        for x in (query, key, value)
    )


def test_autocast_of_a_device_that_is_not_here() -> None:
    """Tensors without data stand for those of a GPU: the rules look at the device, not at the numbers."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.float16)
    try:
        with FakeTensorMode():
            rows = torch.empty(2, 4, 140, 16, device="cuda")
            labels = torch.zeros(2, 4, 140, dtype=torch.long, device="cuda")
            attended = giantrabbit.sparse_mask_attention(rows, rows, rows, normalizer="sparsemax")
            weights = giantrabbit.sparsemax(rows.half())
            loss = giantrabbit.entmax15_loss(rows.half(), labels)
            doubles = giantrabbit.sparsemax(rows.double())
            here = giantrabbit.sparse_mask_attention(*[torch.empty(2, 4, 140, 16)] * 3)
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.clear_autocast_cache()
    assert attended.device.type == "cuda" and attended.dtype == torch.float16
    assert weights.dtype == torch.float32 and loss.dtype == torch.float32 and doubles.dtype == torch.float64
    assert here.dtype == torch.float32  # a tensor of another device is left alone


def test_module_under_autocast() -> None:
    model = _Model()
    x = torch.randn(2, 140, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(x)
    output.float().square().mean().backward()
    assert output.dtype == torch.bfloat16
    # Two products of width 32 and one attention in 8 bits of mantissa.
    assert torch.allclose(output.float(), model(x), rtol=0, atol=0.1)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
