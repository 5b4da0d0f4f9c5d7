"""What `check` asks of Asterisk is all that the daemon needs of it: read from the daemon's own source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import agentbridge
from agentbridge.cli.check.modules import ACTIONS, APPLICATIONS, FUNCTIONS

DIALPLAN = Path(__file__).parents[2] / "dialplan/agentbridge.conf"
OF_ASTERISK_ITSELF = {"Answer", "Busy", "Goto", "GotoIf", "Hangup", "Progress", "Set", "Wait"}
"""applications of no module"""
FUNCTION = re.compile(r"(?<![A-Za-z_])[A-Z][A-Z_]+(?=\()")
SOURCE = Path(agentbridge.__file__).parent
DAEMON = ("asterisk", "phone", "service", "reconcile")
OF_THE_SESSION = {"Challenge", "Command", "Events", "Filter", "Login", "Ping"}
"""without these nobody gets as far as `check`'s table, or `ami.permission` says it"""


def sent() -> Iterator[str]:
    """The names of actions in the daemon's calls of `action` and `action_list`."""
    for folder in DAEMON:
        for file in (SOURCE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    match node.func.attr, node.args[0]:
                        case "action" | "action_list", ast.Constant(str() as name):
                            yield name


def test_each_action_that_the_daemon_sends_is_looked_for() -> None:
    assert set(sent()) - OF_THE_SESSION <= ACTIONS.keys()
    # named by a table or a match there
    others = {"PJSIPShowAuths", "PJSIPShowEndpoints", "QueueAdd", "QueueRemove", "QueuePause", "QueuePenalty"}
    assert ACTIONS.keys() - set(sent()) == others | {"QueueMemberRingInUse"}


def test_each_application_and_function_of_the_dialplan_is_looked_for_with_what_it_means() -> None:
    text = re.sub(r"^\s*;.*$", "", DIALPLAN.read_text(), flags=re.MULTILINE)
    steps = [line for line in text.splitlines() if "=>" in line and not line.startswith(("include", "#"))]
    applications = {found[1] for line in steps if (found := re.search(r"(?:,|\),)(\w+)\(", line))}
    assert applications - OF_ASTERISK_ITSELF == APPLICATIONS.keys()
    assert {name for line in steps for name in FUNCTION.findall(line)} <= FUNCTIONS.keys()
