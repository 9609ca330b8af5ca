"""Markets of an account's exchange: what is listed, the price now and where it has been, candles."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec

from actors.market_desk import CANDLE_MINUTES, CANDLES_MAX, Quote
from actors.venues import UnknownAccount
from api.problems import ApiProblem, FieldProblem, Kind
from api.routing import Routes
from api.services import Services
from api.trading_resources import Candles, InstrumentList, Symbol
from engine.access.principals import Principal
from engine.errors import Rejected, RejectReason
from engine.ids import AccountId
from engine.trading.instrument import Market

routes = Routes("Markets")

AccountWord = Annotated[str, msgspec.Meta(max_length=40, description="One of your exchange accounts.")]


class MarketQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which market of which account's exchange."""

    account: AccountWord
    market: Market = Market.SPOT


class PairQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which pair of which account's exchange."""

    account: AccountWord
    symbol: Symbol
    market: Market = Market.SPOT


class CandlesQuery(PairQuery, frozen=True, forbid_unknown_fields=True):
    """Which bars."""

    interval_min: Annotated[int, msgspec.Meta(ge=1, le=1440)] = 60
    """Minutes of one bar: 1, 5, 15, 60, 240 or 1440."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=CANDLES_MAX)] = 500


@routes.get("/api/v1/market/instruments", problems=(400, 422, 503))
async def list_instruments(services: Services, principal: Principal, query: MarketQuery) -> InstrumentList:
    """List what trades now on a market of an account's exchange, with its tick, lot and limits."""
    with _named_parameters():
        account = await services.owned_account(principal, AccountId(query.account))
        return InstrumentList(await services.desk.market.instruments(account.id, query.market))


@routes.get("/api/v1/market/ticker", problems=(400, 422, 503))
async def show_ticker(services: Services, principal: Principal, query: PairQuery) -> Quote:
    """Show the price now, its range over a week and a month, and the funding of a perpetual."""
    with _named_parameters():
        account = await services.owned_account(principal, AccountId(query.account))
        return await services.desk.market.quote(account.id, query.symbol, query.market)


@routes.get("/api/v1/market/candles", problems=(400, 422, 503))
async def list_candles(services: Services, principal: Principal, query: CandlesQuery) -> Candles:
    """Give the newest bars of a pair, oldest first."""
    if query.interval_min not in CANDLE_MINUTES:
        detail = f"there are bars of {', '.join(map(str, CANDLE_MINUTES))} minutes"
        raise ApiProblem(Kind.MALFORMED, detail, [FieldProblem(detail, parameter="interval_min")])
    with _named_parameters():
        account = await services.owned_account(principal, AccountId(query.account))
        return Candles(
            await services.desk.market.candles(
                account.id, query.symbol, query.market, query.interval_min, query.limit
            )
        )


@contextmanager
def _named_parameters() -> Iterator[None]:
    """Say which parameter an account or a pair that does not exist came from."""
    try:
        yield
    except UnknownAccount as error:
        detail = f"there is no account {error}"
        problem = FieldProblem(detail, parameter="account", code="unknown_account")
        raise ApiProblem(Kind.REFUSED, detail, [problem]) from None
    except Rejected as error:
        if error.reason is not RejectReason.NOT_FOUND:
            raise
        problem = FieldProblem(str(error), parameter="symbol", code="unknown_symbol")
        raise ApiProblem(Kind.REFUSED, str(error), [problem]) from None
