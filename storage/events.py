"""Wake-up calls between processes, by LISTEN and NOTIFY: something about this bot has changed, go and look.

A wake-up carries no facts and may be lost with a connection; the listener is told to look at everything whenever
that may have happened. Facts that must arrive go through the outbox.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import asyncpg

from engine.errors import Retryable
from engine.ids import BotId
from storage.database import Connection, Database

log = logging.getLogger(__name__)

BOTS_CHANNEL = "trellis_bots"
SIGNERS_CHANNEL = "trellis_signers"
EVERYTHING = ""
"""The wake-up after a (re)connection: anything may have changed."""

_LOOK_EVERY_S = 10.0
_RECONNECT_PAUSE_S = 0.5


async def notify_bot(connection: Connection, bot: BotId) -> None:
    """Wake up who watches `bot`, when the transaction commits."""
    await connection.execute("SELECT pg_notify($1, $2)", BOTS_CHANNEL, bot)


async def wake_signers(connection: Connection, hot_wallet: str = "") -> None:
    """Wake up the signer of a hot wallet, or every signer, when the transaction commits."""
    await connection.execute("SELECT pg_notify($1, $2)", SIGNERS_CHANNEL, hot_wallet)


async def listen(database: Database, channel: str = BOTS_CHANNEL) -> AsyncGenerator[str, None]:
    """Yield the payload of each wake-up, and `EVERYTHING` after each connection, through any number of losses.

    Wake-ups with the same payload that wait for a slow reader become one, so the queue is bounded by the number
    of bots. Iterate it under `contextlib.aclosing`, which ends the connection with the loop.
    """
    while True:
        try:
            connection = await database.dedicated()
        except (Retryable, asyncpg.PostgresError) as error:
            log.warning("listen.no_connection channel=%s error=%s", channel, error)
            await asyncio.sleep(_RECONNECT_PAUSE_S)
            continue
        try:
            async with aclosing(_wake_ups(connection, channel)) as wake_ups:
                async for payload in wake_ups:
                    yield payload
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.warning("listen.connection_lost channel=%s error=%s", channel, error)
        finally:
            connection.terminate()
        await asyncio.sleep(_RECONNECT_PAUSE_S)


async def _wake_ups(connection: "asyncpg.Connection[asyncpg.Record]", channel: str) -> AsyncGenerator[str, None]:
    waiting: dict[str, None] = {EVERYTHING: None}
    came = asyncio.Event()
    came.set()

    def on_notify(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
        waiting[str(payload)] = None
        came.set()

    def on_end(_connection: Any) -> None:
        came.set()

    connection.add_termination_listener(on_end)
    await connection.add_listener(channel, on_notify)
    while True:
        # An unplugged cable sends nothing: ask from time to time, so that silence is not taken for peace.
        with suppress(TimeoutError):
            await asyncio.wait_for(came.wait(), _LOOK_EVERY_S)
        if not came.is_set():
            await connection.fetchval("SELECT 1", timeout=_LOOK_EVERY_S)
        came.clear()
        if connection.is_closed():
            raise ConnectionResetError("the listening connection ended")
        while waiting:
            yield waiting.popitem()[0]
