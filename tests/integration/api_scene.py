"""The directory that the API's tests look at: an administrator, users, agents, queues, and one of each other thing."""

import hashlib
import itertools
import secrets
from dataclasses import dataclass

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from agentbridge.directory.passwords import hash_password

PASSWORD = "Secret-1"
_hashed = hash_password(PASSWORD)
_ids = itertools.count(1)
PEOPLE = """
truncate agentbridge.agents, agentbridge.users, agentbridge.queues, agentbridge.teams, agentbridge.telephones,
    agentbridge.web_sessions, agentbridge.api_tokens, agentbridge.recordings cascade;
update agentbridge.settings set lock_after = 0, security_suite = false, mask_characters = 4;
insert into agentbridge.queues (name) values ('sales'), ('support');
insert into agentbridge.teams (name) values ('north');
insert into agentbridge.telephones (name) values ('desk1');
insert into agentbridge.users (username, role, agents_permission, may_spy, password_hash) values
    ('boss', 'admin', false, false, $1), ('lead', 'user', true, false, $1), ('sue', 'user', false, true, $1),
    ('none', 'user', false, false, $1);
insert into agentbridge.user_queues (username, queue_id)
    select u, id from agentbridge.queues, unnest('{lead,sue}'::text[]) u where name = 'sales';
insert into agentbridge.agents (username, full_name, typology, password_hash) values
    ('ana', 'Ana', 'external', $1), ('ben', 'Ben', 'webrtc', $1), ('cid', 'Cid', 'phonebar', $1);
insert into agentbridge.queue_members (agent_id, queue_id)
    select a.id, q.id from agentbridge.agents a, agentbridge.queues q
    where (a.username, q.name) in (('ana', 'sales'), ('ben', 'support'), ('cid', 'sales'));
"""


@dataclass
class Scene:
    """`sql` is the owner's connection; `api_dsn` the API's own role."""

    sql: "asyncpg.Connection[asyncpg.Record]"
    api_dsn: str

    async def restore(self) -> None:
        """Sets everything back to the beginning.

        Begins again after a deadlock: the API may be reading the tables that it empties, in another order.
        """
        statements = PEOPLE.replace("$1", f"'{_hashed}'")
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(asyncpg.DeadlockDetectedError), stop=stop_after_attempt(5), reraise=True
        ):
            with attempt:
                await self.sql.execute(statements)

    async def token(self, *scopes: str, expired: bool = False) -> str:
        """Makes a machine's token with these scopes, as the API would."""
        token_id = f"t{next(_ids):07}"
        token = f"ab_{token_id}_{secrets.token_urlsafe(32)}"
        await self.sql.execute(
            "insert into agentbridge.api_tokens (id, proof, name, scopes, created_by, expires_at)"
            " values ($1, $2, 'test', $3, 'test', now() + case when $4 then interval '-1 day' else '1 day' end)",
            token_id,
            hashlib.sha256(token.encode()).digest(),
            list(scopes),
            expired,
        )
        return token
