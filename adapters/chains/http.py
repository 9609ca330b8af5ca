"""Questions to nodes over HTTP, with a limit on everything: time to connect, time to answer, size of the answer.

Redirects are not followed: a node that sends us elsewhere is not the node that was configured. Keys of gateways
travel in headers or paths, so neither headers nor addresses are ever put into an error, a log or a repr.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson

from adapters.chains.rpc import Answer
from adapters.exchanges.sockets import connector
from engine.errors import OutcomeUnknown, Rejected, RejectReason, Retryable

_CONNECT_S, _ANSWER_S = 3.0, 10.0
_ANSWER_BYTES_MAX = 32 * 1024 * 1024
"""A full block of TRON has about two megabytes as JSON; its infos can have several."""
_TOO_MANY, _FORBIDDEN, _SERVER_ERRORS = 429, (401, 403), 500
_RETRY_AFTER_MS_MAX = 60_000


class NodeAddress(msgspec.Struct, frozen=True):
    """Where a node answers. `headers` as the gateway wants them, such as its key."""

    url: str
    headers: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse what is no plain address."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("a node's address is http(s)://host[:port][/path]")

    def __repr__(self) -> str:
        return "NodeAddress(url=***, headers=***)"


class HttpTransport:
    """Fulfils `adapters.chains.rpc.Transport` over one HTTP session for all nodes of a network."""

    def __init__(self, nodes: Mapping[str, NodeAddress], answer_s: float = _ANSWER_S) -> None:
        self._nodes = {name: (node.url.rstrip("/"), dict(node.headers)) for name, node in nodes.items()}
        self._limits = aiohttp.ClientTimeout(total=answer_s, connect=_CONNECT_S)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, node: str, path: str, body: dict[str, Any]) -> Answer:
        """Ask one node. `Retryable` if it surely has not acted on the question, else `OutcomeUnknown`."""
        url, headers = self._nodes[node]
        request = self._open().post(
            f"{url}/{path}",
            data=orjson.dumps(body),
            headers={"content-type": "application/json", **headers},
            allow_redirects=False,
        )
        try:
            async with request as response:
                _check(node, response)
                return _read(node, await _limited(node, response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Retryable(f"{node} cannot be reached: {type(error).__name__}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            # `from None`: aiohttp's errors quote the address.
            raise OutcomeUnknown(f"{node} did not answer: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connections; a question that follows opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=connector(), timeout=self._limits)
        return self._session

    def __repr__(self) -> str:
        return f"HttpTransport(nodes={list(self._nodes)})"


def _check(node: str, response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == _TOO_MANY:
        raise Retryable(f"{node} has had too many questions", _retry_after_ms(response))
    if status >= _SERVER_ERRORS:
        raise OutcomeUnknown(f"{node} failed with {status}")
    if status in _FORBIDDEN:
        raise Rejected(RejectReason.PERMISSION, f"{node} does not let us in", str(status))
    if status != 200:
        raise Rejected(RejectReason.OTHER, f"{node} answered {status}", str(status))


async def _limited(node: str, response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > _ANSWER_BYTES_MAX:
            raise OutcomeUnknown(f"{node} answers without end")
    return bytes(content)


def _read(node: str, content: bytes) -> Answer:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise OutcomeUnknown(f"{node} did not answer in JSON") from None
    if not isinstance(answer, dict | list):
        raise OutcomeUnknown(f"{node} answered neither an object nor a list")
    return answer


def _retry_after_ms(response: aiohttp.ClientResponse) -> int:
    seconds = response.headers.get("retry-after", "")
    return min(int(seconds) * 1000, _RETRY_AFTER_MS_MAX) if seconds.isdecimal() else 0
