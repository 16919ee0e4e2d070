"""The installed wheel: what is in it, which libraries it finds and from where, and what it refuses."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import giantrabbit
import torch

LIBRARY = Path(giantrabbit.__file__).with_name("libgiantrabbit_ops.so")


def _python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_metadata() -> None:
    assert importlib.metadata.version("giantrabbit") == giantrabbit.__version__
    assert importlib.metadata.requires("giantrabbit") == ["torch==2.14.1"]
    files = {file.name for file in importlib.metadata.files("giantrabbit") or []}
    assert {"py.typed", "libgiantrabbit_ops.so", "LICENSE"} <= files
    assert not any("_test" in name or "train_small_model" in name for name in files)


def test_every_public_name_has_a_docstring() -> None:
    for name in giantrabbit.__all__:
        assert name == "Normalizer" or getattr(giantrabbit, name).__doc__, name


def test_libraries_are_those_of_the_installed_torch(tmp_path: Path) -> None:
    """Imported in any folder, the process holds one copy of LibTorch and of OpenMP, torch's own."""
    code = "import giantrabbit; print(open('/proc/self/maps').read())"
    result = _python(code, tmp_path)
    assert result.returncode == 0, result.stderr
    mapped = {line.split()[-1] for line in result.stdout.splitlines() if line.endswith((".so", ".so.1"))}
    named = ("libtorch_cpu.so", "libc10.so", "libgomp.so.1")
    found = {path for path in mapped if path.endswith(named)}
    assert found == {str(Path(torch.__file__).parent.resolve() / "lib" / name) for name in named}
    assert str(LIBRARY.resolve()) in mapped


def test_library_finds_torch_by_itself(tmp_path: Path) -> None:
    """Its run path leads from its own folder to torch's, for programs that load it before torch."""
    result = _python(f"import ctypes; ctypes.CDLL({str(LIBRARY)!r})", tmp_path)
    assert result.returncode == 0, result.stderr


def test_library_alone_gives_operators_with_gradients(tmp_path: Path) -> None:
    code = f"""
import torch
torch.ops.load_library({str(LIBRARY)!r})
x = torch.randn(2, 3, 150, 8, requires_grad=True)
attend = torch.ops.giantrabbit.sparse_mask_attention
for call in (attend, torch.compile(attend, backend="aot_eager", fullgraph=True)):
    call(x, x, x, causal=True).sum().backward()
print(x.grad.shape)
"""
    result = _python(code, tmp_path)
    assert result.returncode == 0 and "[2, 3, 150, 8]" in result.stdout, result.stderr


def test_another_torch_is_refused(tmp_path: Path) -> None:
    result = _python("import torch; torch.__version__ = '2.13.0+cpu'; import giantrabbit", tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "ImportError: giantrabbit was built for torch 2.14.1, but torch 2.13.0+cpu is installed: "
        "run pip install torch==2.14.1"
    )
