"""What an Asterisk can do is asked of it, and what it has no word for is left out or said in its older words."""

from dataclasses import replace

import pytest

from agentbridge.asterisk.capabilities import ADD_REASON, DIGITS, MUTING, Capabilities, ask, meaning
from agentbridge.asterisk.drivers.pjsip_fields import MANAGED, decoded
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import desired
from agentbridge.errors import Refused
from agentbridge.model import (
    Agent,
    AgentId,
    EndpointId,
    Line,
    ObjectKind,
    Subject,
    Typology,
)

KEY = EndpointId("1001")
OLDER = {"password_digest", "outgoing_call_offer_pref"}
ANN = Agent(
    id=AgentId(1), username="ann", internal=KEY, display_name="Ann", typology=Typology.EXTERNAL, line=Line(secret="x")
)
WANTED = desired(Subject(key=KEY, agent=ANN), SipDefaults())


class Console:
    """Answers as Asterisk's console does."""

    def __init__(self, *, lacks: set[str], documented: bool = True, refuses: bool = False) -> None:
        self.lacks, self.documented, self.refuses = lacks, documented, refuses

    async def command(self, line: str, *, timeout: float) -> str:
        del timeout
        match line.split():
            case ["config", *_, kind, name] if name in self.lacks:
                if self.refuses:
                    raise Refused(f"Command: No option {name} found for res_pjsip:{kind}")
                return f"No option {name} found for res_pjsip:{kind}\n"
            case ["manager", "show", "command", "QueueAdd"] if self.documented:
                return "Interface: <value>\n[Paused:] <value>\n" + ("" if "Reason" in self.lacks else "[Reason:] <v>")
            case ["core", "show", "application", "SendDTMF"]:
                return "SendDTMF(digits[,timeout_ms[,duration_ms[,channel{}]]])".format(
                    "" if "SendDTMF" in self.lacks else "[,options]"
                )
            case ["core", "show", "taskprocessors", "like", names]:
                return "0 taskprocessors" if names.startswith("taskpool") else f"{names}-0001  1  0  1  450  500"
            case _:
                return ""


async def test_what_is_missing_is_named_with_what_it_means() -> None:
    found = await ask(Console(lacks={*OLDER, "Reason", "SendDTMF", "rtp_port_start"}), MANAGED)
    fields = ("password_digest of an auth", "outgoing_call_offer_pref of an endpoint")
    assert found.lacks == (*fields, ADD_REASON, MUTING, DIGITS)
    assert all("default" not in meaning(lack) for lack in found.lacks)
    assert not found.digest
    assert "taskpool" not in found.processors
    assert "stasis/m" in found.processors


@pytest.mark.parametrize("refuses", [False, True])
async def test_an_unknown_field_is_known_by_what_the_console_prints(refuses: bool) -> None:
    found = await ask(Console(lacks={"webrtc"}, refuses=refuses), MANAGED)
    assert found.unknown == {ObjectKind.ENDPOINT: {"webrtc"}}
    assert meaning(found.lacks[0])


async def test_an_asterisk_that_knows_all_lacks_nothing_and_is_given_all() -> None:
    found = await ask(Console(lacks=set()), MANAGED)
    assert found.lacks == ()
    assert found.expressible(WANTED) == WANTED


async def test_without_documentation_nothing_is_taken_for_missing() -> None:
    found = await ask(Console(lacks={"Reason"}, documented=False), MANAGED)
    assert found.lacks == ()


def test_an_unknown_field_is_not_asked_for_and_the_digest_is() -> None:
    unknown = {ObjectKind.AUTH: frozenset({"password_digest"}), ObjectKind.ENDPOINT: frozenset(OLDER)}
    older = Capabilities(unknown=unknown)
    state = older.expressible(WANTED)
    assert state.objects[ObjectKind.AUTH] == WANTED.objects[ObjectKind.AUTH]
    endpoint = dict(WANTED.objects[ObjectKind.ENDPOINT])
    del endpoint["outgoing_call_offer_pref"]
    assert state.objects[ObjectKind.ENDPOINT] == endpoint
    assert replace(state, objects=WANTED.objects) == WANTED


@pytest.mark.parametrize(
    ("stored", "digest", "kept"),
    [
        ('{"auth_type": "md5", "md5_cred": "abc"}', False, True),
        ('{"auth_type": "digest", "password_digest": "MD5:abc"}', True, True),
        # after an upgrade, or a downgrade: written once more, in this Asterisk's words
        ('{"auth_type": "md5", "md5_cred": "abc"}', True, False),
        ('{"auth_type": "digest", "password_digest": "MD5:abc"}', False, False),
        ('{"auth_type": "userpass", "password": "abc"}', False, False),
    ],
)
def test_a_digest_counts_in_the_words_of_this_asterisk_alone(stored: str, digest: bool, kept: bool) -> None:
    auth = decoded(ObjectKind.AUTH, stored, digest=digest)
    assert ((auth["auth_type"], auth["password_digest"]) == ("digest", "MD5:abc")) is kept
