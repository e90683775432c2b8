"""The setting that says how many GPUs may be counted on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import SettingError
from fleet.gpubudget import PRESENT, Allowance, GpuBudget, parse_budget
from fleet.settings import Settings, read_settings


@pytest.mark.parametrize(
    ("text", "others", "classes"),
    [
        ("present", PRESENT, {}),
        (" 8 ", Allowance(most=8), {}),
        ("0", Allowance(most=0), {}),
        ("elastic:16", Allowance(most=16, elastic=True), {}),
        ("*=elastic:4", Allowance(most=4, elastic=True), {}),
        (
            "NVIDIA-A100-SXM4-80GB=8, mig-1g.10gb=present, *=elastic:4",
            Allowance(most=4, elastic=True),
            {"NVIDIA-A100-SXM4-80GB": Allowance(most=8), "mig-1g.10gb": PRESENT},
        ),
        ("gpu=2", PRESENT, {"gpu": Allowance(most=2)}),
    ],
)
def test_what_is_allowed_is_read(
    text: str, others: Allowance, classes: dict[str, Allowance]
) -> None:
    budget = parse_budget(text)
    assert budget == GpuBudget(others=others, classes=classes)
    assert budget.of("something else") == others
    assert read_settings({"EBBTIDE_GPU_BUDGET": text}).gpu_budget == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "all", "-1", "1.5", "1000000", "elastic", "elastic:", "elastic:-1", "8,present"),
        *("=8", "A100=", "A100=8,A100=9", "A100=8,", "A 100=8", "A100=8 B=9", "*=1,*=2"),
        "a=present=8",
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(SettingError, match=r"EBBTIDE_GPU_BUDGET=.*expected"):
        read_settings({"EBBTIDE_GPU_BUDGET": text})


@given(st.text(alphabet="present0123=,*:elastic A"))
def test_nothing_else_is_raised(text: str) -> None:
    try:
        budget = parse_budget(text)
    except ValueError:
        return
    assert all(found.most is None or found.most >= 0 for found in budget.classes.values())


def test_what_is_there_counts_unless_told_otherwise() -> None:
    assert parse_budget(Settings().gpu_budget) == GpuBudget()
