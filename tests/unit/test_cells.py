"""One format of CSV: what the HTTP API writes the command line reads, and the other way round."""

from pathlib import Path

import pytest

from agentbridge.api import tables
from agentbridge.cli.directory import agent_files
from agentbridge.directory.cells import listed_names, names_in, safe, without_guard
from agentbridge.errors import Refused

NAMES = ["plain", 'the "A" team', "Nord, Süd", "back\\slash", "'-quoted", "a:b"]


@pytest.mark.parametrize("names", [NAMES, NAMES[:1], []])
def test_names_come_back(names: list[str]) -> None:
    assert names_in("teams", listed_names(names)) == names


def test_an_open_quote_is_refused() -> None:
    with pytest.raises(Refused, match="teams: a name in quotes must end with a quote"):
        names_in("teams", '"north,south')


@pytest.mark.parametrize("text", ["=1+1", "'=1+1", "@x", "plain", "'plain", ""])
def test_what_was_made_safe_comes_back(text: str) -> None:
    assert without_guard(safe(text)) == text
    assert not safe(text).startswith(("=", "@"))


def test_a_file_of_the_api_is_read_by_the_command(tmp_path: Path) -> None:
    record = {"username": "anna", "teams": NAMES, "queues": {"sales": 0, "support": 3}}
    file = tmp_path / "agents.csv"
    file.write_text("".join(tables.written([record])), newline="")
    [(_, fields)] = agent_files._rows(file)
    assert names_in("teams", fields["teams"]) == NAMES
    assert names_in("queues", fields["queues"]) == ["sales:0", "support:3"]


def test_a_file_of_the_command_is_read_by_the_api() -> None:
    record = {"username": "anna", "teams": NAMES, "queues": ["sales", "support:3"]}
    rows, errors = tables.read(agent_files.as_csv(["username", "queues", "teams"], [record]).encode())
    assert errors == []
    assert rows[0]["teams"] == NAMES
    assert rows[0]["queues"] == {"sales": 0, "support": 3}


def test_each_wrong_field_of_a_line_is_told() -> None:
    text = "username,deactivated,ring_in_use,wss_port\nann,perhaps,never,soon\nbob,yes,no,\n"
    [agent], [error] = tables.read(text.encode())
    assert agent["username"] == "bob"
    assert error["line"] == 2
    told = error["detail"].split("; ")
    assert [one.partition(":")[0] for one in told] == ["deactivated", "ring_in_use", "wss_port"]
