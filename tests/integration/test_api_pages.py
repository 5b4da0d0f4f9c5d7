"""The desk's pages and files over HTTP."""

import re

import aiohttp

from lab.api import Api


async def test_a_page_names_files_that_are_there_compressed_and_kept_for_ever(api: Api) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        for name in ("login", "desk", "console", "console/agents/ana", "reset/token"):
            async with client.get(f"{api.origin}/{name}") as page:
                text = await page.text()
                assert page.status == 200
                assert page.headers["Cache-Control"] == "no-cache"
            for address in re.findall(r'(?:src|href)="(/[^"]+)"', text):
                async with client.get(api.origin + address, headers={"Accept-Encoding": "gzip"}) as file:
                    body = await file.read()
                    assert file.status == 200
                    # what is small already is sent as it is
                    assert file.headers.get("Content-Encoding") == "gzip" or len(body) < 1000
                    assert "immutable" in file.headers["Cache-Control"]
        async with client.get(f"{api.origin}/desk") as page:
            tag = page.headers["ETag"]
        async with client.get(f"{api.origin}/desk", headers={"If-None-Match": tag}) as again:
            assert again.status == 304


async def test_only_files_of_this_version_are_served(api: Api) -> None:
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{api.origin}/version") as answer:
            version = (await answer.json())["version"]
        for path in ("../pages.py", "%2e%2e/%2e%2e/etc/passwd", "vendor/none.json", "app/none.js", ""):
            async with client.get(f"{api.origin}/assets/{version}/{path}") as answer:
                assert answer.status == 404
        async with client.get(f"{api.origin}/assets/0000000000000000/app/desk/main.js") as answer:
            assert answer.status == 404


async def test_the_pages_need_nothing_of_others(api: Api) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"{api.origin}/desk") as page:
        policy = page.headers["Content-Security-Policy"]
        text = await page.text()
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert not re.search(r"<script(?![^>]*src=)", text), "a script in the page itself"
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
