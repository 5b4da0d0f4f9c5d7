"""That no command passes by the gate: each has its line in the table of who may do what."""

from agentbridge.cli.app import command, leaves
from agentbridge.directory.authority import OPERATIONS


def test_each_command_has_its_line_in_the_table_and_each_line_a_command() -> None:
    commands = {operation for operation, _ in leaves(command())}
    assert commands | {"plan.confirm"} == set(OPERATIONS)
