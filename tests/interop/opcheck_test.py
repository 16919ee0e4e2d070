"""torch.library.opcheck, all its tests, on every operator: schemas tell the truth about aliasing, gradients
are registered where torch.compile finds them, fake tensors have the shapes of real ones, and traced calls
with symbolic sizes give the results and gradients of plain ones."""

import pytest
import torch

from operator_cases import Call, calls, name_of, operator_names

DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def _groups() -> dict[tuple[torch.dtype, str], list[Call]]:
    groups: dict[tuple[torch.dtype, str], list[Call]] = {}
    torch.manual_seed(0)
    for dtype in DTYPES:
        for call in calls(dtype):
            groups.setdefault((dtype, name_of(call.operator)), []).append(call)
    return groups


GROUPS = _groups()


def test_every_operator_has_calls_in_every_dtype() -> None:
    expected = {(dtype, name) for dtype in DTYPES for name in operator_names()}
    assert expected - {(torch.bfloat16, "giantrabbit::_sparsemax_loss_backward")} == set(GROUPS)


@pytest.mark.parametrize(("dtype", "operator"), list(GROUPS), ids=lambda x: str(x).replace("torch.", ""))
def test_opcheck(dtype: torch.dtype, operator: str) -> None:
    # Tracing, the slow part, hardly depends on the dtype: all calls in one, every fourth in the others.
    for call in GROUPS[dtype, operator][:: 1 if dtype == torch.float32 else 4]:
        # 16-bit gradients are rounded at different places when a call is traced: 8 bits of mantissa, a few
        # roundings.
        tolerance = {"rtol": 0.05, "atol": 0.05} if dtype == torch.bfloat16 else {}
        result = torch.library.opcheck(
            call.operator, call.args, call.kwargs, raise_exception=False, **tolerance
        )
        assert set(result.values()) == {"SUCCESS"}, f"{call.name}: {result}"
