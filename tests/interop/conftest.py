"""Every test starts from a seed that depends on its name alone; a failing one shows it. GR_TEST_SEED sets
another. `run` is a run of giantrabbit-train (GR_TRAIN names the program)."""

import os
import subprocess
import zlib
from pathlib import Path

import giantrabbit  # noqa: F401  registers the operators
import pytest
import torch


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest) -> int:
    value = int(os.environ.get("GR_TEST_SEED", zlib.crc32(request.node.name.encode())))
    print(f"GR_TEST_SEED={value}")
    torch.manual_seed(value)
    return value


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "tiny"
    command = [
        os.environ["GR_TRAIN"], "--task", "copy", "--steps", "3", "--batch-tokens", "256", "--width", "16",
        "--heads", "2", "--attention", "sparsemax", "--out", str(folder),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder
