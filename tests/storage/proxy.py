"""A wire between the client and PostgreSQL that breaks at the worst moment: around a COMMIT."""

import asyncio
from contextlib import suppress
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Cut(Enum):
    """Where the wire breaks."""

    BEFORE_COMMIT = "the request is lost"
    AFTER_COMMIT = "the answer is lost"


class BreakingWire:
    """Forwards every byte, except that it breaks the next `cuts` commits on the way there or on the way back."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._target = Path(parse_qs(urlsplit(dsn).query)["host"][0]) / ".s.PGSQL.5432"
        self._socket = folder / ".s.PGSQL.5432"
        self.dsn = dsn.split("?", maxsplit=1)[0] + f"?host={folder}"
        self.cuts: list[Cut] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "BreakingWire":
        self._server = await asyncio.start_unix_server(self._serve, self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_unix_connection(self._target)
        lost = asyncio.Event()

        async def there() -> None:
            while data := await client_in.read(65536):
                if b"COMMIT;" in data and self.cuts:
                    if self.cuts.pop(0) is Cut.BEFORE_COMMIT:
                        return
                    lost.set()
                server_out.write(data)

        async def back() -> None:
            while data := await server_in.read(65536):
                if lost.is_set():
                    return
                client_out.write(data)

        ways = [asyncio.create_task(there()), asyncio.create_task(back())]
        with suppress(ConnectionError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        client_out.transport.abort()
        server_out.transport.abort()
