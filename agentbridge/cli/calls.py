"""`agentbridge dial`, `spy`, `hangup` and `answer`: calls of agents, made and ended for them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.asking import Agent, ask
from agentbridge.cli.options import ConfigPath


class Mode(StrEnum):
    """How one listens to a call: unheard, heard by the agent, or by both."""

    LISTEN = "listen"
    WHISPER = "whisper"
    BARGE = "barge"


def register(app: typer.Typer) -> None:
    for command in (dial, spy, hangup, answer):
        app.command()(command)


def dial(
    agent: Agent,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="As the agent would dial it.")],
    config: ConfigPath = None,
) -> None:
    """Ring the agent's device, and call the number from there when it answers."""
    found = ask(config, "dial", [agent], number)
    output.message(f"{agent}: {found['device']} rings, and calls {number} when it answers")


def spy(
    supervisor: Annotated[str, typer.Argument(metavar="SUPERVISOR", help="An agent that may listen.")],
    agent: Agent,
    mode: Annotated[Mode, typer.Option(help="Hear, speak to the agent too, or speak to both.")] = Mode.LISTEN,
    config: ConfigPath = None,
) -> None:
    """Ring the supervisor's device, and listen to the agent's call when it answers."""
    found = ask(config, "spy", [supervisor, agent], mode.value)
    output.message(f"{supervisor}: {found['device']} rings, to {mode.value} to {agent}")


def hangup(agent: Agent, config: ConfigPath = None) -> None:
    """End the agent's call, the one that is not on hold; refuse one that rings."""
    found = ask(config, "hangup", [agent])
    output.message(f"{agent}: {'1 call' if found['calls'] == 1 else str(found['calls']) + ' calls'} ended")


def answer(agent: Agent, config: ConfigPath = None) -> None:
    """Make the agent's ringing telephone answer: one that knows the SIP event talk."""
    ask(config, "answer", [agent])
    output.message(f"{agent}: the call is answered")
