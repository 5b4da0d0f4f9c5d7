"""docs/operating.md tells of every event that the log may have, and the lists of commands of every command."""

import re
from pathlib import Path

import pytest

from agentbridge.cli.app import command, leaves

ROOT = Path(__file__).parents[2]
PAGES = [
    ("packaging/deb/agentbridge.8", ".SH COMMANDS", ".SH OPTIONS"),
    ("docs/commands.md", "| command |", "## For whom"),
]
LOGGED = re.compile(r'\blog\.(?:debug|info|warning|error|critical)\(\s*"([^"]*)"(?: if .+ else "([^"]*)")?')


def events() -> set[str]:
    sources = (path.read_text() for path in (ROOT / "agentbridge").rglob("*.py"))
    return {event for source in sources for found in LOGGED.findall(source) for event in found if event}


def test_every_event_of_the_log_is_explained() -> None:
    documents = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    assert sorted(event for event in events() if f"`{event}" not in documents) == []


def test_every_event_is_a_noun_and_a_verb() -> None:
    assert len(events()) > 40
    assert [event for event in events() if not re.fullmatch(r"[a-z_]+\.[a-z_]+", event)] == []


@pytest.mark.parametrize(("page", "begin", "end"), PAGES)
def test_each_list_of_commands_names_every_command_or_its_group(page: str, begin: str, end: str) -> None:
    text = (ROOT / page).read_text()
    listed = text[text.index(begin) : text.index(end)]
    groups = {operation.partition(".")[0] for operation, _ in leaves(command())}
    assert len(groups) > 15
    assert sorted(group for group in groups if not re.search(rf"\b{group}\b", listed)) == []
