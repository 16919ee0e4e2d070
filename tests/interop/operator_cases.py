"""Calls of every operator of the library, for checks that go over all of them: in, a dtype; out, named calls.
What is differentiated requires a gradient; backward operators get plain tensors, as autograd calls them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

_ops = torch.ops.giantrabbit
NORMALIZERS = ("softmax", "sparsemax", "entmax15")


@dataclass(frozen=True)
class Call:
    name: str
    operator: OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def differentiable(self) -> bool:
        return any(isinstance(x, Tensor) and x.requires_grad for x in (*self.args, *self.kwargs.values()))


def operator_names() -> list[str]:
    return sorted(x for x in torch._C._dispatch_get_all_op_names() if x.startswith("giantrabbit::"))


def name_of(operator: OpOverload) -> str:
    overload = operator._overloadname
    return operator._schema.name + ("" if overload == "default" else f".{overload}")


def _row_calls(dtype: torch.dtype) -> Iterator[Call]:
    def rows(*shape: int, grad: bool = True) -> Tensor:
        return torch.randn(shape, dtype=dtype).requires_grad_(grad)

    dense = torch.softmax(
        rows(3, 5, grad=False), -1
    )  # weights without zeros: the derivative stops at the support
    for name in ("sparsemax", "entmax15"):
        forward, backward = getattr(_ops, name), getattr(_ops, f"_{name}_backward")
        yield Call(name, forward.default, (rows(3, 5),))
        yield Call(f"{name} inner dim", forward.default, (rows(3, 5, 2), 1))
        yield Call(f"{name} strided", forward.default, (rows(5, 3).t(), -1))
        yield Call(f"{name} empty", forward.default, (rows(0, 5),))
        yield Call(
            f"{name} out", forward.out, (rows(3, 5, grad=False), -1), {"out": torch.empty(3, 5, dtype=dtype)}
        )
        yield Call(f"{name} backward", backward.default, (rows(3, 5), dense.clone().requires_grad_(), -1))
        out = {"out": torch.empty(3, 5, dtype=dtype)}
        yield Call(f"{name} backward out", backward.out, (rows(3, 5, grad=False), dense, -1), out)
        yield Call(
            f"{name} loss", getattr(_ops, f"{name}_loss").default, (rows(3, 5), torch.tensor([1, -100, 4]))
        )
    if dtype.itemsize >= 4:  # 16-bit logits are widened before
        weights, target = dense.clone().requires_grad_(), torch.tensor([1, -100, 4])
        yield Call("loss backward", _ops._sparsemax_loss_backward.default, (rows(3), weights, target))
    yield Call("squared_relu", _ops.squared_relu.default, (rows(3, 5),))
    yield Call("squared_relu backward", _ops._squared_relu_backward.default, (rows(3, 5), rows(3, 5)))


MASKS = ("all", "causal", "window", "lengths", "causal window lengths", "lists", "blocks", "blocks causal")


def masks(queries: int, keys: int) -> dict[str, dict[str, Any]]:
    """Every kind of mask for two sequences of four heads, as the operator's arguments."""
    permitted = torch.rand(2, 4, queries, keys) < 0.5
    permitted[0, 1, 2] = False  # a row without any key
    counts = permitted.sum(-1)
    ends = counts.flatten().cumsum(0).view_as(counts)
    per_head = {
        "row_offsets": torch.cat([(ends - counts)[..., :1], ends], -1),
        "key_indices": permitted.nonzero()[:, -1].contiguous(),
    }
    shared = {"row_offsets": torch.tensor([0, 1, 3, 4]), "key_indices": torch.tensor([0, 0, 1, 1])}
    blocks = {**shared, "block_rows": -(-queries // 3), "block_columns": -(-keys // 2)}
    return {
        "all": {},
        "causal": {"causal": True},
        "window": {"window": 3},
        "lengths": {"key_lengths": torch.tensor([keys, 2])},
        "causal window lengths": {"causal": True, "window": 4, "key_lengths": torch.tensor([keys - 1, 0])},
        "lists": per_head,
        "blocks": blocks,
        "blocks causal": {**blocks, "causal": True},
    }


def _attention_inputs(dtype: torch.dtype, queries: int, keys: int) -> tuple[Tensor, Tensor, Tensor]:
    """Grouped heads, a transposed query, values of another width."""
    query = torch.randn(2, queries, 4, 8, dtype=dtype).transpose(1, 2).requires_grad_()
    key = torch.randn(2, 2, keys, 8, dtype=dtype).requires_grad_()
    value = torch.randn(2, 2, keys, 3, dtype=dtype).requires_grad_()
    return query, key, value


def _attention_calls(
    dtype: torch.dtype, queries: int, keys: int, kinds: tuple[str, ...] = MASKS
) -> Iterator[Call]:
    bias = torch.randn(2, 1, queries, keys, dtype=dtype).requires_grad_()
    for normalizer in NORMALIZERS:
        for kind in kinds:
            mask = masks(queries, keys)[kind]
            name = f"attention {normalizer} {kind} {queries}x{keys}"
            call = {**mask, "normalizer": normalizer, "scale": 0.7}
            inputs = _attention_inputs(dtype, queries, keys)
            plain = tuple(x.detach() for x in inputs)
            yield Call(name, _ops.sparse_mask_attention.default, inputs, call)
            if kind not in ("all", "causal window lengths", "lists", "blocks causal"):
                continue  # the others read masks through the same arguments
            yield Call(f"{name} support", _ops.sparse_mask_attention_support.default, plain, call)
            yield Call(f"{name} forward", _ops._sparse_mask_attention_forward.default, plain, call)
            _, saved = _ops._sparse_mask_attention_forward(*plain, **call)
            grad = torch.randn(2, 4, queries, 3, dtype=dtype)
            for kept, needed in ((saved, [True, True, True, False]), ([], [False, True, False, False])):
                backward = {**call, "saved": kept, "needed": needed}
                yield Call(
                    f"{name} backward {len(kept)}",
                    _ops._sparse_mask_attention_backward.default,
                    (grad, *plain),
                    backward,
                )
        with_bias = {"normalizer": normalizer, "bias": bias, "causal": True}
        inputs = _attention_inputs(dtype, queries, keys)
        name = f"attention {normalizer} bias {queries}x{keys}"
        yield Call(name, _ops.sparse_mask_attention.default, inputs, with_bias)
        plain_bias = {**with_bias, "bias": bias.detach(), "saved": [], "needed": [True] * 4}
        arguments = (torch.randn(2, 4, queries, 3, dtype=dtype), *(x.detach() for x in inputs))
        yield Call(f"{name} backward", _ops._sparse_mask_attention_backward.default, arguments, plain_bias)


def _drop_in_calls(dtype: torch.dtype) -> Iterator[Call]:
    for name in ("sparsemax_attention", "entmax15_attention"):
        operator = getattr(_ops, name).default
        for queries, keys in ((5, 7), (7, 5)):
            inputs = _attention_inputs(dtype, queries, keys)
            grouped = {"enable_gqa": True}
            yield Call(f"{name} {queries}x{keys}", operator, inputs, grouped)
            yield Call(f"{name} {queries}x{keys} causal", operator, (*inputs, None, True), grouped)
            seen = torch.rand(queries, keys) < 0.7
            yield Call(f"{name} {queries}x{keys} bool", operator, (*inputs, seen), grouped)
            bias = torch.randn(4, queries, keys, dtype=dtype).requires_grad_()
            yield Call(f"{name} {queries}x{keys} bias", operator, (*inputs, bias), {**grouped, "scale": 0.5})
        matrices = tuple(torch.randn(6, 4, dtype=dtype).requires_grad_() for _ in range(3))
        yield Call(f"{name} matrices", operator, matrices)


def _lsh_calls(dtype: torch.dtype) -> Iterator[Call]:
    for normalizer in NORMALIZERS:
        query, key, value = (
            torch.randn(2, 2, 10, width, dtype=dtype).requires_grad_() for width in (4, 4, 5)
        )
        valid = torch.rand(2, 10) < 0.8
        hashing = (query.detach(), torch.randn(2, 4, 3, 5, dtype=dtype), [4, 6])
        yield Call(f"buckets {normalizer}", _ops.lsh_buckets.default, hashing)
        yield Call(f"buckets {normalizer} valid", _ops.lsh_buckets.default, hashing, {"valid": valid})
        buckets = _ops.lsh_buckets(*hashing, valid=valid)
        for name, pattern in {
            "plain": {},
            "causal": {"causal": True, "chunks_after": 1},
            "valid": {"valid": valid, "exclude_self": False, "scale": 0.6},
        }.items():
            call = {**pattern, "normalizer": normalizer, "chunk_length": 4}
            plain = tuple(x.detach() for x in (query, key, value))
            yield Call(
                f"lsh {normalizer} {name}", _ops.lsh_attention.default, (query, key, value, buckets), call
            )
            yield Call(
                f"lsh {normalizer} {name} forward",
                _ops._lsh_attention_forward.default,
                (*plain, buckets),
                call,
            )
            _, saved = _ops._lsh_attention_forward(*plain, buckets, **call)
            arguments = (torch.randn(2, 2, 10, 5, dtype=dtype), *plain, buckets)
            for kept in (saved, []):
                backward = {**call, "saved": kept, "needed": [True, False, True]}
                yield Call(
                    f"lsh {normalizer} {name} backward {len(kept)}",
                    _ops._lsh_attention_backward.default,
                    arguments,
                    backward,
                )


def small_calls(dtype: torch.dtype) -> Iterator[Call]:
    """Small enough for numerical gradients."""
    yield from _row_calls(dtype)
    yield from _attention_calls(dtype, 5, 7)
    yield from _drop_in_calls(dtype)
    yield from _lsh_calls(dtype)


def calls(dtype: torch.dtype) -> Iterator[Call]:
    """The small ones and, in its dtypes, calls of the path that skips scores (from 128 keys on)."""
    yield from small_calls(dtype)
    if dtype != torch.float64:
        yield from _attention_calls(dtype, 3, 127, ("all",))
        yield from _attention_calls(dtype, 3, 128, ("all",))
        yield from _attention_calls(dtype, 100, 200, ("causal window lengths", "lists"))
