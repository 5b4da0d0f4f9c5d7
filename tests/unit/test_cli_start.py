"""A command starts without what only the daemon, `check` and `remove` need: each of its users waits for its imports."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("heavy", ["aiohttp", "fastapi", "panoramisk", "PIL", "agentbridge.reconcile.writer"])
def test_a_command_starts_without(heavy: str) -> None:
    program = f"import sys, agentbridge.cli.app; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
