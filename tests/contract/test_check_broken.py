"""`agentbridge check` on one installation that is right, of which one thing at a time is broken.

Each row of BROKEN says what is broken and how, the name of the finding, a word of what it says, and a word of its
advice. Afterwards everything is put right again, and the last test looks whether it is.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from agentbridge.cli.check.daemon_user import NOBODY, DaemonUser
from agentbridge.cli.check.modules import NEEDED
from lab import versions
from lab.asterisk import Asterisk, version_of
from lab.ports import free_port
from lab.postgres import Postgres
from lab.processes import run
from tests.contract.installation import Installation, execute

SNIPPETS = Path(__file__).parents[2] / "config/asterisk"
RELOADS = {
    "extensions.conf": "dialplan reload",
    "queues.conf": "queue reload all",
    "pjsip.conf": "module reload res_pjsip.so",
    "http.conf": "module reload http",
    "rtp.conf": "module reload res_rtp_asterisk.so",
    "manager.conf": "module reload manager",
    "features.conf": "module reload features",
    "extconfig.conf": "module reload extconfig",
    "asterisk.conf": "core show version",  # only read from the file
}
DIRECTORY = """
insert into agentbridge.queues (name) values ('sales');
insert into agentbridge.prefixes (prefix) values ('9');
insert into agentbridge.agents (username, full_name, internal, transport, prefix_required, voicemail, pickup_group)
    values ('ana', 'Ana', '1001', '{udp,tcp}', true, true, '1');
insert into agentbridge.agents (username, full_name, typology, internal, transport)
    values ('wes', 'Wes', 'webrtc', '1002', '{wss}');
"""
EXTENSIONS = """
[general]
; else a reload keeps what is no longer said
clearglobalvars = yes
[globals]
AGENTBRIDGE_OUTBOUND = outside
#include "agentbridge.conf"
[from-sip]
include => agentbridge-features
include => agentbridge-outbound
[customers]
exten => 100,1,Queue(sales,tb(agentbridge-before-ring^s^1(sales)),,,60)
exten => 200,1,Dial(PJSIP/1001,20,tb(agentbridge-before-ring^s^1)U(agentbridge-member-answer))
 same => n,Dial(PJSIP/1001@provider&PJSIP/reception,20)
exten => _1XXX,1,Goto(agentbridge-agents,${EXTEN},1)
[outside]
exten => _9X.,1,Dial(PJSIP/${EXTEN:1}@provider)
"""
# what the snippets leave to the administrator
CUSTOMERS = """
[from-customers]
exten => _2XXX,1,Goto(agentbridge-agents,${EXTEN},1)
exten => 500,1,Queue(sales,b(agentbridge-before-ring^s^1(sales)))
"""
OF_PJSIP = ("res_pjsip_header_funcs", "res_pjsip_notify")
"""what else of it `check` looks for"""


@dataclass(frozen=True)
class Broken:
    """finding: its name; what and to_do: words of it. The rest is how it is broken.

    unload: a module. noload: a module that can't be unloaded: Asterisk starts without it. edit: file → text and what
    stands there instead. add: file → what is added to it. sql: on the database, by its owner. command: one of
    Asterisk's console, and the one that takes it back. ami, ari, more: of agentbridge's configuration.
    etc: Asterisk's folder is named, since it can't be asked. also: what else may be found, as a consequence.
    """

    finding: str
    what: str
    to_do: str
    unload: str = ""
    noload: str = ""
    edit: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    add: Mapping[str, str] = field(default_factory=dict)
    restart: bool = False
    sql: str = ""
    command: tuple[str, str] | None = None
    ami: Mapping[str, object] = field(default_factory=dict)
    ari: Mapping[str, object] = field(default_factory=dict)
    more: str = ""
    etc: bool = False
    also: frozenset[str] = frozenset()
    daemon: DaemonUser | None = None
    open_astdb: bool = False


def unloaded(module: str, what: str) -> Broken:
    return Broken(f"module.{module}", what, f"module load {module}.so", unload=module)


def not_loaded(module: str, what: str, *dependants: str) -> Broken:
    also = frozenset(name if "." in name else f"module.{name}" for name in dependants)
    return Broken(f"module.{module}", what, "modules.conf", noload=module, also=also)


def in_dialplan(finding: str, what: str, right: str, instead: str) -> Broken:
    return Broken(finding, what, "extensions.conf", edit={"extensions.conf": (right, instead)})


BROKEN = {
    # ------------------------------------------------------------ modules
    "no Gosub": unloaded("app_stack", "nothing is recorded"),
    "no AstDB in the dialplan": unloaded("func_db", "options"),
    "no FILTER": unloaded("func_strings", "no call"),
    "no MixMonitor": unloaded("app_mixmonitor", "nothing is recorded"),
    "no FRAME_DROP": unloaded("func_frame_drop", "digits"),
    "no UserEvent": unloaded("app_userevent", "does not hear"),
    "no header on calls": unloaded("res_pjsip_header_funcs", "answers by itself"),
    "no events of ARI": unloaded("res_ari_events", "from a telephone"),
    "no Stasis": unloaded("app_stasis", "from a telephone"),
    "no registrar": unloaded("res_pjsip_registrar", "no phone can register"),
    "no states of devices": unloaded("res_manager_devicestate", "busy lamps"),
    "no log-in of phones": unloaded("res_pjsip_authenticator_digest", "password"),
    "no phone is known by name": unloaded("res_pjsip_endpoint_identifier_user", "nobody"),
    "no queues": Broken("queues.not_loaded", "app_queue is not loaded", "module load app_queue", unload="app_queue"),
    # on 16 app_queue declines to load then as well
    "no ChanSpy": not_loaded("app_chanspy", "nobody can listen", "app_mixmonitor", "queues.not_loaded"),
    # all of PJSIP then declines to load
    "no AstDB for endpoints": not_loaded("res_sorcery_astdb", "whatever sorcery.conf says", *NEEDED, *OF_PJSIP),
    # ------------------------------------------------------------ queues
    "members that a restart loses": Broken(
        "queues.persistentmembers", "every queue is empty", "persistentmembers = yes",
        edit={"queues.conf": ("persistentmembers = yes", "persistentmembers = no")},
    ),
    "one last call for all queues": Broken(
        "queues.shared_lastcall", "shared_lastcall is on", "shared_lastcall = no",
        edit={"queues.conf": ("shared_lastcall = no", "shared_lastcall = yes")},
    ),
    "a queue that rings agents in calls": Broken(
        "queue.ringinuse", "queue sales", "section [sales]: ringinuse = no",
        edit={"queues.conf": ("ringinuse = no", "ringinuse = yes")},
    ),
    "a queue that says nothing of calls": Broken(
        "queue.ringinuse", "line is missing", "ringinuse = no", edit={"queues.conf": ("ringinuse = no", "")},
    ),
    "a queue without our subroutine": Broken(
        "queue.membergosub", "queue sales", "membergosub = agentbridge-member-answer",
        edit={"queues.conf": ("membergosub = agentbridge-member-answer", "")},
    ),
    "a template below its queue": Broken(
        "queues.template", "[support](later)", "move the template [later](!) above",
        add={"queues.conf": "[support](later)\n[later](!)\nstrategy = ringall\n"},
    ),
    "a template below its queue, after the restart": Broken(
        "queues.not_loaded", "[support](later)", "move the template [later](!) above",
        add={"queues.conf": "[support](later)\n[later](!)\nstrategy = ringall\n"}, restart=True,
    ),
    "an agent's phone as a static member": Broken(
        "queue.static_member", "agent ana", "member => PJSIP/1001", add={"queues.conf": "member => PJSIP/1001\n"},
    ),
    "a member of another tool": Broken(
        "queue.other_member", "queue sales has member Local/1001@from-queue/n", "queue remove member Local/1001",
        command=(
            "queue add member Local/1001@from-queue/n to sales",
            "queue remove member Local/1001@from-queue/n from sales",
        ),
    ),
    "queues in a database": Broken(
        "queues.realtime", "realtime", "extconfig.conf",
        add={"extconfig.conf": "queue_members => sqlite3,agentbridge,members\n"},
    ),
    "a queue that only the directory has": Broken(
        "queue.unknown", "queue nowhere", "add [nowhere] to queues.conf",
        sql="insert into agentbridge.queues (name) values ('nowhere')",
    ),
    # ------------------------------------------------------------ SIP
    "another realm": Broken(
        "sip.realm", "default_realm is office", "default_realm = asterisk",
        edit={"pjsip.conf": ("type = global", "type = global\ndefault_realm = office")},
    ),
    "phones known by address alone": Broken(
        "sip.identifier_order", "none can register", "endpoint_identifier_order = ip,username",
        edit={"pjsip.conf": ("type = global", "type = global\nendpoint_identifier_order = ip")}, restart=True,
    ),
    "no SIP over TCP": Broken(
        "sip.no_transport", "transport tcp", "protocol = tcp",
        edit={"pjsip.conf": ("protocol = tcp", "protocol = udp\nasync_operations = 1")}, restart=True,
    ),
    "a trunk at an agent's address": Broken(
        "sip.host_overlap", "1001 has host 192.0.2.7", "another host for 1001",
        sql="update agentbridge.agents set host = '192.0.2.7' where username = 'ana'",
        add={"pjsip.conf": "[trunk]\ntype = identify\nendpoint = caller\nmatch = 192.0.2.0/24\n"},
    ),
    "a phone of the PBX in our range": Broken(
        "numbers.range", "1500", "internal_from",
        add={"pjsip.conf": "[1500]\ntype = aor\nmax_contacts = 1\n[1500]\ntype = endpoint\naors = 1500\n"},
    ),
    "a phone of the PBX with an agent's number": Broken(
        "numbers.clash", "1001", "internal=NUMBER", add={"pjsip.conf": "[1001]\ntype = aor\nmax_contacts = 1\n"},
    ),
    # ------------------------------------------------------------ browsers
    "no HTTPS": Broken("webrtc.no_https", "no TLS", "tlsenable", edit={"http.conf": ("tlsenable = yes", "")}),
    "a certificate that nobody believes": Broken(
        "webrtc.certificate", "is self-signed", "tlscertfile", edit={"http.conf": ("leaf", "self")},
    ),
    "no way to SIP in a browser": Broken(
        "webrtc.no_websocket", "no /ws", "res_pjsip_transport_websocket", unload="res_pjsip_transport_websocket",
    ),
    "no ICE": Broken(
        "webrtc.no_ice", "silent", "icesupport = yes", edit={"rtp.conf": ("icesupport = yes", "icesupport = no")},
    ),
    # ------------------------------------------------------------ AMI and ARI
    "another prefix of HTTP": Broken(
        "ari.url", "/office/ari", "ari.url =",
        edit={"http.conf": ("tlsenable", "prefix = office\ntlsenable")},
    ),
    "a wrong path of ARI": Broken("ari.url", "there is no ARI at", "ari.url =", ari={"url": "@URL@/wrong/ari"}),
    "one log-in for each account": Broken(
        "ami.one_login", "four sessions", "allowmultiplelogin = yes",
        edit={"manager.conf": ("allowmultiplelogin = yes", "allowmultiplelogin = no")},
    ),
    "an address that is not let in": Broken(
        "ami.permit", "not let in", "permit = 127.0.0.1",
        edit={"manager.conf": ("permit = 127.0.0.1/255.255.255.255", "permit = 192.0.2.1/255.255.255.255")},
        etc=True,
    ),
    # ------------------------------------------------------------ dialplan
    "no agents' context": in_dialplan("dialplan.no_context", "context from-sip", "[from-sip]", "[internal]"),
    "no feature codes": in_dialplan(
        "dialplan.not_led", "agentbridge-features", "include => agentbridge-features", "",
    ),
    "feature codes behind what takes every number": in_dialplan(
        "dialplan.order", "no code works", "include => agentbridge-features",
        "include => agentbridge-outbound\ninclude => agentbridge-features",
    ),
    "past our outbound context": in_dialplan(
        "dialplan.not_led", "agentbridge-outbound", "include => agentbridge-outbound", "include => outside",
    ),
    "no way to an agent's number": in_dialplan(
        "dialplan.no_numbers", "only agents", "Goto(agentbridge-agents,${EXTEN},1)", "Hangup()",
    ),
    "no look before the phone rings": in_dialplan(
        "dialplan.queue", "Queue(sales)", "b(agentbridge-before-ring^s^1(sales))", "",
    ),
    "a look at another queue's pause": in_dialplan("dialplan.queue", "Queue(sales)", "s^1(sales)", "s^1(support)"),
    "a look that names no queue": in_dialplan("dialplan.queue", "Queue(sales)", "^s^1(sales))", "^s^1)"),
    "a call past the agent's options": in_dialplan(
        "dialplan.dial", "Dial(PJSIP/1001)", "U(agentbridge-member-answer)", "",
    ),
    "no such context outside": in_dialplan(
        "dialplan.no_outside", "outsied", "AGENTBRIDGE_OUTBOUND = outside", "AGENTBRIDGE_OUTBOUND = outsied",
    ),
    "no prefix to choose from": Broken(
        "dialplan.prefix", "none of them can call outside", "agentbridge prefix create",
        sql="delete from agentbridge.prefixes",
    ),
    "listening of the administrator's own": in_dialplan(
        "dialplan.chanspy", "context outside", "[outside]", "[outside]\nexten => 777,1,ChanSpy(PJSIP/provider)",
    ),
    # ------------------------------------------------------------ other services
    "digits in the log": Broken(
        "logger.dtmf", "PINs", "logger.conf", command=("logger add channel typed dtmf", "logger remove channel typed"),
    ),
    "no code to pick up": Broken(
        "features.pickup", "switched off", "pickupexten = *8", edit={"features.conf": ("*8", "")},
    ),
    "our own code to pick up": Broken(
        "features.pickup", "*54", "pickupexten = *8", edit={"features.conf": ("*8", "*54")},
    ),
    "boxes that can't be written": Broken(
        "voicemail.not_writable", "no boxes", "voicemail.sql",
        edit={"extconfig.conf": ("voicemail => sqlite3,agentbridge,voicemail", "")},
    ),
    "boxes without their table": Broken(
        "voicemail.not_writable", "could not write", "voicemail.sql",
        edit={"extconfig.conf": ("agentbridge,voicemail", "agentbridge,nowhere")},
    ),
    "programs by a variable": Broken(
        "asterisk.live_dangerously", "may run a program", "live_dangerously = no",
        edit={"asterisk.conf": ("live_dangerously = no", "live_dangerously = yes")},
    ),
    "digests that everybody reads": Broken("asterisk.astdb_readable", "digests", "chmod o=", open_astdb=True),
    "recordings that the daemon can't see": Broken(
        "recordings.closed", "daemon's user agentbridge", "SupplementaryGroups=",
        daemon=DaemonUser("agentbridge", NOBODY, NOBODY),
    ),
    # ------------------------------------------------------------ database and configuration
    "a database that can only be read": Broken(
        "database.read_only", "nobody can log in", "RESET default_transaction_read_only",
        sql="alter database @NAME@ set default_transaction_read_only = on",
    ),
    "commits that a power cut loses": Broken(
        "database.commits", "plan --confirm", "synchronous_commit = on",
        sql="alter database @NAME@ set synchronous_commit = off",
    ),
    "a server that ends idle sessions": Broken(
        "database.idle_session_timeout", "again and again", "SET idle_session_timeout = 0",
        sql="alter database @NAME@ set idle_session_timeout = '2s'",
    ),
    "PINs that may be guessed for ever": Broken(
        "phone.guessing", "1 agents have a PIN", "lock_after",
        sql="update agentbridge.agents set pin_hash = '$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaA' "
        "where username = 'ana'",
    ),
    "no file of the mail server's password": Broken(
        "config.missing_file", "/nowhere/mail_password", "/nowhere/mail_password",
        more='[mail]\npassword_file = "/nowhere/mail_password"\n',
    ),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def asterisk() -> AsyncIterator[Asterisk]:
    """All that the directory asks for is there."""
    port = free_port()
    async with Asterisk(queues={"sales": {}}) as server:
        for name in ("self", "leaf"):
            await _certificate(server.etc, name)
        server.write_config("sorcery.conf", (SNIPPETS / "sorcery.conf").read_text())
        server.write_config("extensions.conf", EXTENSIONS)
        server.write_config("features.conf", "[general]\npickupexten = *8\n")
        _add(server, "manager.conf", "allowmultiplelogin = yes\n")  # a reload keeps it where it is not said again
        _add(
            server,
            "http.conf",
            f"tlsenable = yes\ntlsbindaddr = 127.0.0.1:{port}\ntlscertfile = {server.etc}/leaf.pem\n"
            f"tlsprivatekey = {server.etc}/leaf.key\n",
        )
        await server.restart()
        yield server


async def _certificate(folder: Path, name: str) -> None:
    """`self` signs itself; `leaf` is signed by `self`, as by an authority that this machine does not know."""
    signed = () if name == "self" else ("-CA", f"{folder}/self.pem", "-CAkey", f"{folder}/self.key")
    await run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", "-days", "2", "-subj", f"/CN={name}"),
        *signed,
        within=20.0,
    )


@pytest_asyncio.fixture(scope="module")
async def directory(postgres: Postgres, template: str) -> AsyncIterator[str]:
    """The DSN of a directory that asks for everything that an administrator may have forgotten."""
    dsn = await postgres.create_database("asking", template)
    await execute(dsn, DIRECTORY)
    yield "asking"
    await postgres.drop_database("asking")


@pytest_asyncio.fixture
async def installation(
    asterisk: Asterisk, postgres: Postgres, directory: str, tmp_path: Path
) -> AsyncIterator[Installation]:
    name = f"{directory}_copy"
    yield Installation(tmp_path, asterisk, await postgres.create_database(name, directory))
    await postgres.drop_database(name)


def _edit(server: Asterisk, name: str, right: str, instead: str) -> None:
    text = (server.etc / name).read_text()
    assert right in text, f"{name} has no {right}"
    server.write_config(name, text.replace(right, instead))


def _add(server: Asterisk, name: str, text: str) -> None:
    server.write_config(name, (server.etc / name).read_text() + text)


async def _reload(server: Asterisk, broken: Broken) -> None:
    """Makes Asterisk read the files that a row changes."""
    if broken.restart or broken.noload:
        await server.restart()
        return
    for name in dict.fromkeys((*broken.edit, *broken.add)):
        await server.cli(RELOADS[name])


async def _break(installation: Installation, broken: Broken) -> None:
    server = installation.asterisk
    for name, (right, instead) in broken.edit.items():
        _edit(server, name, right, instead)
    for name, text in broken.add.items():
        _add(server, name, text)
    if broken.noload:
        _add(server, "modules.conf", f"noload = {broken.noload}.so\n")
    await _reload(server, broken)
    if broken.unload:
        assert "Unloaded" in await server.cli(f"module unload {broken.unload}.so")
    if broken.command:
        await server.cli(broken.command[0])
    if broken.open_astdb:
        server.astdb.chmod(0o644)
    if broken.sql:
        await execute(installation.dsn, broken.sql.replace("@NAME@", "asking_copy"))
    url = f"http://127.0.0.1:{server.ari_port}"
    installation.ami = dict(broken.ami)
    installation.ari = {key: str(value).replace("@URL@", url) for key, value in broken.ari.items()}
    installation.more = broken.more
    installation.etc = server.etc if broken.etc else None
    installation.daemon = broken.daemon or installation.daemon


async def _mend(server: Asterisk, broken: Broken, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        server.write_config(name, text)
    server.astdb.chmod(0o640)
    if broken.unload:
        await server.cli(f"module load {broken.unload}.so")
    if broken.command:
        await server.cli(broken.command[1])
    await _reload(server, broken)


def untold(installation: Installation) -> set[str]:
    """What this version of Asterisk does not say of itself."""
    told = versions.says_whether_digits_drop(version_of(installation.asterisk.root))
    return set() if told else {"not_seen.dropped"}


async def test_nothing_is_found_where_everything_is_as_the_directory_asks(installation: Installation) -> None:
    assert await installation.check() == {}
    assert installation.unseen == untold(installation)
    assert "No rows" in await installation.asterisk.cli("realtime load voicemail internal agentbridge-check")
    assert "agentbridge-check" not in await installation.asterisk.cli("database show")


@pytest.mark.parametrize("name", BROKEN)
async def test_one_thing_that_is_broken_is_told_with_its_cure(installation: Installation, name: str) -> None:
    broken, server = BROKEN[name], installation.asterisk
    files = {file: (server.etc / file).read_text() for file in (*broken.edit, *broken.add, "modules.conf")}
    try:
        await _break(installation, broken)
        found = await installation.check()
    finally:
        await _mend(server, broken, files)
    assert next(iter(found)) == broken.finding
    assert found.keys() <= broken.also | {broken.finding}
    told = found[broken.finding]
    assert broken.what in told.what
    assert broken.to_do in told.to_do
    assert "\n" not in told.what


async def test_an_agents_call_that_is_led_to_us_by_a_roundabout_way_is_right(installation: Installation) -> None:
    server = installation.asterisk
    roundabout = "include => office\n[office]\nexten => _X.,1,Goto(agentbridge-outbound,${EXTEN},1)"
    _edit(server, "extensions.conf", "include => agentbridge-outbound", roundabout)
    await server.cli("dialplan reload")
    try:
        assert await installation.check() == {}
    finally:
        server.write_config("extensions.conf", EXTENSIONS)
        await server.cli("dialplan reload")


async def test_nothing_is_found_where_dialplan_and_queues_are_our_own_snippets(
    asterisk: Asterisk, database: str, tmp_path: Path
) -> None:
    await execute(
        database,
        "insert into agentbridge.queues (name) values ('sales');"
        "insert into agentbridge.agents (username, full_name, voicemail) values ('a', 'A', true)",
    )
    texts = {
        "extensions.conf": "[general]\nclearglobalvars = yes\n[globals]\n"
        + (SNIPPETS / "extensions.conf").read_text()
        + CUSTOMERS,
        "extconfig.conf": "[settings]\n" + (SNIPPETS / "extconfig.conf").read_text(),
        "queues.conf": (SNIPPETS / "queues.conf").read_text()
        + "[general]\npersistentmembers = yes\n[sales](agentbridge)\n",
    }
    before = {name: (asterisk.etc / name).read_text() for name in texts}
    try:
        for name, text in texts.items():
            asterisk.write_config(name, text)
            await asterisk.cli(RELOADS[name])
        assert await Installation(tmp_path, asterisk, database).check() == {}
    finally:
        for name, text in before.items():
            asterisk.write_config(name, text)
            await asterisk.cli(RELOADS[name])


async def test_everything_was_put_right_again(installation: Installation) -> None:
    assert await installation.check() == {}
    assert installation.unseen == untold(installation)
    assert len(BROKEN) >= 40
