"""The operator's door under `/devnet`: status, money, faults, blocks and reorganisations, for drills from outside.

What it does is exactly what the Python object offers. It is unsigned and meant for loopback: who reaches it owns
the chain.
"""

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web

from .addresses import BadAddress
from .faults import HONEST, Conduct
from .world import Parameters, Refused, SetParameters

if TYPE_CHECKING:
    from .server import Server

BLOCKS_MAX = 10_000

Wanted = TypeVar("Wanted")


class Faucet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /devnet/faucet`: TRX in sun, tokens in base units by symbol."""

    address: str
    sun: int = 0
    tokens: dict[str, int] = {}


class Produce(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /devnet/produce`."""

    blocks: int = 1


class Timer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /devnet/timer`."""

    produces: bool


class Fork(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /devnet/fork`."""

    depth: int
    drop_share: float = 0.0
    delay_share: float = 0.5
    lost: frozenset[str] = frozenset()
    rewrite_solid: bool = False


class Misconduct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /devnet/conduct`: how a node behaves from now on, or at so many next reads or sends."""

    node: str
    conduct: Conduct = HONEST
    next_reads: int = 0
    next_sends: int = 0


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /devnet/account`: what it has from the next block on; None leaves as it was."""

    address: str
    sun: int | None = None
    energy_limit: int | None = None


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /devnet/token`."""

    name: str
    symbol: str


class Admin:
    """Serves `/devnet/*`."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._devnet = server.devnet

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [
            web.get("/devnet/status", self._status),
            web.post("/devnet/faucet", self._faucet),
            web.post("/devnet/account", self._account),
            web.post("/devnet/parameters", self._parameters),
            web.post("/devnet/token", self._token),
            web.post("/devnet/produce", self._produce),
            web.post("/devnet/timer", self._timer),
            web.post("/devnet/fork", self._fork),
            web.post("/devnet/conduct", self._conduct),
            web.post("/devnet/clear", self._clear),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        devnet = self._devnet
        return _json(
            {
                "head": devnet.head.number,
                "head_id": devnet.head.id,
                "solid": devnet.solid_number,
                "block_ms": devnet.rules.block_ms,
                "solid_lag": devnet.rules.solid_lag,
                "produces": self._server.produces,
                "waiting": len(devnet.chain.waiting),
                "nodes": self._server.addresses,
                "tokens": devnet.tokens,
                "bank": devnet.bank,
                "requests": dict(devnet.requests),
                "injected": dict(devnet.injected),
            }
        )

    async def _faucet(self, request: web.Request) -> web.Response:
        """Send money by ordinary transactions of the bank; they are in the next block."""
        wanted = await _read(request, Faucet)
        unknown = wanted.tokens.keys() - self._devnet.tokens.keys()
        if unknown:
            raise web.HTTPUnprocessableEntity(text=f"there is no token {', '.join(sorted(unknown))}")
        try:
            sent = [self._devnet.give_trx(wanted.address, wanted.sun)] if wanted.sun else []
            sent += [
                self._devnet.give_token(symbol, wanted.address, units) for symbol, units in wanted.tokens.items()
            ]
        except (BadAddress, Refused, OverflowError) as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from error
        return _json({"transactions": sent})

    async def _account(self, request: web.Request) -> web.Response:
        wanted = await _read(request, Account)
        try:
            if wanted.sun is not None:
                self._devnet.set_balance(wanted.address, wanted.sun)
            if wanted.energy_limit is not None:
                self._devnet.set_energy(wanted.address, wanted.energy_limit)
        except BadAddress as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from error
        return _json({"from_block": self._devnet.head.number + 1})

    async def _parameters(self, request: web.Request) -> web.Response:
        self._devnet.decree(SetParameters(await _read(request, Parameters)))
        return _json({"from_block": self._devnet.head.number + 1})

    async def _token(self, request: web.Request) -> web.Response:
        wanted = await _read(request, NewToken)
        return _json({"address": self._devnet.deploy_token(wanted.name, wanted.symbol)})

    async def _produce(self, request: web.Request) -> web.Response:
        wanted = await _read(request, Produce)
        if not 1 <= wanted.blocks <= BLOCKS_MAX:
            raise web.HTTPUnprocessableEntity(text=f"1 to {BLOCKS_MAX} blocks at once")
        return _json({"head": self._devnet.produce(wanted.blocks).number})

    async def _timer(self, request: web.Request) -> web.Response:
        self._server.produces = (await _read(request, Timer)).produces
        return _json({"produces": self._server.produces})

    async def _fork(self, request: web.Request) -> web.Response:
        wanted = await _read(request, Fork)
        try:
            done = self._devnet.fork(
                wanted.depth,
                drop_share=wanted.drop_share,
                delay_share=wanted.delay_share,
                lost=wanted.lost,
                rewrite_solid=wanted.rewrite_solid,
            )
        except (ValueError, LookupError) as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from error
        return _json({"from_block": done.from_number, "lost": done.lost, "waiting": done.waiting})

    async def _conduct(self, request: web.Request) -> web.Response:
        wanted = await _read(request, Misconduct)
        node = self._devnet.nodes.get(wanted.node)
        if node is None:
            raise web.HTTPNotFound(text=f"the nodes are {', '.join(self._devnet.nodes)}")
        node.next_reads.extend([wanted.conduct] * wanted.next_reads)
        node.next_sends.extend([wanted.conduct] * wanted.next_sends)
        if not wanted.next_reads and not wanted.next_sends:
            node.conduct = wanted.conduct
        return _json({"node": wanted.node})

    async def _clear(self, request: web.Request) -> web.Response:
        """Make every node honest again."""
        for node in self._devnet.nodes.values():
            node.conduct = HONEST
            node.next_reads.clear()
            node.next_sends.clear()
        return _json({"nodes": list(self._devnet.nodes)})


async def _read(request: web.Request, kind: type[Wanted]) -> Wanted:
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise web.HTTPUnprocessableEntity(text=str(error)) from error


def _json(content: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")
