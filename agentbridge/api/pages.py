"""The web application's files: pages that are asked for again each time, and assets that never change.

The address of an asset holds a hash of all files, so a page and what it loads are always of one version: a browser
keeps assets for ever, and asks for the page each time, which names the present ones.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentbridge.api.problems import Problem

PAGES = {"/desk": "desk.html", "/console": "console.html", "/login": "login.html", "/reset": "reset.html"}
"""address → page; what is below an address is the page's own business"""
PLACEHOLDER = b"{assets}"
"""in a page: where its assets are"""
WORTH_PACKING = 1000
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}


@dataclass(frozen=True, slots=True)
class File:
    """A file of the web application in memory: its content, also compressed, its type and its ETag."""

    content: bytes
    packed: bytes
    """gzip; empty where it saves nothing"""
    type: str
    etag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> File:
        """Makes the entry of a file: its MIME type, the hash as ETag, and compressed where that makes it smaller."""
        suffix = name[name.rfind(".") :]
        kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        packed = gzip.compress(content, mtime=0) if len(content) > WORTH_PACKING else b""
        if kind.startswith("text/"):
            kind += "; charset=utf-8"
        return cls(
            content,
            packed if len(packed) < 0.9 * len(content) else b"",
            kind,
            f'"{hashlib.sha256(content).hexdigest()[:20]}"',
        )

    def answer(self, request: Request, cache: str) -> Response:
        """Returns the response to a request: 304 where the browser has this version, compressed where it accepts
        that."""
        headers = {"Cache-Control": cache, "ETag": self.etag, "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        if self.packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, 200, headers | {"Content-Encoding": "gzip"}, media_type=self.type)
        return Response(self.content, 200, headers, media_type=self.type)


class Web:
    """All files of the web application, read into memory from `folder`."""

    def __init__(self, folder: Traversable) -> None:
        files = dict(sorted(_files(folder)))
        digest = hashlib.sha256()
        for name, content in files.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = digest.hexdigest()[:16]
        prefix = f"/assets/{self.version}".encode()
        self.assets = {name: File.of(name, content) for name, content in files.items() if name not in PAGES.values()}
        self.pages = {
            name: File.of(name, files[name].replace(PLACEHOLDER, prefix)) for name in PAGES.values() if name in files
        }


def _files(folder: Traversable, before: str = "") -> list[tuple[str, bytes]]:
    """Returns path and content of all files below the folder."""
    found: list[tuple[str, bytes]] = []
    for item in folder.iterdir():
        if item.name.startswith((".", "__")) or item.name.endswith(".py") or item.name == "node_modules":
            continue  # the last is only there for whoever works on the pages
        if item.is_dir():
            found += _files(item, f"{before}{item.name}/")
        else:
            found.append((f"{before}{item.name}", item.read_bytes()))
    return found


def router(web: Web | None = None) -> APIRouter:
    """Returns the routes that serve the web application: `web`, else the one in the package."""
    found = web or Web(resources.files("agentbridge") / "web")
    routes = APIRouter(include_in_schema=False)

    async def asset(request: Request, version: str, path: str) -> Response:
        file = found.assets.get(path)
        if file is None or version != found.version:
            raise Problem(404, "there is no such file in this version")
        return file.answer(request, "public, max-age=31536000, immutable")

    routes.add_api_route("/assets/{version}/{path:path}", asset, methods=["GET", "HEAD"])
    for address, name in PAGES.items():
        if name in found.pages:
            page = _page(found.pages[name])
            routes.add_api_route(address, page, methods=["GET", "HEAD"])
            routes.add_api_route(address + "/{path:path}", page, methods=["GET", "HEAD"])

    async def version() -> Response:
        """Which version is served: an open page that is of another one offers to reload."""
        return Response(f'{{"version":"{found.version}"}}', 200, {"Cache-Control": "no-store"}, "application/json")

    async def start() -> Response:
        return RedirectResponse("/login", 303)

    routes.add_api_route("/version", version, methods=["GET"])
    routes.add_api_route("/", start, methods=["GET"])
    return routes


def _page(file: File) -> Callable[[Request], Awaitable[Response]]:
    """Returns a handler that answers with the file."""

    async def page(request: Request) -> Response:
        return file.answer(request, "no-cache")

    return page
