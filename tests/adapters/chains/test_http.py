"""Nodes over real sockets: every way to fail is sorted, everything has a limit, and no key is ever shown."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from adapters.chains import http
from adapters.chains.http import HttpTransport, NodeAddress
from engine.errors import OutcomeUnknown, Rejected, RejectReason, Retryable

SECRET = "key-4711-of-the-gateway"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def node(handler: Handler, answer_s: float = 5.0) -> AsyncIterator[HttpTransport]:
    """Run a node that answers everything by `handler`, under a path that holds a secret too."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    address = NodeAddress(f"http://127.0.0.1:{port}/{SECRET}/", {"TRON-PRO-API-KEY": SECRET})
    transport = HttpTransport({"main": address}, answer_s)
    try:
        yield transport
    finally:
        await transport.close()
        await runner.cleanup()


def answering(status: int = 200, text: str = "{}", **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return handler


async def test_a_question_and_its_answer() -> None:
    async def handler(request: web.Request) -> web.Response:
        seen = {"path": request.path, "key": request.headers["TRON-PRO-API-KEY"], "body": await request.json()}
        return web.json_response(seen)

    async with node(handler) as transport:
        answer = await transport.post("main", "wallet/getnowblock", {"num": 5})
    assert answer == {"path": f"/{SECRET}/wallet/getnowblock", "key": SECRET, "body": {"num": 5}}


async def test_a_list_is_an_answer_too_and_numbers_keep_their_digits() -> None:
    async with node(answering(text='[{"amount": 9007199254740993}]')) as transport:
        assert await transport.post("main", "x", {}) == [{"amount": 9007199254740993}]


@pytest.mark.parametrize(
    ("handler", "error", "words"),
    [
        (answering(429), Retryable, "too many questions"),
        (answering(500, "oops"), OutcomeUnknown, "failed with 500"),
        (answering(502), OutcomeUnknown, "failed with 502"),
        (answering(503), OutcomeUnknown, "failed with 503"),
        (answering(401), Rejected, "does not let us in"),
        (answering(403), Rejected, "does not let us in"),
        (answering(404), Rejected, "answered 404"),
        (answering(302, location="http://169.254.169.254/"), Rejected, "answered 302"),
        (answering(text="<html>"), OutcomeUnknown, "not answer in JSON"),
        (answering(text=""), OutcomeUnknown, "not answer in JSON"),
        (answering(text="5"), OutcomeUnknown, "neither an object nor a list"),
        (answering(text='{"a": NaN}'), OutcomeUnknown, "not answer in JSON"),
    ],
)
async def test_every_way_to_fail_is_sorted(handler: Handler, error: type[Exception], words: str) -> None:
    async with node(handler) as transport:
        with pytest.raises(error, match=words):
            await transport.post("main", "wallet/broadcasthex", {})


async def test_how_long_a_node_wants_to_be_left_alone_is_passed_on() -> None:
    async with node(answering(429, **{"retry-after": "7"})) as transport:
        with pytest.raises(Retryable) as refused:
            await transport.post("main", "x", {})
    assert refused.value.retry_after_ms == 7_000
    async with node(answering(429, **{"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})) as transport:
        with pytest.raises(Retryable) as refused:
            await transport.post("main", "x", {})
    assert refused.value.retry_after_ms == 0


async def test_a_closed_door_means_that_nothing_has_happened() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = NodeAddress(f"http://127.0.0.1:{taken.getsockname()[1]}")
    transport = HttpTransport({"main": address})
    with pytest.raises(Retryable, match="cannot be reached"):
        await transport.post("main", "wallet/broadcasthex", {})
    await transport.close()


async def test_silence_after_the_question_may_mean_anything() -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async def torn(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    for handler in (silent, torn):
        async with node(handler, answer_s=0.3) as transport:
            with pytest.raises(OutcomeUnknown, match="did not answer"):
                await transport.post("main", "wallet/broadcasthex", {})


async def test_a_trickle_ends_with_the_limit_on_time() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    async with node(trickle, answer_s=0.3) as transport:
        with pytest.raises(OutcomeUnknown, match="did not answer"):
            await transport.post("main", "x", {})


async def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_ANSWER_BYTES_MAX", 100_000)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 10_000)

    async with node(endless) as transport:
        with pytest.raises(OutcomeUnknown, match="without end"):
            await transport.post("main", "x", {})


@pytest.mark.parametrize("handler", [answering(500), answering(403), answering(text="<html>"), answering(429)])
async def test_no_key_is_in_an_error_a_repr_or_the_log(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "aiohttp.client")
    async with node(handler) as transport:
        with pytest.raises(Exception, match="main") as failed:
            await transport.post("main", "x", {})
        shown = [
            str(failed.value),
            repr(failed.value),
            repr(transport),
            caplog.text,
            json.dumps(str(vars(failed))),
        ]
    assert not any(SECRET in text for text in shown)
    assert failed.value.__cause__ is None
    assert SECRET not in repr(NodeAddress(f"https://x/{SECRET}", {"k": SECRET}))


@pytest.mark.parametrize("url", ["ftp://host", "host:8090", "http://", "http://host/?key=1", "http://host/#x", ""])
def test_only_plain_addresses_are_taken(url: str) -> None:
    with pytest.raises(ValueError, match="node's address"):
        NodeAddress(url)


async def test_permission_is_told_apart() -> None:
    async with node(answering(401)) as transport:
        with pytest.raises(Rejected) as refused:
            await transport.post("main", "x", {})
    assert refused.value.reason is RejectReason.PERMISSION
