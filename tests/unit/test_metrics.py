"""Dashboard, alerts and documentation name only metrics that exist, and each metric is shown somewhere."""

import json
import re
from pathlib import Path

import pytest

from agentbridge import metrics
from agentbridge.reconcile.resync import Resync

ROOT = Path(__file__).parents[2]
DASHBOARD, ALERTS, DOCS = (
    ROOT / name for name in ("config/grafana/agentbridge.json", "config/prometheus/alerts.yml", "docs/http.md")
)


NO_METRICS = {"agentbridge_live", "agentbridge_api"}
"""a channel of notifications and a role of the database"""


def exported() -> set[str]:
    """The series' names as Prometheus stores them."""
    names: set[str] = set()
    for family in metrics.REGISTRY.collect():
        match family.type:
            case "counter":
                names.add(f"{family.name}_total")
            case "histogram":
                names |= {family.name, *(f"{family.name}_{part}" for part in ("bucket", "count", "sum"))}
            case _:
                names.add(family.name)
    return names


def named(text: str) -> set[str]:
    return set(re.findall(r"\bagentbridge_[a-z_]+\b", text))


@pytest.mark.parametrize("file", [DASHBOARD, ALERTS, DOCS], ids=lambda file: file.name)
def test_each_metric_that_is_named_exists(file: Path) -> None:
    found = named(file.read_text())
    assert found
    assert found - NO_METRICS <= exported()


def test_each_metric_is_on_the_dashboard_and_in_the_documentation() -> None:
    bases = {re.sub("_(bucket|count|sum)$", "", name) for name in exported()}
    shown = {re.sub("_(bucket|count|sum)$", "", name) for name in named(DASHBOARD.read_text())}
    assert bases == shown
    assert bases <= named(DOCS.read_text())


def test_the_dashboard_is_json_with_a_query_in_each_panel() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert panels
    assert all(target["expr"] for panel in panels for target in panel["targets"])


async def test_a_full_comparison_is_measured() -> None:
    def count() -> float:
        return metrics.REGISTRY.get_sample_value("agentbridge_resync_seconds_count") or 0.0

    async def look(_: object) -> int:
        return 1

    before = count()
    resync = Resync(look, look, wanted=lambda: True, every=60, clock=lambda: 5.0)
    await resync._try()
    assert (count(), resync.done_at) == (before + 1, 5.0)
