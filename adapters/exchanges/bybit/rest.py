"""Bybit's REST interface: signs at the moment of sending, keeps to the limits, sorts errors into our three.

Queries are repeated a few times by themselves, for they change nothing. A command is never repeated here: what an
unanswered command did is for the caller to find out.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import aiohttp
import msgspec
from yarl import URL

from adapters.exchanges.bybit.clock import VenueClock
from adapters.exchanges.bybit.errors import (
    AMBIGUOUS,
    CLOCK,
    IP_BANNED,
    OK,
    RATE_LIMITED,
    command_error,
    query_error,
)
from adapters.exchanges.bybit.signing import Signer
from adapters.exchanges.bybit.wire import Page, Reply, ServerTime, decode_reply
from adapters.exchanges.rate_limit import AccountLimits, Bucket
from adapters.exchanges.sockets import connector
from engine.errors import OutcomeUnknown, Rejected, RejectReason, Retryable

T = TypeVar("T")
log = logging.getLogger(__name__)

BAN_S = 600.0
"""An IP ban lasts at least ten minutes, and longer for those who keep knocking."""
_QUERIES_PER_S = 10
_MANY_QUERIES_PER_S = 50
_ASKED_OFTEN = frozenset({"/v5/order/realtime", "/v5/order/history", "/v5/execution/list", "/v5/position/list"})
_PAGES_MAX = 1_000
_decoders: dict[Any, Any] = {}


class NotSent(Retryable):
    """The request did not leave this machine."""


class RestClient:
    """Speaks to one REST host, for one account or (without a signer) for the public."""

    def __init__(
        self,
        address: str,
        clock: VenueClock,
        limits: AccountLimits,
        signer: Signer | None = None,
        timeout_s: float = 5.0,
        attempts: int = 3,
    ) -> None:
        self._address = address
        self._clock = clock
        self._limits = limits
        self._signer = signer
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s)
        self._attempts = attempts
        self._http: aiohttp.ClientSession | None = None

    @property
    def http(self) -> aiohttp.ClientSession:
        """Give the connection pool, opened on first use; the sockets share it."""
        if self._http is None or self._http.closed:
            self._http = aiohttp.ClientSession(connector=connector(), timeout=self._timeout, trust_env=True)
        return self._http

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()

    async def get(self, path: str, query: str, result: type[T]) -> T:
        """Ask; `query` goes out exactly as written. Raise `Retryable` or `Rejected`."""
        limit = self._limits.bucket(path, _MANY_QUERIES_PER_S if path in _ASKED_OFTEN else _QUERIES_PER_S)
        for attempt in range(1, self._attempts + 1):
            await self._wait_for(limit)
            try:
                return _result(await self._ask(path, query, limit), result)
            except Retryable as error:
                if attempt == self._attempts or self._limits.halted_s(time.monotonic()):
                    raise
                await asyncio.sleep(max(0.1 * 2**attempt, error.retry_after_ms / 1000))
        raise AssertionError("unreachable")

    async def pages(self, path: str, query: str, row: type[T]) -> AsyncIterator[list[T]]:
        """Ask page after page until the venue has no more."""
        cursor, seen = "", set[str]()
        page_type = Page[row]  # type: ignore[valid-type]
        for _ in range(_PAGES_MAX):
            # The cursor arrives URL-encoded and must be signed and sent in the very form it came.
            page = await self.get(path, f"{query}&cursor={cursor}" if cursor else query, page_type)
            yield page.rows
            cursor = page.next_page_cursor
            if not cursor or not page.rows:
                return
            if cursor in seen:
                raise Retryable(f"{path} repeats its cursor")
            seen.add(cursor)
        raise Retryable(f"{path} does not end")

    async def post(self, path: str, body: str, limit: Bucket) -> Reply:
        """Command; give the venue's answer, whatever it says.

        Raise `NotSent` if the command did not leave, `OutcomeUnknown` if it left and no answer came.
        """
        if self._limits.halted_s(time.monotonic()):
            raise NotSent("the venue has banned this address for now")
        if not self._limits.share.take(time.monotonic()):
            raise NotSent("this address has asked the venue enough for now")
        headers = {"Content-Type": "application/json", **self._signature(body)}
        try:
            async with self.http.post(URL(self._address + path), data=body.encode(), headers=headers) as response:
                return await self._read(response, limit)
        except aiohttp.ClientConnectorError as error:
            raise NotSent(f"{path}: {error}") from error
        except Retryable as error:
            raise OutcomeUnknown(str(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise OutcomeUnknown(f"{path}: {type(error).__name__}") from error

    async def command(self, path: str, body: str, result: type[T]) -> T:
        """Command; raise one of our three unless the venue says OK."""
        limit = self._limits.bucket(path, _QUERIES_PER_S)
        await self._wait_for(limit)
        reply = await self.post(path, body, limit)
        if reply.ret_code != OK:
            raise command_error(reply.ret_code, reply.ret_msg)
        return _decode(reply.result, result)

    async def measure_clock(self) -> None:
        """Set the clock by the venue's."""

        async def ask() -> int:
            # Not through `get`: its waiting and repeating would count as travelling time.
            limit = self._limits.bucket("/v5/market/time", _QUERIES_PER_S)
            return _result(await self._ask("/v5/market/time", "", limit, signed=False), ServerTime).time_nano

        await self._clock.measure(ask)

    async def _ask(self, path: str, query: str, limit: Bucket, *, signed: bool = True) -> Reply:
        headers = self._signature(query) if signed else {}
        url = URL(f"{self._address}{path}?{query}" if query else self._address + path, encoded=True)
        try:
            async with self.http.get(url, headers=headers) as response:
                reply = await self._read(response, limit)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Retryable(f"{path}: {type(error).__name__}") from error
        if reply.ret_code == CLOCK and signed:
            await self.measure_clock()
        return reply

    async def _read(self, response: aiohttp.ClientResponse, limit: Bucket) -> Reply:
        body = await response.read()
        self.observe(limit, response.headers)
        try:
            reply = decode_reply(body)
        except msgspec.MsgspecError:
            # Gateways answer in HTML, with nothing but the status to go by.
            reply = Reply(ret_code=response.status, ret_msg=f"HTTP {response.status}")
        if response.status >= 400 and reply.ret_code == OK:
            reply = Reply(ret_code=response.status, ret_msg=f"HTTP {response.status}")
        self.punish(reply.ret_code, reply.ret_msg, limit)
        if reply.ret_code == response.status and reply.ret_code not in AMBIGUOUS:
            raise Retryable(reply.ret_msg, retry_after_ms=500)
        return reply

    def observe(self, limit: Bucket, headers: Any) -> None:
        """Obey the rate-limit headers of an answer."""
        left = headers.get("X-Bapi-Limit-Status")
        if left is not None:
            reset_ms = int(headers.get("X-Bapi-Limit-Reset-Timestamp") or 0)
            self.obey(limit, int(headers.get("X-Bapi-Limit") or 0), int(left), reset_ms)

    def obey(self, limit: Bucket, allowed: int, remaining: int, reset_ms: int) -> None:
        """Obey the venue's count of what is left; nothing passes before the reset if nothing is."""
        if allowed <= 0:
            return  # The endpoint has no limit.
        now_s = time.monotonic()
        limit.observe(allowed, remaining, now_s)
        if remaining <= 0 and (wait_ms := reset_ms - self._clock.now_ms()) > 0:
            limit.close_until(now_s + min(wait_ms / 1000, 60.0))

    def punish(self, code: int, text: str, limit: Bucket) -> None:
        """Slow down, or stop, after a refusal that demands it."""
        now_s = time.monotonic()
        if code in IP_BANNED:
            log.error("bybit.banned code=%s text=%s pause_s=%s", code, text, BAN_S)
            self._limits.halt(now_s + BAN_S)
        elif code in RATE_LIMITED or code == 10429:
            log.warning("bybit.rate_limited code=%s text=%s", code, text)
            limit.close_until(now_s + 1.0)

    def _signature(self, payload: str) -> dict[str, str]:
        return self._signer.headers(self._clock.now_ms(), payload) if self._signer else {}

    async def _wait_for(self, limit: Bucket) -> None:
        while True:
            now_s = time.monotonic()
            if halted_s := self._limits.halted_s(now_s):
                raise Retryable("the venue has banned this address for now", retry_after_ms=int(halted_s * 1000))
            share = self._limits.share
            if limit.available(now_s) and share.take(now_s):
                limit.take(now_s)
                return
            await asyncio.sleep(max(limit.wait_s(now_s), share.wait_s(now_s), 0.001))


def _result(reply: Reply, result: type[T]) -> T:
    if reply.ret_code != OK:
        raise query_error(reply.ret_code, reply.ret_msg)
    return _decode(reply.result, result)


def _decode(raw: msgspec.Raw, result: type[T]) -> T:
    decoder = _decoders.get(result)
    if decoder is None:
        decoder = _decoders[result] = msgspec.json.Decoder(result, strict=False)
    try:
        return decoder.decode(raw)  # type: ignore[no-any-return]
    except msgspec.MsgspecError as error:
        raise Rejected(RejectReason.OTHER, f"the venue's answer cannot be read: {error}") from error
