"""Trades of all one's bots: a page at a time with the totals of the filter, or the whole filter as CSV."""

import asyncio
import csv
import io
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from aiohttp import hdrs, web

from api.problems import ApiProblem, FieldProblem, Kind
from api.resources import Owner
from api.routes.history import Cursor, Limit, Moment
from api.routing import Routes
from api.services import Services
from api.trading_resources import Symbol, TradePage
from engine.access.principals import Access, Principal
from engine.access.rates import RateClass
from engine.ids import BotId, Instant
from engine.trading.orders import Side
from storage.trades import TradeFilter, TradeRow

log = logging.getLogger(__name__)

routes = Routes("Trades")

CSV = "text/csv"
_HEADS = (
    "time",
    "bot",
    "name",
    "symbol",
    "side",
    "price",
    "quantity",
    "value",
    "quote",
    "fee",
    "fee_asset",
    "role",
    "order",
    "execution",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Format(StrEnum):
    """How to write the answer."""

    JSON = "json"
    CSV = "csv"


class TradesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which trades; `until_ms` is not included."""

    bot: Annotated[str, msgspec.Meta(max_length=20, description="A bot's id.")] | None = None
    symbol: Symbol | None = None
    side: Side | None = None
    since_ms: Moment | None = None
    until_ms: Moment | None = None
    owner: Owner | None = None
    """For operators; left out: everybody's."""
    cursor: Cursor | None = None
    limit: Limit = 50
    format: Format = Format.JSON
    """`csv` (or an Accept header of text/csv) gives every trade of the filter, for a spreadsheet."""


@routes.get("/api/v1/trades", also_as=CSV, is_bounded=False, answer=TradePage, problems=(400, 503))
async def list_trades(
    services: Services, principal: Principal, query: TradesQuery, request: web.Request
) -> TradePage | web.StreamResponse:
    """List one's trades (an operator: everybody's), newest first, with the totals of the filter."""
    wanted = TradeFilter(
        owner=services.owner_filter(principal, query.owner),
        bot=BotId(query.bot) if query.bot else None,
        symbol=query.symbol,
        side=query.side,
        since_ms=_instant(query.since_ms),
        until_ms=_instant(query.until_ms),
    )
    if query.since_ms is not None and query.until_ms is not None and query.since_ms >= query.until_ms:
        detail = "the span is empty: since_ms must be before until_ms"
        raise ApiProblem(Kind.MALFORMED, detail, [FieldProblem(detail, parameter="since_ms")])
    if query.format is Format.CSV or request.headers.get(hdrs.ACCEPT, "").startswith(CSV):
        await services.guard.admit(request, Access.USER, RateClass.EXPORT)
        return await _as_csv(services, wanted, request)
    reading = services.trades.page(wanted, cursor=query.cursor, limit=query.limit)
    if query.cursor:
        page, totals = await reading, []
    else:
        page, totals = await asyncio.gather(reading, services.trades.totals(wanted))
    return TradePage(page.items, page.next_cursor, totals)


async def _as_csv(services: Services, wanted: TradeFilter, request: web.Request) -> web.StreamResponse:
    """Stream the filter as RFC 4180, page by page; an export that cannot go on breaks off for all to see."""
    pages = services.trades.all(wanted)
    # The first page before the headers, so that a database that is away is a problem document.
    rows = await anext(pages)
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: f"{CSV}; charset=utf-8; header=present",
            hdrs.CONTENT_DISPOSITION: 'attachment; filename="trellis-trades.csv"',
            hdrs.CACHE_CONTROL: "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
    await response.prepare(request)
    try:
        await response.write(_lines([_HEADS]))
        await response.write(_lines(map(_cells, rows)))
        async for rows in pages:
            await response.write(_lines(map(_cells, rows)))
        await response.write_eof()
    except ConnectionError:
        raise  # Whoever asked has gone.
    except Exception as error:
        # A file that ended early but cleanly would be taken for the whole.
        log.warning("trades.export_broken error=%s", error)
        if request.transport is not None:
            request.transport.abort()
    return response


def _cells(row: TradeRow) -> Iterable[str]:
    return (
        datetime.fromtimestamp(row.at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        row.bot,
        _text(row.bot_name),
        _text(row.symbol),
        row.side.value,
        f"{row.price:f}",
        f"{row.quantity:f}",
        f"{row.value:f}",
        _text(row.quote),
        f"{row.fee:f}",
        _text(row.fee_asset),
        "maker" if row.is_maker else "taker",
        _text(row.link_id),
        _text(row.exec_id),
    )


def _text(text: str) -> str:
    """Keep a text that a person or an exchange chose from being run as a formula by a spreadsheet."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _instant(moment: int | None) -> Instant | None:
    return None if moment is None else Instant(moment)
