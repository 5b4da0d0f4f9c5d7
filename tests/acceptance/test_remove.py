"""`agentbridge remove` takes out of Asterisk what is agentbridge's, all of it, and nothing else."""

import re

import aiohttp
import pytest

from lab.processes import LabError, until
from tests.acceptance.centre import Centre

STORES = ("ps_endpoints", "ps_auths", "ps_aors", "agentbridge", "CustomDevstate")
STRANGER = {"fields": [{"attribute": "max_contacts", "value": "7"}]}


async def stored(centre: Centre) -> dict[str, str]:
    """What the AstDB has of each family, without the line that counts."""
    shown = {family: await centre.asterisk.cli(f"database show {family}") for family in STORES}
    return {
        family: "\n".join(line for line in text.splitlines() if line.startswith("/")) for family, text in shown.items()
    }


async def put_a_strangers_aor(centre: Centre) -> None:
    """Another program of this Asterisk uses ARI as well."""
    url = f"http://127.0.0.1:{centre.asterisk.ari_port}/ari/asterisk/config/dynamic/res_pjsip/aor/gateway"
    login = {"Authorization": aiohttp.encode_basic_auth(centre.asterisk.ari_user, centre.asterisk.ari_secret)}
    async with aiohttp.ClientSession(headers=login) as session, session.put(url, json=STRANGER) as answer:
        assert answer.status == 200


async def test_all_that_is_ours_goes_and_nothing_else_and_comes_back_with_the_daemon(centre: Centre) -> None:
    internal = await centre.agent("ana", "sales", "support")
    await centre.agent("ben", "billing")
    await centre.login("ana")
    await centre.settled()
    phone = await centre.phone("ana")
    await put_a_strangers_aor(centre)
    await centre.asterisk.cli("queue add member Local/reception@lab to sales")
    await centre.asterisk.cli("devstate change Custom:door INUSE")

    async def lit() -> bool:
        return f"agent{internal}" in (await stored(centre))["CustomDevstate"]

    await until(lit, within=10, what="ana's lamp")

    with pytest.raises(LabError, match="a daemon works for the node"):
        await centre.bridge.cli("remove", "--yes")
    assert await centre.member("sales", internal) is not None, "nothing was taken out"

    await centre.bridge.stop()
    told = await centre.bridge.cli("remove", "--yes", within=60)
    assert re.search(r"^taken out: .*\b2 queue members\b", told, re.MULTILINE), told
    assert "extensions.conf: what it has of agentbridge" in told
    assert "PJSIP objects that somebody else pushed: gateway" in told
    left = await stored(centre)
    assert left["agentbridge"] == left["ps_endpoints"] == left["ps_auths"] == ""
    assert [line.split()[0] for line in left["ps_aors"].splitlines()] == ["/ps_aors/aor/gateway"]
    assert [line.split()[0] for line in left["CustomDevstate"].splitlines()] == ["/CustomDevstate/door"]
    assert [interface for _, interface in await centre.members("sales", "support")] == ["Local/reception@lab"]
    assert await centre.db.fetchval("SELECT count(*) FROM agentbridge.agents") == 2

    assert "taken out: nothing" in await centre.bridge.cli("remove", "--yes")

    await centre.bridge.start()
    await centre.until_member("sales", internal)
    await phone.register()


async def test_without_the_directory_asterisk_is_asked_who_works_there(centre: Centre) -> None:
    internal = await centre.agent("ana", "sales")
    await centre.login("ana")
    await centre.settled()
    with pytest.raises(LabError, match="other sessions of the account"):
        await centre.bridge.cli("remove", "--yes", "--without-directory")
    await centre.bridge.stop()
    await centre.bridge.cli("remove", "--yes", "--without-directory", within=60)
    left = await stored(centre)
    assert left["agentbridge"] == left["ps_endpoints"] == left["ps_auths"] == left["ps_aors"] == ""
    assert await centre.member("sales", internal) is None
