"""How the exchanges behind ccxt differ, one row each. Everything else in this folder is the same for all of them.

A gap is a row's own statement: what an exchange cannot do here is refused with a clear reason, never imitated.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from engine.errors import Rejected, RejectReason
from engine.ids import LinkId
from engine.trading.instrument import Market


class Profile(msgspec.Struct, frozen=True):
    """One exchange's peculiarities."""

    exchange: str
    """ccxt's own name for it."""
    markets: frozenset[Market]
    link_id_max: int = 36
    """The longest order id of ours that it takes."""
    letters_and_digits_only: bool = False
    """It takes no separators in an order id, so ours are spelled out."""
    market_buy: Mapping[str, str] | None = msgspec.field(default_factory=dict)
    """What makes a spot market buy count in the base coin; None where nothing does."""
    finds_by_link_id: bool = True
    """`fetch_order` takes our id. Elsewhere the lists of open and closed orders are asked for it."""
    link_key: str = "clientOrderId"
    """What its cancel and its order lists call our id."""
    open_orders_paging: Literal["whole", "cursor", "after"] = "whole"
    """How its list of open orders goes on after a full page."""
    orders_per_s: int = 10
    """Documented limit of placements, and of cancels; ccxt's own throttle is laxer than some exchanges."""
    trades_span_h: int = 24
    """The longest span that a query of executions may cover."""
    stream_fee: Literal["cost", "change", "untold"] = "cost"
    """How a trade on its stream names the fee: as a cost, as a change of the balance (minus when paid), or not."""
    tells_why_cancelled: bool = True
    """Its rows tell a post-only order that would have taken from one that somebody cancelled."""
    sets_only_changes: bool = False
    """It refuses to set a leverage or mode while orders are open, even one that is so already."""
    book_depths: tuple[int, ...] = (5, 20, 50, 100, 200)
    """The depths of a book that it takes, or ccxt for it rounds to one that it takes."""
    funding_sign: int = -1
    """-1 where a payment of ours is written as a negative amount, as ccxt means it."""
    receive_window_ms: int = 10_000
    """How long after its sending a request may still become an order."""
    leverage_max: int = 1
    """The most leverage, where the list of instruments does not tell; the exchange refuses what is too much."""
    wallets: Mapping[Market, str] = msgspec.field(default_factory=dict)
    """What ccxt calls the wallet that pays for a market, where an account has several."""
    hosts_apart: bool = False
    """Its hosts use the same paths, so at an address of ours each host's name begins the path."""
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)


_BOTH = frozenset(Market)
_SPOT_ONLY = frozenset({Market.SPOT})

PROFILES: Mapping[str, Profile] = {
    profile.exchange: profile
    for profile in (
        Profile(
            exchange="binance",
            markets=_BOTH,
            orders_per_s=5,
            leverage_max=125,  # Each instrument's own is told to key holders only.
            wallets={Market.SPOT: "spot", Market.LINEAR: "swap"},
            hosts_apart=True,
            options={"fetchMarkets": {"types": ["spot", "linear"]}, "fetchMargins": False},
        ),
        Profile(
            exchange="okx",
            markets=_BOTH,
            link_id_max=32,
            letters_and_digits_only=True,
            market_buy={"tgtCcy": "base_ccy"},
            open_orders_paging="after",
            stream_fee="change",
            sets_only_changes=True,
            options={"fetchMarkets": {"types": ["spot", "swap"]}},
        ),
        # KuCoin's futures are a second venue with its own balances; they need a port of their own. Its unified
        # account speaks another dialect again: the keys of classic accounts only, which all trade as `hf` today.
        Profile(
            exchange="kucoin",
            markets=_SPOT_ONLY,
            stream_fee="untold",
            tells_why_cancelled=False,
            book_depths=(20, 100),
            options={"fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}, "hf": True, "uta": False},
        ),
        Profile(
            exchange="mexc",
            markets=_SPOT_ONLY,  # Its futures API is closed to most keys.
            link_id_max=32,
            market_buy=None,
            orders_per_s=5,
            tells_why_cancelled=False,
            receive_window_ms=5_000,
        ),
        # Bybit has a faster adapter of its own. This row proves the generic code against the PaperVenue.
        Profile(
            exchange="bybit",
            markets=_BOTH,
            finds_by_link_id=False,
            link_key="orderLinkId",
            open_orders_paging="cursor",
            funding_sign=1,
            receive_window_ms=5_000,
            trades_span_h=7 * 24,
            options={"fetchMarkets": {"types": ["spot", "linear"]}, "enableUnifiedAccount": True},
        ),
    )
}

_ESCAPES = {"Z": "ZZ", "-": "Zd", "_": "Zu"}
_ESCAPED = re.compile("Z([Zdu])")
_PLAIN = {"Z": "Z", "d": "-", "u": "_"}


def to_venue_id(profile: Profile, link_id: str) -> str:
    """Spell an order id, or the beginning of one, as the exchange takes it; `Rejected` if it cannot."""
    if profile.letters_and_digits_only:
        link_id = "".join(_ESCAPES.get(letter, letter) for letter in link_id)
    if len(link_id) > profile.link_id_max:
        raise Rejected(RejectReason.OTHER, f"{profile.exchange} takes order ids of {profile.link_id_max} at most")
    return link_id


def from_venue_id(profile: Profile, venue_text: str) -> LinkId:
    """Read an order id back. The ids of other programs come out as something that is none of ours."""
    if profile.letters_and_digits_only:
        venue_text = _ESCAPED.sub(lambda match: _PLAIN[match[1]], venue_text)
    return LinkId(venue_text)
