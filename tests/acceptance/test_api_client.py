"""A client that is generated from /openapi.json alone does an application's work: the document says enough."""

import sys
from pathlib import Path

from agentbridge.directory.passwords import hash_password
from lab.api import Api
from lab.postgres import API, Postgres
from lab.processes import run
from tests.acceptance.centre import Centre
from tests.integration.api_scene import Scene

GENERATOR = "openapi-python-client==0.29.1"
"""in an environment of its own: it needs other versions of what is used here"""
PASSWORD = "Secret-1"
WORK = """
import sys
from http.cookies import SimpleCookie

from client import AuthenticatedClient, Client
from client.api.agents import agents_login, agents_pause
from client.api.me import me_calls, me_unpause
from client.api.recordings import recordings_list
from client.api.session import session_create
from client.models import Credentials, Login, Pause

address, token, password = sys.argv[1:]
machine = AuthenticatedClient(base_url=address, token=token)
done = agents_login.sync_detailed("ana", client=machine, body=Login(), prefer="wait=20")
assert (done.status_code, done.parsed.changed) == (200, True), done.content
done = agents_pause.sync_detailed("ana", client=machine, body=Pause(reason="lunch"), prefer="wait=20")
assert (done.status_code, done.parsed.changed) == (200, True), done.content
(recording,) = recordings_list.sync(client=machine, sort="-started_at").items
assert (recording.username, recording.bytes_, recording.ended_at) == ("ana", 4711, None), recording

nobody = Client(base_url=address, headers={"Origin": address})
session = session_create.sync_detailed(client=nobody, body=Credentials(username="ana", password=password))
assert session.status_code == 201, session.content
(cookie,) = SimpleCookie(session.headers["set-cookie"]).values()
ana = Client(base_url=address, headers={"Origin": address}, cookies={}).with_headers(
    {"Cookie": f"{cookie.key}={cookie.value}"}
)
assert me_unpause.sync(client=ana, prefer="wait=20").changed
assert me_calls.sync(client=ana).items == []
print("done")
"""


async def test_a_generated_client_logs_an_agent_in_pauses_and_reads_recordings(
    postgres: Postgres, tmp_path: Path
) -> None:
    python = tmp_path / "venv/bin/python"
    await run(sys.executable, "-m", "venv", str(tmp_path / "venv"), within=400.0)
    await run(str(python), "-m", "pip", "install", "--quiet", GENERATOR, within=300.0)
    async with Centre(postgres, audio=False) as centre:
        internal = await centre.agent("ana", "sales", typology="external", password_hash=hash_password(PASSWORD))
        await centre.db.execute(
            "INSERT INTO agentbridge.recordings"
            " (node, agent_id, username, internal, linkedid, part, file, format, started_at, bytes)"
            " SELECT 'lab', id, username, internal, '1.1', 1, 'f', 'wav', now(), 4711 FROM agentbridge.agents"
        )
        token = await Scene(centre.db, "").token("sessions", "recordings")
        async with Api(postgres.dsn(centre.dsn.rpartition("/")[2], API)) as api:
            generator = str(python.with_name("openapi-python-client"))
            asked = [generator, "generate", "--url", f"{api.origin}/openapi.json", "--meta", "none"]
            await run(*asked, "--output-path", str(tmp_path / "client"), within=400.0)
            (tmp_path / "work.py").write_text(WORK)
            shown = await run(str(python), str(tmp_path / "work.py"), api.origin, token, PASSWORD, within=400.0)
        assert "done" in shown
        seen = await centre.member("sales", internal)
        assert seen is not None
        assert not seen.paused
