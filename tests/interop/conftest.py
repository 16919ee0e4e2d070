"""Every test starts from a seed that depends on its name alone; a failing one shows it. GR_TEST_SEED sets
another."""

import os
import zlib

import giantrabbit  # noqa: F401  registers the operators
import pytest
import torch


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest) -> int:
    value = int(os.environ.get("GR_TEST_SEED", zlib.crc32(request.node.name.encode())))
    print(f"GR_TEST_SEED={value}")
    torch.manual_seed(value)
    return value
