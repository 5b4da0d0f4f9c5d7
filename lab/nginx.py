"""nginx before `agentbridge api`, with config/nginx/agentbridge.conf as it is but for names and ports."""

import re
import shutil
import ssl
import tempfile
from pathlib import Path

from lab.ports import free_port
from lab.processes import Process, Server, run

SNIPPET = Path(__file__).parents[1] / "config/nginx/agentbridge.conf"
NAME = "desk.example.com"
AROUND = """
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
{snippet}
}}
"""


class Nginx(Server):
    """Runs nginx before `agentbridge api`, with the shipped configuration, TLS on `port`; nginx refuses the path
    `closed` itself."""

    def __init__(self, api_port: int, *, closed: str) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="agentbridge-nginx-"))
        self.port, self._plain = free_port(), free_port()
        self._api_port, self._closed = api_port, closed
        self._process = Process("nginx", self.dir / "out.log")

    async def _begin(self) -> None:
        """Makes a certificate and starts nginx with the shipped configuration."""
        certificate = ("-keyout", str(self.dir / "key.pem"), "-out", str(self.dir / "cert.pem"))
        await run(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"),
            *certificate,
            within=60.0,
        )
        (self.dir / "nginx.conf").write_text(AROUND.format(dir=self.dir, snippet=self._snippet()))
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        await self._process.start(nginx, "-c", str(self.dir / "nginx.conf"), "-p", str(self.dir))
        await self._process.wait_ready(self._answers, 20.0)

    def _snippet(self) -> str:
        """Returns the shipped configuration with this lab's ports and files in it."""
        text = SNIPPET.read_text()
        for old, new in {
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl;\n": "",
            "listen 80;": f"listen 127.0.0.1:{self._plain};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "/etc/ssl/desk.example.com.pem": str(self.dir / "cert.pem"),
            "/etc/ssl/private/desk.example.com.key": str(self.dir / "key.pem"),
            "127.0.0.1:8485": f"127.0.0.1:{self._api_port}",
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        closed = f"    location = {self._closed} {{ return 403; }}\n\n    location / {{"
        text, count = re.subn(r"    location / \{", closed, text)
        assert count == 1
        return text

    def tls(self) -> ssl.SSLContext:
        """Returns a client's TLS context that trusts this nginx's certificate."""
        found = ssl.create_default_context(cafile=str(self.dir / "cert.pem"))
        found.check_hostname = False
        return found

    async def _answers(self) -> bool:
        """Whether nginx takes connections."""
        import asyncio

        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls())
        except OSError:
            return False
        writer.transport.abort()
        return True
