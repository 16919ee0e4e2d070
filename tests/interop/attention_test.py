"""sparse_mask_attention and its relatives against a plain definition written with torch's own operators:
every mask, normalizer and dtype, cross-attention, grouped heads, supports, the drop-in forms, LSH attention,
errors."""

from typing import Any

import giantrabbit
import pytest
import torch
from giantrabbit import SparseMask
from torch import Tensor
from torch.nn import functional as F

from operator_cases import MASKS, NORMALIZERS, masks

# The scores of a row are sums of d products in another order: 1e-5 is some hundred roundings of numbers near
# 1.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
NORMALIZE = {
    "softmax": lambda x: torch.softmax(x, -1).nan_to_num(0.0),  # NaN: nothing permitted
    "sparsemax": giantrabbit.sparsemax,
    "entmax15": giantrabbit.entmax15,
}


def permitted(mask: SparseMask, batch: int, heads: int, queries: int, keys: int) -> Tensor:
    """The rules of a mask written out, [B, H, M, N] bool."""
    key = torch.arange(keys)
    diagonal = torch.arange(queries)[:, None] + keys - queries
    seen = torch.ones(batch, heads, queries, keys, dtype=torch.bool)
    if mask.causal:
        seen &= key <= diagonal
    if mask.window is not None:
        seen &= (key - diagonal).abs() < mask.window
    if mask.key_lengths is not None:
        seen &= key < mask.key_lengths[:, None, None, None]
    if mask.row_offsets is not None:
        offsets = (
            mask.row_offsets.expand(batch, heads, -1)
            if mask.row_offsets.dim() != 2
            else mask.row_offsets[:, None]
        )
        offsets = offsets.expand(batch, heads, -1)
        listed = torch.zeros_like(seen)
        for b in range(batch):
            for h in range(heads):
                for i in range(queries):
                    row = i // mask.block_rows
                    for block in mask.key_indices[offsets[b, h, row] : offsets[b, h, row + 1]].tolist():
                        listed[b, h, i, block * mask.block_columns : (block + 1) * mask.block_columns] = True
        seen &= listed
    return seen


def defined(query: Tensor, key: Tensor, value: Tensor, seen: Tensor, normalizer: str, scale: float) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = (query @ key.transpose(-1, -2) * scale).masked_fill(~seen, -torch.inf)
    return NORMALIZE[normalizer](scores) @ value


def inputs(dtype: torch.dtype, queries: int, keys: int) -> list[Tensor]:
    shapes = ((2, 4, queries, 8), (2, 2, keys, 8), (2, 2, keys, 5))
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("keys", [7, 150])  # from 128 keys on scores are skipped
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_against_the_definition(normalizer: str, kind: str, keys: int, dtype: torch.dtype) -> None:
    queries = 9
    mask = SparseMask(**masks(queries, keys)[kind])
    seen = permitted(mask, 2, 4, queries, keys)
    given = inputs(dtype, queries, keys)
    output = giantrabbit.sparse_mask_attention(*given, mask, normalizer=normalizer, scale=0.8)
    expected = defined(*given, seen, normalizer, 0.8)
    assert torch.allclose(output, expected, rtol=0, atol=TOLERANCE[dtype])
    if normalizer != "softmax":  # torch's own gradient of a softmax row without permitted keys is NaN
        outer = torch.randn_like(output)
        gradients = torch.autograd.grad(output, given, outer), torch.autograd.grad(expected, given, outer)
        for ours, theirs in zip(*gradients, strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=5 * TOLERANCE[dtype])
    support = giantrabbit.sparse_mask_attention_support(*given, mask, normalizer=normalizer, scale=0.8)
    weights = support.dense_weights(keys)
    assert torch.allclose(support.output, output, rtol=0, atol=TOLERANCE[dtype])
    assert not weights[~seen].any()
    assert torch.allclose(weights @ given[2].repeat_interleave(2, 1), expected, rtol=0, atol=TOLERANCE[dtype])
    assert torch.allclose(weights.sum(-1), seen.any(-1).to(weights.dtype), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (2, 3, 5, 7), (5, 0), (2, 3, 0, 4)])
def test_masks_from_dense(shape: tuple[int, ...]) -> None:
    seen = torch.rand(shape) < 0.4
    mask = SparseMask.from_dense(seen)
    full = torch.broadcast_to(
        seen if seen.dim() != 3 else seen[:, None], (2 if len(shape) < 3 else shape[0], 3, *shape[-2:])
    )
    assert torch.equal(permitted(mask, full.shape[0], 3, *shape[-2:]), full)


def test_masks_from_other_than_bool_are_refused() -> None:
    with pytest.raises(ValueError, match=r"SparseMask.from_dense: expected bool.*float32 \[5, 7\]"):
        SparseMask.from_dense(torch.ones(5, 7))


@pytest.mark.parametrize("queries_and_keys", [(9, 140), (140, 140), (140, 9)])
@pytest.mark.parametrize("name", ["sparsemax", "entmax15"])
def test_drop_in_forms(name: str, queries_and_keys: tuple[int, int]) -> None:
    queries, keys = queries_and_keys
    attend = getattr(giantrabbit, f"{name}_attention")
    given = inputs(torch.float32, queries, keys)
    scale = 8**-0.5
    first_key = torch.ones(queries, keys, dtype=torch.bool).tril()
    for seen, arguments in (
        (torch.ones_like(first_key), {}),
        (first_key, {"is_causal": True}),
        (first_key, {"attn_mask": first_key}),
        (first_key, {"attn_mask": torch.zeros(queries, keys).masked_fill(~first_key, -torch.inf)}),
    ):
        output = attend(*given, **arguments, enable_gqa=True)
        assert torch.allclose(output, defined(*given, seen, name, scale), rtol=0, atol=1e-5)
    # The arguments of LibTorch's function, by name and by place.
    softmax = F.scaled_dot_product_attention(*given, None, 0.0, True, scale=0.3, enable_gqa=True)
    ours = attend(*given, None, True, scale=0.3, enable_gqa=True)
    assert ours.shape == softmax.shape
    matrices = [torch.randn(6, 4) for _ in range(3)]
    expected = NORMALIZE[name](matrices[0] @ matrices[1].T / 2) @ matrices[2]
    assert torch.allclose(attend(*matrices), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_lsh_attention_with_one_chunk_sees_everything(normalizer: str) -> None:
    query, key, value = (torch.randn(2, 3, 40, width, requires_grad=True) for width in (8, 8, 5))
    rotations = giantrabbit.lsh_rotations(3, 8, 2, [4, 2])
    buckets = giantrabbit.lsh_buckets(query, rotations, [4, 2])
    assert buckets.shape == (2, 3, 2, 40) and int(buckets.max()) < 2 * 8
    seen = torch.ones(40, 40, dtype=torch.bool).tril()
    output = giantrabbit.lsh_attention(
        query, key, value, buckets[:, :, :1], normalizer=normalizer, chunk_length=40, causal=True,
        exclude_self=False, chunks_before=0,
    )  # fmt: skip
    assert torch.allclose(output, defined(query, key, value, seen, normalizer, 8**-0.5), rtol=0, atol=1e-5)


def test_bits_do_not_depend_on_threads() -> None:
    def results() -> list[Tensor]:
        torch.manual_seed(1)
        given = inputs(torch.float32, 300, 300)
        output = giantrabbit.sparse_mask_attention(*given, SparseMask(causal=True))
        return [output, *torch.autograd.grad(output.square().sum(), given)]

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = results()
        torch.set_num_threads(3)
        assert all(torch.equal(a, b) for a, b in zip(alone, results(), strict=True))
    finally:
        torch.set_num_threads(threads)


def _attend(**changes: object) -> Tensor:
    arguments = dict(zip(("query", "key", "value"), inputs(torch.float32, 4, 6), strict=True))
    mask = SparseMask(**{k: v for k, v in changes.items() if k in SparseMask.__dataclass_fields__})
    rest = {k: v for k, v in changes.items() if k not in SparseMask.__dataclass_fields__}
    return giantrabbit.sparse_mask_attention(**{**arguments, "mask": mask, **rest})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": torch.randn(2, 2, 5, 8)}, r"equal lengths, got key \[2, 2, 5, 8\] and value \[2, 2, 6, 5\]"),
        ({"query": torch.randn(2, 3, 4, 8)}, "multiple"),
        ({"query": torch.randn(2, 4, 4, 8).double()}, "one dtype of Float, Double"),
        ({"window": 0}, "window needs to be at least 1"),
        ({"key_lengths": torch.tensor([1, 2, 3])}, "key_lengths needs shape"),
        ({"row_offsets": torch.zeros(5, dtype=torch.long)}, "together"),
        ({"bias": torch.randn(3, 6)}, "broadcasts"),
        ({"normalizer": "sparse"}, "expected softmax, sparsemax or entmax15"),
    ],
)
def test_errors_say_what_was_expected(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        _attend(**changes)


def test_dimensions_out_of_range_are_index_errors() -> None:
    with pytest.raises(IndexError, match=r"sparsemax: expected a dim in \[-2, 1\], got 2"):
        giantrabbit.sparsemax(torch.randn(3, 4), 2)
