"""A mail server that keeps what it is given, for tests: as much of SMTP as a client needs to deliver."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message


class Sink:
    """A mail server that stores the e-mails that it is given."""

    def __init__(self, starttls: ssl.SSLContext | None = None) -> None:
        self._starttls = starttls
        self.messages: list[Message] = []
        self.port = 0
        self.refuses_recipients = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            match line.split()[0].upper():
                case b"DATA":
                    writer.write(b"354 go on\r\n")
                    self.messages.append(message_from_bytes(await reader.readuntil(b"\r\n.\r\n")))
                    writer.write(b"250 kept\r\n")
                case b"EHLO" if self._starttls:
                    writer.write(b"250-sink\r\n250 STARTTLS\r\n")
                case b"STARTTLS" if self._starttls:
                    writer.write(b"220 go on\r\n")
                    await writer.start_tls(self._starttls)
                case b"RCPT" if self.refuses_recipients:
                    writer.write(b"550 nobody of that name\r\n")
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    writer.write(b"250 fine\r\n")
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def smtp_sink(
    *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None
) -> AsyncIterator[Sink]:
    """Runs the mail server: encrypted from the start, or when the client asks for it."""
    sink = Sink(starttls)
    server = await asyncio.start_server(sink._serve, "127.0.0.1", 0, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    async with server:
        yield sink
