"""What goes on, as a stream: a snapshot, then what is newer, each viewer its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from lab.api import Api, Browser
from tests.integration.api_scene import PASSWORD, Scene

WITHIN_S = 20.0


class Viewer:
    """A websocket, and the picture that its messages make."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.objects: dict[tuple[str, str], Any] = {}
        self.notices: list[dict[str, Any]] = []
        self.cursor = ""
        self.first = ""

    async def subscribe(self, **wanted: Any) -> None:
        await self.socket.send_json({"op": "subscribe", **wanted})
        message = await self.next()
        self.first = message["type"]

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(WITHIN_S):
            received = await self.socket.receive()
        assert received.type is aiohttp.WSMsgType.TEXT, (received, self.socket.close_code)
        message: dict[str, Any] = json.loads(received.data)
        self.cursor = message.get("cursor", self.cursor)
        for item in message.get("objects", ()):
            identity = (item["kind"], item["key"])
            if item["data"] is None:
                self.objects.pop(identity, None)
            else:
                self.objects[identity] = item["data"]
        if message["type"] == "notice":
            self.notices.append(message)
        return message

    async def until(self, kind: str, key: str, **fields: Any) -> dict[str, Any]:
        """Until the object is so."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                data = self.objects.get((kind, key))
                if data is not None and all(data[name] == value for name, value in fields.items()):
                    return data
                await self.next()

    async def until_gone(self, kind: str, key: str) -> None:
        async with asyncio.timeout(WITHIN_S):
            while (kind, key) in self.objects:
                await self.next()

    async def closed(self, within: float = WITHIN_S) -> int | None:
        async with asyncio.timeout(within):
            while (await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        return self.socket.close_code


@asynccontextmanager
async def viewing(browser: Browser, **headers: str) -> AsyncIterator[Viewer]:
    async with browser.session.ws_connect(
        f"{browser.api.origin}/v1/events", headers={**browser.headers(), **headers}
    ) as socket:
        yield Viewer(socket)


async def test_a_viewer_gets_everything_and_then_each_change(api: Api, scene: Scene) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        async with viewing(boss) as viewer:
            await viewer.subscribe(kinds=["agent", "queue"])
            assert viewer.first == "snapshot"
            await viewer.until("agent", "ana", logged_in=False)
            await viewer.until("agent", "ben", logged_in=False)
            await scene.sql.execute("select agentbridge.login('ana'); select agentbridge.pause('ana', 'lunch')")
            await viewer.until("agent", "ana", logged_in=True, paused=True, pause_reason="lunch")
            await scene.sql.execute("delete from agentbridge.agents where username = 'ben'")
            await viewer.until_gone("agent", "ben")
            assert not [kind for kind, _ in viewer.objects if kind not in ("agent", "queue")]


async def test_who_comes_back_with_its_cursor_gets_only_what_is_newer(api: Api, scene: Scene) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        async with viewing(boss) as viewer:
            await viewer.subscribe(kinds=["agent"])
            await viewer.until("agent", "ana", logged_in=False)
            cursor = viewer.cursor
            await scene.sql.execute("select agentbridge.login('ana')")
            await viewer.until("agent", "ana", logged_in=True)
        async with viewing(boss) as again:
            await again.subscribe(kinds=["agent"], cursor=cursor)
            assert again.first == "resumed"
            await again.until("agent", "ana", logged_in=True)
            assert set(again.objects) == {("agent", "ana")}
        for old in ("E00000000.1", "nonsense", "E.", "E" + "9" * 60):
            async with viewing(boss) as other:
                await other.subscribe(kinds=["agent"], cursor=old)
                assert other.first == "snapshot"


async def test_each_sees_its_own(api: Api, scene: Scene) -> None:
    async with Browser(api) as lead, Browser(api) as ana:
        await lead.log_in("lead", PASSWORD)
        await ana.log_in("ana", PASSWORD)
        async with viewing(lead) as viewer, viewing(ana) as own:
            await viewer.subscribe()
            await own.subscribe()
            await viewer.until("agent", "ana", logged_in=False)
            await own.until("me", "ana", logged_in=False)
            await own.until("queue", "sales")  # queues are read apart from agents, and more seldom
            assert {key for kind, key in viewer.objects if kind == "agent"} == {"ana", "cid"}
            assert {kind for kind, _ in own.objects} == {"me", "queue"}
            assert {key for kind, key in own.objects if kind == "queue"} == {"sales"}
            assert ("node", "lab") not in viewer.objects
            # a queue that is not the user's any more takes its agents along
            await scene.sql.execute("delete from agentbridge.user_queues where username = 'lead'")
            await viewer.until_gone("agent", "ana")


async def test_a_session_that_ends_closes_its_streams(api: Api, scene: Scene) -> None:
    async with Browser(api) as ana:
        await ana.log_in("ana", PASSWORD)
        async with viewing(ana) as viewer:
            await viewer.subscribe()
            await scene.sql.execute("update agentbridge.agents set deactivated = true where username = 'ana'")
            assert await viewer.closed() == 4401


async def test_a_token_that_is_deleted_ends_its_streams_at_once(api: Api, scene: Scene) -> None:
    token = await scene.token("events")
    async with Browser(api, token=token) as machine, viewing(machine) as viewer:
        await viewer.subscribe()
        await scene.sql.execute("delete from agentbridge.api_tokens where id = $1", token.split("_")[1])
        # before the stream would have asked by itself
        assert await viewer.closed(within=10) == 4401


async def test_nobody_else_gets_in(api: Api) -> None:
    async with Browser(api) as boss, Browser(api) as nobody:
        await boss.log_in("boss", PASSWORD)
        for headers in ({"Origin": "https://evil.example"}, {"Origin": ""}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with viewing(boss, **headers):
                    pass
            assert refused.value.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with viewing(nobody):
                pass
        assert refused.value.status == 401


@pytest.mark.parametrize("message", ["", "{}", "[]", '{"op":"subscribe","kinds":["x"]}', '{"op":"x"}', "\x00"])
async def test_a_message_that_is_none_closes_the_stream(api: Api, message: str) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        async with viewing(boss) as viewer:
            await viewer.socket.send_str(message)
            assert await viewer.closed() == 4400


async def test_the_same_comes_as_server_sent_events(api: Api, scene: Scene) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        async with boss.session.get(f"{api.origin}/v1/events/stream?kinds=agent", headers=boss.headers()) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            text = ""
            await scene.sql.execute("select agentbridge.login('ana')")
            async with asyncio.timeout(WITHIN_S):
                while '"logged_in":true' not in text:
                    text += (await answer.content.readline()).decode().replace(" ", "")
            assert '"type":"snapshot"' in text
            assert "id:E" in text
