"""The weights of a run (conftest.py) as Python's safetensors reads them, and back."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file


def test_weights_are_readable(run: Path) -> None:
    weights = load_file(run / "model.safetensors")
    assert all(x.dtype in (torch.float32, torch.int64) and x.isfinite().all() for x in weights.values())
    assert weights["embedding.words"].shape[1] == 16
    assert weights["decoder.layers.0.self_attention.qkv"].shape == (48, 16)
    # Tables of the vocabulary lie beside the parameters.
    tables = {name for name, x in weights.items() if x.dtype == torch.int64} | {"embedding.number_features"}
    summary = json.loads((run / "summary.json").read_text())
    assert sum(x.numel() for name, x in weights.items() if name not in tables) == summary["parameters"]


def test_one_tensor_at_a_time(run: Path) -> None:
    whole = load_file(run / "model.safetensors")
    with safe_open(run / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(whole)
        for name in file.keys():  # noqa: SIM118  the file is no mapping
            assert torch.equal(file.get_tensor(name), whole[name])
