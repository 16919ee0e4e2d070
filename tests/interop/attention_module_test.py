"""SparsemaxAttention beside torch.nn.MultiheadAttention: the same weights, arguments and shapes; with softmax
the same numbers; with sparse weights the definition; inside torch's own encoder and decoder layers."""

import copy
import pickle
from typing import Any

import giantrabbit
import pytest
import torch
from giantrabbit import SparsemaxAttention
from torch import Tensor, nn

LENGTH, KEYS, BATCH, WIDTH, HEADS = 6, 9, 3, 16, 4
NORMALIZE = {"sparsemax": giantrabbit.sparsemax, "entmax15": giantrabbit.entmax15}


def _masks(queries: int, keys: int) -> dict[str, dict[str, Any]]:
    """As torch's module takes them; every query may see something, since torch gives NaN otherwise."""
    hidden = torch.rand(queries, keys) < 0.4
    hidden[:, 0] = False
    per_head = torch.rand(BATCH * HEADS, queries, keys) < 0.4
    per_head[:, :, 0] = False
    padding = torch.rand(BATCH, keys) < 0.4
    padding[:, 0] = False
    masks = {
        "none": {},
        "bool": {"attn_mask": hidden},
        "floating": {"attn_mask": torch.randn(queries, keys)},
        "per head": {"attn_mask": per_head},
        "padding": {"key_padding_mask": padding},
        "floating padding": {"key_padding_mask": torch.randn(BATCH, keys)},
        "both": {"attn_mask": hidden, "key_padding_mask": padding},
    }
    if queries == keys:
        causal = torch.ones(queries, keys, dtype=torch.bool).triu(1)
        masks["causal"] = {"attn_mask": causal, "is_causal": True}
        masks["causal and padding"] = {"attn_mask": causal, "is_causal": True, "key_padding_mask": padding}
    return masks


def _pair(**changes: object) -> tuple[nn.MultiheadAttention, SparsemaxAttention]:
    """Both modules with the same weights, which go from torch's to ours by name."""
    normalizer = changes.pop("normalizer", "softmax")
    theirs = nn.MultiheadAttention(WIDTH, HEADS, **changes)
    for parameter in theirs.parameters():  # biases start at 0
        nn.init.normal_(parameter, std=0.3)
    ours = SparsemaxAttention(WIDTH, HEADS, **changes, normalizer=normalizer)
    assert not any(ours.load_state_dict(theirs.state_dict()))
    return theirs, ours


def _assert_equal(
    ours: nn.Module, theirs: nn.Module, given: tuple[Tensor, ...], arguments: dict[str, Any]
) -> None:
    """To 1e-5 of the largest number, or of 1: gradients are sums over all positions and cancel in part."""
    results = []
    for module in (ours, theirs):
        module.zero_grad()
        output, weights = module(*given, **arguments)
        (output.square().sum() + (0 if weights is None else weights.square().sum())).backward()
        results.append([output, weights, *(p.grad for p in module.parameters())])
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            largest = max(1.0, b.abs().max().item())
            assert a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("weights", ["averaged", "per head", "none"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("mask", list(_masks(9, 9)))
def test_softmax_self_attention_is_torchs(mask: str, batch_first: bool, weights: str) -> None:
    theirs, ours = _pair(batch_first=batch_first)
    x = torch.randn(BATCH, KEYS, WIDTH) if batch_first else torch.randn(KEYS, BATCH, WIDTH)
    arguments = {
        **_masks(KEYS, KEYS)[mask],
        "need_weights": weights != "none",
        "average_attn_weights": weights == "averaged",
    }
    _assert_equal(ours, theirs, (x, x, x), arguments)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("mask", list(_masks(6, 9)))
def test_softmax_cross_attention_is_torchs(mask: str, bias: bool) -> None:
    theirs, ours = _pair(bias=bias, kdim=5, vdim=7)
    given = tuple(torch.randn(n, BATCH, width) for n, width in ((LENGTH, WIDTH), (KEYS, 5), (KEYS, 7)))
    _assert_equal(ours, theirs, given, _masks(LENGTH, KEYS)[mask])
    theirs, ours = _pair(bias=bias)
    memory = torch.randn(KEYS, BATCH, WIDTH)
    _assert_equal(
        ours, theirs, (torch.randn(LENGTH, BATCH, WIDTH), memory, memory), _masks(LENGTH, KEYS)[mask]
    )


def test_softmax_without_a_batch_is_torchs() -> None:
    theirs, ours = _pair()
    x = torch.randn(KEYS, WIDTH)
    padding = torch.arange(KEYS) > 5
    per_head = torch.randn(HEADS, KEYS, KEYS)
    for average in (False, True):
        for arguments in ({}, {"key_padding_mask": padding}, {"attn_mask": per_head}):
            _assert_equal(ours, theirs, (x, x, x), {**arguments, "average_attn_weights": average})


@pytest.mark.parametrize("keys", [9, 140])  # from 128 keys on scores are skipped
@pytest.mark.parametrize("normalizer", NORMALIZE)
def test_sparse_weights_are_their_definition(normalizer: str, keys: int) -> None:
    _, ours = _pair(batch_first=True, normalizer=normalizer)
    x = torch.randn(BATCH, keys, WIDTH)
    for name, arguments in _masks(keys, keys).items():
        output, weights = ours(x, x, x, **arguments, average_attn_weights=False)
        alone, nothing = ours(x, x, x, **arguments, need_weights=False)
        assert nothing is None and torch.equal(output, alone), name
        query, key, value = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in nn.functional.linear(x, ours.in_proj_weight, ours.in_proj_bias).chunk(3, -1)
        )
        scores = query @ key.transpose(-1, -2) * (WIDTH / HEADS) ** -0.5
        for mask in (arguments.get("attn_mask"), arguments.get("key_padding_mask")):
            if mask is None:
                continue
            if mask.shape == (BATCH, keys):
                mask = mask[:, None, None]
            elif mask.dim() == 3:
                mask = mask.unflatten(0, (BATCH, HEADS))
            scores = scores.masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        expected = NORMALIZE[normalizer](scores)
        assert torch.allclose(weights, expected, rtol=0, atol=1e-5), name
        joined = (expected @ value).transpose(1, 2).flatten(2)
        assert torch.allclose(output, ours.out_proj(joined), rtol=0, atol=1e-5), name
    assert (weights == 0).float().mean() > 0.3  # sparse indeed


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax", "entmax15"])
def test_a_sequence_of_padding_alone_attends_to_nothing(normalizer: str) -> None:
    _, ours = _pair(batch_first=True, normalizer=normalizer)
    x = torch.randn(2, KEYS, WIDTH, requires_grad=True)
    for padding in (
        torch.tensor([[True], [False]]).expand(2, KEYS),
        torch.tensor([[-torch.inf], [0.0]]).expand(2, KEYS),
    ):
        output, weights = ours(x, x, x, key_padding_mask=padding)
        assert torch.equal(weights[0], torch.zeros(KEYS, KEYS))
        assert torch.equal(output[0], ours.out_proj.bias.expand(KEYS, WIDTH))
        output.sum().backward()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax"])
def test_inside_torchs_encoder_layer(normalizer: str) -> None:
    """In eval mode the layer calls fused softmax attention instead of a module that looks like its own."""
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, dropout=0.0, batch_first=True)
    original = copy.deepcopy(layer)
    layer.self_attn = SparsemaxAttention(WIDTH, HEADS, batch_first=True, normalizer=normalizer)
    layer.self_attn.load_state_dict(original.self_attn.state_dict())
    x = 3 * torch.randn(BATCH, KEYS, WIDTH)
    padding = torch.arange(KEYS) >= torch.tensor([[KEYS], [4], [1]])
    training = layer(x, src_key_padding_mask=padding)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    layer.eval()
    with torch.no_grad():
        assert torch.equal(layer(x, src_key_padding_mask=padding), training)
        assert encoder(x, src_key_padding_mask=padding).isfinite().all()
    same = torch.allclose(training, original(x, src_key_padding_mask=padding), rtol=0, atol=1e-5)
    assert same == (normalizer == "softmax")


def test_inside_torchs_decoder_layer() -> None:
    layer = nn.TransformerDecoderLayer(WIDTH, HEADS, 32, dropout=0.0, batch_first=True)
    original = copy.deepcopy(layer)
    for name in ("self_attn", "multihead_attn"):
        module = SparsemaxAttention(WIDTH, HEADS, batch_first=True, normalizer="softmax")
        module.load_state_dict(getattr(original, name).state_dict())
        setattr(layer, name, module)
    target, memory = torch.randn(BATCH, LENGTH, WIDTH), torch.randn(BATCH, KEYS, WIDTH)
    causal = nn.Transformer.generate_square_subsequent_mask(LENGTH)
    arguments = {"tgt_mask": causal, "tgt_is_causal": True}
    expected = original(target, memory, **arguments)
    assert torch.allclose(layer(target, memory, **arguments), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kdim", [None, 5])
def test_parameters_begin_as_torchs(kdim: int | None) -> None:
    torch.manual_seed(3)
    theirs = nn.MultiheadAttention(WIDTH, HEADS, kdim=kdim)
    torch.manual_seed(3)
    ours = SparsemaxAttention(WIDTH, HEADS, kdim=kdim)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    again = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
    x = torch.randn(LENGTH, BATCH, WIDTH)
    given = (x, x[..., : kdim or WIDTH], x)
    assert torch.equal(again(*given)[0], ours(*given)[0])


@pytest.mark.parametrize(
    "changes", [{"dropout": 0.1}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"normalizer": "sparse"}]
)
def test_what_is_not_supported_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="SparsemaxAttention: expected"):
        SparsemaxAttention(WIDTH, HEADS, **changes)


def test_causal_without_a_mask_is_the_rule() -> None:
    _, ours = _pair(batch_first=True, normalizer="sparsemax")
    x = torch.randn(BATCH, KEYS, WIDTH)
    causal = torch.ones(KEYS, KEYS, dtype=torch.bool).triu(1)
    by_rule, by_mask = ours(x, x, x, is_causal=True)[0], ours(x, x, x, attn_mask=causal)[0]
    assert torch.allclose(by_rule, by_mask, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="as many queries as keys, got 6 and 9"):
        ours(x[:, :LENGTH], x, x, is_causal=True)
