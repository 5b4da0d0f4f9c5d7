"""Agents out to a file and in from one, and their pictures."""

import csv
import io

import pytest
from PIL import Image

from tests.acceptance.shell import Shell


async def test_an_export_is_rfc_4180_runs_no_formula_and_can_be_imported_again(shell: Shell) -> None:
    name = '=HYPERLINK("http://x"), "Zoë"'
    await shell("queue", "create", "sales")
    await shell("queue", "create", "support")
    await shell("team", "create", 'North, and "East"')
    await shell("agent", "create", "anna", f"full_name={name}", "--queue", "sales", "--team", 'North, and "East"')
    await shell("queue", "add", "support", "anna", "--penalty", "7")
    await shell("agent", "create", "bert", "caller_id=+39123", "full_name='=1+1", "alias='Bert'")
    text = (await shell("agent", "export")).out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0]["full_name"] == f"'{name}"
    assert rows[1]["caller_id"] == "'+39123"
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())

    await shell("agent", "delete", "anna", "bert", "--yes")
    file = shell.config.with_name("agents.csv")
    file.write_text(text, newline="")
    assert (await shell("agent", "import", str(file))).err == "2 agents are made\n"
    anna = (await shell("agent", "show", "anna", "--json")).json
    assert (anna["full_name"], anna["queues"]) == (name, {"sales": 0, "support": 7})
    assert anna["teams"] == ['North, and "East"']
    bert = (await shell("agent", "show", "bert", "--json")).json
    assert (bert["full_name"], bert["alias"]) == ("'=1+1", "'Bert'")
    assert (await shell("agent", "export")).out == text


async def test_an_import_with_errors_tells_line_and_field_and_makes_nobody(shell: Shell) -> None:
    file = shell.config.with_name("agents.csv")
    file.write_text("username,internal,queues,full_nme\nanna,,,Anna\nbert,abc,,Bert\ncarla,,nowhere\ndora,,,,more\n")
    errors = (await shell("agent", "import", str(file), status=1)).err
    assert "line 3: internal: must be 1 to 16 digits" in errors
    assert "line 4: queues: there is no queue nowhere" in errors
    assert "line 5: more fields than the first line names" in errors
    assert "line 1: full_nme: there is no such field; did you mean full_name?" in errors
    assert errors.count("full_nme") == 1
    assert "nothing was imported" in errors
    assert (await shell("agent", "list", "--json")).json == []


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("", ":1: the first line must name the fields"),
        ("anna,Anna Rossi\nbert,Bert\n", ":1: the first line must name the fields"),
        ("username;full_name\nanna;Anna\n", ":1: its fields are separated by semicolons, and must be by commas"),
        ("username\tfull_name\nanna\tAnna\n", ":1: its fields are separated by tabs"),
        ("username,full_name\nanna,Ännä\n".encode("utf-16"), "is UTF-16 ('Unicode text'): save it as 'CSV UTF-8"),
        ("username,full_name\nanna,Ännä\n".encode("cp1252"), ":2: is not UTF-8, but most likely Windows-1252"),
        ('username,description\nanna,"two\nlines"\n\nbert,"two\nlines",more\n', "line 5: more fields"),
        ("username,queues\nanna,nowhere:x\n", "line 2: queues: the penalty behind nowhere: must be a whole number"),
        ('username,teams\nanna,"""north"\n', "line 2: teams: a name in quotes must end with a quote"),
        ("username,alias,alias\nanna,a,b\n", ":1: is named twice: alias"),
        ("username,emial\nanna,a@example.com\n", "line 1: emial: there is no such field; did you mean email?"),
        ("username\nanna,1234\n", "line 2: more fields than the first line names"),
        ('username\n"an"na\n', "is not CSV"),
        ("username\nanna\nanna\n", "line 3: username: anna is already taken"),
    ],
    ids=[
        "empty",
        "no header",
        "semicolons",
        "tabs",
        "UTF-16",
        "Windows-1252",
        "records of several lines",
        "no penalty",
        "an open quote",
        "field twice",
        "mistyped field",
        "too long",
        "quotes",
        "same name twice",
    ],
)
async def test_a_file_that_is_no_list_of_agents_is_refused_whole(shell: Shell, content: str | bytes, rule: str) -> None:
    file = shell.config.with_name("agents.csv")
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert rule in (await shell("agent", "import", str(file), status=1)).err
    assert (await shell("agent", "list", "--json")).json == []


async def test_a_picture_is_taken_by_its_content_and_not_by_its_name(shell: Shell) -> None:
    await shell("agent", "create", "anna")
    right, wrong = shell.config.with_name("anna.txt"), shell.config.with_name("anna.png")
    Image.new("RGB", (64, 64), "teal").save(right, "JPEG")
    wrong.write_text("<svg/>")
    assert "must be a PNG or JPG" in (await shell("agent", "avatar", "anna", str(wrong), status=1)).err
    assert (await shell("agent", "show", "anna", "--json")).json["avatar_type"] is None
    assert (await shell("agent", "avatar", "anna", str(right))).err == "anna has a picture: image/jpeg\n"
    anna = (await shell("agent", "show", "anna", "--json")).json
    assert (anna["avatar_type"], "avatar" in anna) == ("image/jpeg", False)
    assert "there is no agent zoe" in (await shell("agent", "avatar", "zoe", str(right), status=1)).err
    await shell("agent", "avatar", "anna", "--remove")
    assert (await shell("agent", "show", "anna", "--json")).json["avatar_type"] is None
