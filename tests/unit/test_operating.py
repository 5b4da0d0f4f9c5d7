"""docs/operating.md tells of every event that the log may have."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOGGED = re.compile(r'\blog\.(?:debug|info|warning|error|critical)\(\s*"([^"]*)"(?: if .+ else "([^"]*)")?')


def events() -> set[str]:
    sources = (path.read_text() for path in (ROOT / "agentbridge").rglob("*.py"))
    return {event for source in sources for found in LOGGED.findall(source) for event in found if event}


def test_every_event_of_the_log_is_explained() -> None:
    documents = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    assert sorted(event for event in events() if f"`{event}" not in documents) == []


def test_every_event_is_a_noun_and_a_verb() -> None:
    assert len(events()) > 40
    assert [event for event in events() if not re.fullmatch(r"[a-z]+\.[a-z_]+", event)] == []
