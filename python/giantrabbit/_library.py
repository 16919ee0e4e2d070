"""The shared library with the operators: in, the torch that is installed; out, torch.ops.giantrabbit.

The library is compiled against one version of LibTorch, whose C++ interface changes between versions: another
one is refused instead of crashing later.
"""

from pathlib import Path

import torch

TORCH_VERSION = "2.14.1"


def load_operators() -> None:
    """Registers the operators and what tracing needs to know of them. Raises ImportError for another
    torch."""
    if torch.__version__.split("+")[0] != TORCH_VERSION:
        raise ImportError(
            f"giantrabbit was built for torch {TORCH_VERSION}, but torch {torch.__version__} is installed: "
            f"run pip install torch=={TORCH_VERSION}"
        )
    torch.ops.load_library(str(Path(__file__).with_name("libgiantrabbit_ops.so")))
    from . import _fake  # noqa: F401  registers on import
