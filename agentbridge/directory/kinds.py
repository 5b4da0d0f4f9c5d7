"""What an administrator lists and edits: agents, telephones, queues, teams, users, settings, and the SQL that shows
them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A table and how it is looked at. `listing` and `details` are SQL; `details` takes the key as $1."""

    name: str
    plural: str = ""
    """empty: the name with an s"""
    key: str
    listed: str = ""
    """what `listing` and messages call the key; empty: the same"""
    listing: str
    details: str
    searched: tuple[str, ...]
    secret: frozenset[str] = frozenset()
    """fields that are never shown"""
    derived: frozenset[str] = frozenset()
    """fields that follow from others, and are not shown beside them"""
    elsewhere: Mapping[str, str]
    """fields that are not set here → what sets them"""
    typed: Mapping[str, str] = field(default_factory=dict)
    """secrets that nobody puts on a command line, which all users of the machine see → what asks for them"""
    of_the_suite: frozenset[str] = frozenset()
    """fields that are shown with the security suite on only (A10)"""
    whose: str = "may_manage"
    """the function of the schema that says of an actor and a key whether it is one of the actor's"""

    @property
    def field(self) -> str:
        """What a message calls the key."""
        return self.listed or self.key

    @property
    def table(self) -> str:
        return f"agentbridge.{self.plural or f'{self.name}s'}"


CHANNELS = ("voice", "chat", "email", "sms", "openchannel", "fax", "whatsapp")
"""of a queue"""
AGENT = Kind(
    name="agent",
    key="username",
    listing="""
        select a.username, a.full_name, a.internal, a.typology, a.email, a.alias, s.agent_id is not null as logged_in,
            coalesce(s.paused, false) as paused, t.name as telephone, a.deactivated,
            a.locked_at is not null as locked, a.created_at
        from agentbridge.agents a left join agentbridge.sessions s on s.agent_id = a.id
        left join agentbridge.telephones t on t.id = s.telephone_id""",
    details="""
        select jsonb_build_object(
            'queues', coalesce((select jsonb_object_agg(q.address, m.penalty) from agentbridge.effective_members m
                join agentbridge.queues q on q.id = m.queue_id where m.agent_id = a.id), '{}'),
            'teams', array(select t.name from agentbridge.team_members m join agentbridge.teams t on t.id = m.team_id
                where m.agent_id = a.id order by t.name),
            'modules', array(select m.module from agentbridge.agent_modules m where m.agent_id = a.id order by 1),
            'channels', coalesce((select jsonb_object_agg(c.channel, to_jsonb(c) - '{agent_id,channel}'::text[])
                from agentbridge.agent_channels c where c.agent_id = a.id), '{}'),
            'status', (select to_jsonb(s) - '{username,internal}'::text[] from agentbridge.agent_status s
                where s.username = a.username))
        from agentbridge.agents a where a.username = $1""",
    searched=("username", "full_name", "internal", "email", "alias"),
    secret=frozenset({"sip_secret", "password_hash", "pin_hash", "voicemail_pin", "avatar"}),
    of_the_suite=frozenset({"password_changed_at"}),
    typed={
        "sip_secret": "`agent password NAME --for sip`",
        "voicemail_pin": "`agent password NAME --for voicemail`",
    },
    elsewhere={
        "id": "nothing",
        "created_at": "nothing",
        "password": "`agent password`",
        "pin": "`agent password --for pin`",
        "password_hash": "`agent password`",
        "password_changed_at": "`agent password`",
        "pin_hash": "`agent password --for pin`",
        "locked_at": "`agent unlock`",
        "failed_logins": "`agent unlock`",
        "avatar": "`agent avatar`",
        "avatar_type": "`agent avatar`",
    },
)
TELEPHONE = Kind(
    name="telephone",
    key="name",
    listing="select name, description, registered, agent, available from agentbridge.telephone_status",
    details="""
        select jsonb_build_object('agent', s.agent, 'available', s.available)
        from agentbridge.telephone_status s where s.name = $1""",
    searched=("name", "description", "agent"),
    secret=frozenset({"sip_secret"}),
    typed={"sip_secret": "`telephone secret NAME --set`"},
    elsewhere={"id": "nothing", "created_at": "nothing", "registered": "the daemon", "registered_at": "the daemon"},
)
QUEUE = Kind(
    name="queue",
    key="address",
    listed="name",
    listing="""
        select q.address as name, q.channel, q.description,
            (select count(*) from agentbridge.effective_members m where m.queue_id = q.id) as members
        from agentbridge.queues q""",
    details="""
        select jsonb_build_object(
            'members', coalesce((select jsonb_object_agg(a.username, m.penalty) from agentbridge.effective_members m
                join agentbridge.agents a on a.id = m.agent_id where m.queue_id = q.id), '{}'),
            'teams', coalesce((select jsonb_object_agg(t.name, tq.penalty) from agentbridge.team_queues tq
                join agentbridge.teams t on t.id = tq.team_id where tq.queue_id = q.id), '{}'))
        from agentbridge.queues q where q.address = $1""",
    searched=("name", "description"),
    whose="has_queue",
    derived=frozenset({"address"}),
    elsewhere={
        "id": "nothing",
        "created_at": "nothing",
        "address": "nothing",
        "home_node": "`node home`",
        "serving_node": "the daemons",
        "serving_since": "the daemons",
    },
)
TEAM = Kind(
    name="team",
    key="name",
    listing="""
        select t.name, t.description,
            (select count(*) from agentbridge.team_members m where m.team_id = t.id) as members,
            (select count(*) from agentbridge.team_queues q where q.team_id = t.id) as queues
        from agentbridge.teams t""",
    details="""
        select jsonb_build_object(
            'members', array(select a.username from agentbridge.team_members m
                join agentbridge.agents a on a.id = m.agent_id where m.team_id = t.id order by a.username),
            'queues', coalesce((select jsonb_object_agg(q.address, tq.penalty) from agentbridge.team_queues tq
                join agentbridge.queues q on q.id = tq.queue_id where tq.team_id = t.id), '{}'))
        from agentbridge.teams t where t.name = $1""",
    searched=("name", "description"),
    elsewhere={"id": "nothing"},
)
USER = Kind(
    name="user",
    key="username",
    listing="""
        select u.username, u.role, u.agents_permission, u.may_spy,
            (select count(*) from agentbridge.user_queues e where e.username = u.username) as queues
        from agentbridge.users u""",
    details="""
        select jsonb_build_object('queues', array(select q.address from agentbridge.user_queues e
            join agentbridge.queues q on q.id = e.queue_id where e.username = u.username order by q.address))
        from agentbridge.users u where u.username = $1""",
    searched=("username", "role"),
    secret=frozenset({"password_hash"}),
    elsewhere={"password_hash": "`user password`"},
)
PREFIX = Kind(
    name="prefix",
    plural="prefixes",
    key="prefix",
    listing="select prefix, label from agentbridge.prefixes",
    details="select '{}'::jsonb from agentbridge.prefixes where prefix = $1",
    searched=("prefix", "label"),
    elsewhere={},
)
SETTING = Kind(
    name="setting",
    key="only_row::text",  # the table has one row, and no name in it
    listing="",
    details="select '{}'::jsonb from agentbridge.settings s where s.only_row::text = $1",
    searched=(),
    secret=frozenset({"only_row"}),
    elsewhere={"only_row": "nothing"},
)
THE_ROW = "true"
"""the key of `SETTING`"""
AVAILABLE_TELEPHONE = replace(TELEPHONE, listing=f"{TELEPHONE.listing} where available")
