"""One centre of three nodes for all tests of a file. Only in a network namespace of one's own: `make test-nodes`."""

from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from tests.nodes.cluster import Cluster

LAST_LINES = 60


@pytest_asyncio.fixture(scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path_factory.mktemp("switch")) as cluster:
        yield cluster


@pytest_asyncio.fixture
async def nodes(standing: Cluster) -> AsyncIterator[Cluster]:
    """A test finds and leaves it without agents, members and phones."""
    async with standing.scene() as cluster:
        yield cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failed test goes what each Asterisk wrote last."""
    report = yield
    cluster = item.funcargs.get("nodes") if isinstance(item, pytest.Function) else None
    if report.failed and isinstance(cluster, Cluster):
        for place in cluster.places:
            lines = place.pbx.log_path.read_text(errors="replace").splitlines()
            told = [line for line in lines if "Remote UNIX connection" not in line][-LAST_LINES:]
            report.sections.append((f"log of {place.name}", "\n".join(told)))
    return report
