"""`agentbridge files` writes out what the sources have, and what the wheel is told to hold is all of it."""

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentbridge.cli.app import app

TOP = Path(__file__).parents[2]


def test_dialplan_snippets_unit_and_template_are_written_out(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["files", str(tmp_path / "new")])
    assert told.exit_code == 0
    for name, source in {
        "agentbridge.toml": "config/agentbridge.toml",
        "asterisk/sorcery.conf": "config/asterisk/sorcery.conf",
        "asterisk/voicemail.sql": "config/asterisk/voicemail.sql",
        "dialplan/agentbridge.conf": "dialplan/agentbridge.conf",
        "systemd/agentbridge.service": "systemd/agentbridge.service",
    }.items():
        assert (tmp_path / "new" / name).read_bytes() == (TOP / source).read_bytes()
        assert str(tmp_path / "new" / name) in told.output.splitlines()


def test_a_folder_that_cant_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = CliRunner().invoke(app, ["files", str(tmp_path / "file")])
    assert told.exit_code != 0
    assert "can't be written" in str(told.exception)


@pytest.mark.parametrize("folder", ["config/asterisk", "dialplan", "systemd"])
def test_the_wheel_holds_each_file_of_these_folders(folder: str) -> None:
    settings = tomllib.loads((TOP / "pyproject.toml").read_text())
    data = settings["tool"]["setuptools"]["data-files"]
    held = {path for patterns in data.values() for pattern in patterns for path in TOP.glob(pattern)}
    assert {path for path in (TOP / folder).rglob("*") if path.is_file()} <= held
