"""How a node misbehaves, as data: what it shows of the chain, and what becomes of a request.

A `Conduct` holds for every request of a node until another is set, or for exactly the next one; or a chooser,
which a simulation installs, gives one per request. What was injected is counted by its name.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec


class Reading(StrEnum):
    """What becomes of a request that only reads."""

    ANSWERED = "answered"
    SILENT = "silent"
    """No answer within any patience."""
    BROKEN = "broken"
    """500 and no JSON."""
    UNAVAILABLE = "unavailable"
    """503 from the proxy in front of the node."""
    TOO_MANY = "too_many"
    """429."""


class Sending(StrEnum):
    """What becomes of a broadcast. Each pair of answer and fate that java-tron and the way to it can produce."""

    ANSWERED = "answered"
    SILENT_ACCEPTED = "silent_accepted"
    SILENT_DROPPED = "silent_dropped"
    SILENT_LATE = "silent_late"
    """No answer, and the transaction reaches the producers `late_blocks` later."""
    BROKEN_ACCEPTED = "broken_accepted"
    BROKEN_DROPPED = "broken_dropped"
    ERROR_ACCEPTED = "error_accepted"
    """NOT_ENOUGH_EFFECTIVE_CONNECTION after the node took it: an error that may pay."""
    DUP_DROPPED = "dup_dropped"
    """DUP_TRANSACTION_ERROR for one that nobody ever accepted: the cache of ids is filled before the checks."""
    BUSY = "busy"
    """SERVER_BUSY, before the node looked at it."""
    NO_CONNECTION = "no_connection"
    """Before the node looked at it."""
    BLOCK_UNSOLIDIFIED = "block_unsolidified"
    """Before the node looked at it."""
    TOO_MANY = "too_many"
    """429, before the node saw it."""
    TAKEN_DROPPED = "taken_dropped"
    """A success that the node forgets at once, as one that is killed after its answer does."""


class View(msgspec.Struct, frozen=True):
    """What a node shows of the chain. The default is the truth. Addresses are base58, transactions their ids."""

    lag: int = 0
    """So many blocks behind, its solid block too."""
    branch_from: int | None = None
    """From this number on the node shows blocks of its own, with other ids: another branch, or another chain."""
    on_abandoned: bool = False
    """The node has not heard of the last reorganisation."""
    withheld: frozenset[str] = frozenset()
    """Transactions that it says it does not know, nor shows in its blocks."""
    withholds_all: bool = False
    """It shows no transaction at all."""
    missing: frozenset[int] = frozenset()
    """Blocks that it lacks: {} for the block, [] for its receipts, as java-tron answers."""
    empty_receipts: bool = False
    """[] for the receipts of any block, as from a node that keeps none."""
    no_receipt: bool = False
    """{} for the receipt of any single transaction."""
    balances: tuple[tuple[str, int], ...] = ()
    """Wrong balances of TRX, in sun."""
    token_balances: tuple[tuple[str, int], ...] = ()
    """Wrong balances for `balanceOf`, in every token."""
    sign_weight_id: str | None = None
    """The attack on clients that let a node tell them what to sign: `getsignweight` answers with this id."""


class Conduct(msgspec.Struct, frozen=True):
    """A node's behaviour for a request."""

    view: View = View()
    reading: Reading = Reading.ANSWERED
    sending: Sending = Sending.ANSWERED
    late_blocks: int = 1
    caches_ids: bool = False
    """java-tron's node.rpc.trxCacheEnable: an id that was sent once, and refused, is a duplicate ever after."""


HONEST = Conduct()


class Request(msgspec.Struct, frozen=True):
    """A request as a chooser sees it."""

    node: str
    path: str
    body: dict[str, Any]
    is_broadcast: bool
    number: int
    """Of all requests to the devnet, from 0."""


Chooser = Callable[[Request], Conduct | None]
"""None leaves it to the node's own conduct."""


def injected(conduct: Conduct, *, is_broadcast: bool) -> list[str]:
    """Name what a conduct adds to a request, for counting."""
    names = []
    if is_broadcast:
        if conduct.sending is not Sending.ANSWERED:
            names.append(f"sending:{conduct.sending.value}")
    elif conduct.reading is not Reading.ANSWERED:
        names.append(f"reading:{conduct.reading.value}")
    if conduct.view != _TRUTH:
        names.extend(
            f"view:{name}" for name in View.__struct_fields__ if getattr(conduct.view, name) != _DEFAULTS[name]
        )
    return names


_TRUTH = View()
_DEFAULTS = {name: getattr(_TRUTH, name) for name in View.__struct_fields__}
