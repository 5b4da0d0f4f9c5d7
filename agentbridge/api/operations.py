"""Which operation there is, and who may do it: the one table that decides before anything is read or asked.

The SQL layer decides again (function api_allowed); a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The roles of those who call the API, which decide what operations they may ask for."""

    ADMIN = "admin"
    USER = "user"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    MACHINE = "machine"


class Scope(StrEnum):
    """The parts of the API that a machine's token may be used for."""

    READ = "read"
    AGENTS = "agents"
    SESSIONS = "sessions"
    PHONEBAR = "phonebar"
    CALLS = "calls"
    RECORDINGS = "recordings"
    INTERACTIONS = "interactions"
    EVENTS = "events"
    ADMIN = "admin"


ANYBODY = frozenset(Role)
KILOBYTE, MEGABYTE = 1024, 1024 * 1024
JSON = "application/json"
PEOPLE_ONLY = frozenset({"users.write", "tokens.list", "tokens.write"})
"""in terms of the SQL layer: what no token may do, whatever its scope, so that none can make itself more"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API: a method of an address, who may ask for it, and what its body may be.

    `rule` is its name in the SQL layer; without roles it needs no session.
    """

    name: str
    rule: str
    roles: frozenset[Role]
    scopes: frozenset[Scope]
    public: bool = False
    body: str = JSON
    most_bytes: int = 256 * KILOBYTE

    def allows(self, roles: frozenset[str], scopes: frozenset[str]) -> bool:
        """Whether somebody with these roles, or a token with these scopes, may ask for the operation."""
        if self.public or roles & self.roles:
            return True
        if Scope.ADMIN in scopes and Role.ADMIN in self.roles and self.rule not in PEOPLE_ONLY:
            return True
        return bool(scopes & self.scopes)


def _may(text: str) -> tuple[frozenset[Role], frozenset[Scope]]:
    """Parses who may ask for an operation; returns the roles and scopes."""
    words = text.split()
    return (
        frozenset(Role(word) for word in words if not word.startswith("scope:")),
        frozenset(Scope(word.removeprefix("scope:")) for word in words if word.startswith("scope:")),
    )


_EVERYBODY = "admin user supervisor agent machine"
_MANAGE = "admin user scope:agents"
_READ = "admin user scope:read"
_VERBS = "admin user scope:sessions scope:phonebar"
_CALLS = "admin user scope:calls"
_WRITE = "admin scope:admin"
_HEAR = "admin user supervisor agent scope:recordings"

_TABLE = f"""
session.create             -                     public
session.read               session.read          {_EVERYBODY}
session.delete             session.delete        {_EVERYBODY}
password-resets.create     -                     public
password-resets.use        -                     public
agents.list                agents.list           admin user supervisor scope:read
agents.create              agents.create         {_MANAGE}
agents.delete-many         agents.delete         {_MANAGE}
agents.export              agents.export         {_READ}
agents.export-many         agents.export         {_READ}
agents.import              agents.import         {_MANAGE}
agents.read                agents.read           admin user supervisor scope:read
agents.update              agents.update         {_MANAGE}
agents.delete              agents.delete         {_MANAGE}
agents.login               agents.session        {_VERBS}
agents.logout              agents.session        {_VERBS}
agents.pause               agents.pause          {_VERBS}
agents.unpause             agents.pause          {_VERBS}
agents.queues.read         agents.read           admin user supervisor scope:read
agents.queues.set          agents.queues         {_MANAGE}
agents.teams.read          agents.read           admin user supervisor scope:read
agents.teams.set           agents.teams          {_MANAGE}
agents.modules.read        agents.read           admin user supervisor scope:read
agents.modules.set         agents.modules        {_MANAGE}
agents.channels.read       agents.read           admin user supervisor scope:read
agents.channels.set        agents.channels       {_MANAGE}
agents.avatar.read         agents.avatar.read    admin user supervisor scope:read
agents.avatar.set          agents.avatar         {_MANAGE}
agents.avatar.delete       agents.avatar         {_MANAGE}
agents.password.set        agents.password       {_MANAGE}
agents.lock.set            agents.lock           {_MANAGE}
agents.lock.delete         agents.lock           {_MANAGE}
agents.profile.read        agents.profile.read   admin user supervisor scope:read
agents.recording.set       agents.recording      {_CALLS}
agents.spy                 agents.spy            admin supervisor
agents.dial                agents.dial           {_CALLS}
agents.hangup              agents.hangup         {_CALLS}
agents.answer              agents.answer         {_CALLS}
requests.read              session.read          {_EVERYBODY}
me.read                    me                    agent
me.login                   me                    agent
me.logout                  me                    agent
me.pause                   me                    agent
me.unpause                 me                    agent
me.profile.read            me                    agent
me.password.set            me                    agent
me.avatar.read             me                    agent
me.avatar.set              me                    agent
me.avatar.delete           me                    agent
me.queues                  me                    agent
me.teams                   me                    agent
me.modules                 me                    agent
me.channels                me                    agent
me.forward.set             me                    agent
me.do-not-disturb.set      me                    agent
me.telephones              me                    agent
me.colleagues              me                    agent
me.calls                   me                    agent
me.calls.recording         me                    agent
me.calls.files             me                    agent
me.dial                    me                    agent
me.hangup                  me                    agent
me.answer                  me                    agent
me.sip-session             me                    agent
me.client-log              me                    agent
queues.list                queues.list           admin user supervisor scope:read
queues.create              queues.write          {_WRITE}
queues.read                queues.read           admin user supervisor scope:read
queues.update              queues.write          {_WRITE}
queues.delete              queues.write          {_WRITE}
teams.list                 teams.list            {_READ}
teams.create               teams.write           {_WRITE}
teams.read                 teams.read            {_READ}
teams.update               teams.write           {_WRITE}
teams.delete               teams.write           {_WRITE}
teams.queues.set           teams.write           {_WRITE}
telephones.list            telephones.list       {_READ}
telephones.create          telephones.write      {_WRITE}
telephones.read            telephones.read       {_READ}
telephones.update          telephones.write      {_WRITE}
telephones.delete          telephones.write      {_WRITE}
telephones.free            telephones.write      {_WRITE}
users.list                 users.list            admin
users.create               users.write           admin
users.read                 users.read            admin
users.update               users.write           admin
users.delete               users.write           admin
users.queues.set           users.write           admin
users.password.set         users.write           admin
settings.read              settings.read         admin scope:read
settings.update            settings.write        admin
pause-reasons.list         pause-reasons.list    admin user supervisor agent scope:read
pause-reasons.create       pause-reasons.write   admin
pause-reasons.delete       pause-reasons.write   admin
prefixes.list              prefixes.list         admin user supervisor agent scope:read
prefixes.create            prefixes.write        {_WRITE}
prefixes.read              prefixes.read         {_READ}
prefixes.update            prefixes.write        {_WRITE}
prefixes.delete            prefixes.write        {_WRITE}
tokens.list                tokens.list           admin
tokens.create              tokens.write          admin
tokens.delete              tokens.write          admin
nodes.list                 nodes.list            admin scope:read
plan.read                  plan.read             admin scope:read
plan.confirm               plan.confirm          admin
recordings.list            recordings.list       {_HEAR}
recordings.audio           recordings.audio      {_HEAR}
recordings.delete          recordings.delete     admin
audit.list                 audit.list            admin
interactions.claim         interactions.write    admin scope:interactions
interactions.release       interactions.write    admin scope:interactions
events.socket              events                admin user supervisor agent scope:events
events.stream              events                admin user supervisor agent scope:events
"""
_BODIES = {
    "agents.avatar.set": ("image/png, image/jpeg", 8 * MEGABYTE + KILOBYTE),
    "me.avatar.set": ("image/png, image/jpeg", 8 * MEGABYTE + KILOBYTE),
    "agents.import": ("text/csv", 32 * MEGABYTE),
    "agents.delete-many": (JSON, 4 * MEGABYTE),
    "agents.export-many": (JSON, 4 * MEGABYTE),
    "me.client-log": ("application/x-ndjson", 64 * KILOBYTE),
}
"""operations whose body is no JSON or larger than usual: its types, and how large it may be"""


def _read(line: str) -> Operation:
    """Parses a line of the table of operations."""
    name, rule, *who = line.split()
    body, most = _BODIES.get(name, (JSON, 256 * KILOBYTE))
    if who == ["public"]:
        return Operation(name, rule, frozenset(), frozenset(), public=True, body=body, most_bytes=most)
    return Operation(name, rule, *_may(" ".join(who)), body=body, most_bytes=most)


OPERATIONS = {found.name: found for found in (_read(line) for line in _TABLE.strip().splitlines())}
