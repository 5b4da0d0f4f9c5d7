"""The bench's one table, and what it says of two runs; and that each of its parts can begin."""

import importlib
import pkgutil
from typing import Any

import pytest

import tests.bench
from tests.bench.__main__ import band_of, compared, rows

ROW = "one change, at rest, p50 (ms)"


def run(ours: float, ordinary: float, turns: list[float]) -> dict[str, Any]:
    """The JSON of a run that measured one condition."""
    figures = {
        name: {"p50": p50, "p99": 2 * p50} for name, p50 in (("agentbridge", ours), ("ordinary script", ordinary))
    }
    return {"latency": [{"condition": {"name": "at rest"}, "figures": figures, "turns": {"agentbridge": turns}}]}


def verdict(now: dict[str, Any], earlier: dict[str, Any]) -> list[str]:
    """The cells of the row: then, now, ratio, band, verdict."""
    table = compared(now, earlier)
    columns = [list(column.cells) for column in table.columns]
    place = columns[0].index(ROW)
    return [str(column[place]) for column in columns[1:]]


def test_a_row_has_a_column_for_each_peer() -> None:
    assert rows(run(1.5, 1.2, [1.5]))[ROW] == {"agentbridge": 1.5, "ordinary script": 1.2}


def test_a_busier_machine_is_no_difference() -> None:
    assert verdict(run(3.0, 2.4, [3.0] * 8), run(1.5, 1.2, [1.5] * 8))[2:] == ["1.00", "±0.15", ""]


def test_more_than_the_noise_is_told_and_less_is_not() -> None:
    calm, noisy = [1.5] * 8, [1.0, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 2.0]
    assert verdict(run(1.9, 1.2, calm), run(1.5, 1.2, calm))[-1] == "worse"
    assert verdict(run(1.1, 1.2, calm), run(1.5, 1.2, calm))[-1] == "better"
    assert verdict(run(1.9, 1.2, noisy), run(1.5, 1.2, calm))[-1] == ""
    assert band_of(ROW, run(1.9, 1.2, noisy)) > 0.26


def test_what_was_not_measured_then_is_left_out() -> None:
    assert list(compared(run(1.5, 1.2, [1.5]), {}).rows) == []


@pytest.mark.parametrize(
    "name", sorted(found.name for found in pkgutil.walk_packages(tests.bench.__path__, "tests.bench."))
)
def test_each_part_of_the_bench_finds_what_it_imports(name: str) -> None:
    importlib.import_module(name)
