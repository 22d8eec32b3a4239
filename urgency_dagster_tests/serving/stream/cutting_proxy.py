"""A proxy that cuts connections after some bytes, as a lost network does: without a closing handshake."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


@asynccontextmanager
async def cutting_proxy(url: str, cuts: Sequence[int]) -> AsyncIterator[tuple[str, list[int]]]:
    """The address of the proxy, and the cuts that happened.

    Args:
        url: the server.
        cuts: bytes from the client after which each connection is cut, one after another. Later ones are whole.
    """
    parts, left, happened = urlsplit(url), iter(cuts), list[int]()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(parts.hostname, parts.port)
        answers = asyncio.create_task(_forward(to_reader, writer, None))
        if await _forward(reader, to_writer, next(left, None)):
            happened.append(1)
            for one in (writer, to_writer):
                one.transport.abort()
        answers.cancel()
        with suppress(asyncio.CancelledError):
            await answers

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}{parts.path}", happened


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: int | None) -> bool:
    """Forwards what arrives; True if it was cut."""
    sent = 0
    with suppress(OSError):
        while content := await reader.read(16_384):
            if cut is not None and sent + len(content) >= cut:
                writer.write(content[: cut - sent])
                return True
            sent += len(content)
            writer.write(content)
            await writer.drain()
    with suppress(OSError):
        writer.close()
    return False
