"""What an account may change about itself over HTTP: leverage, margin, stops, modes, disconnect protection."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from engine.trading.instrument import Market, amount_units

from .checks import check_trigger
from .codes import LEVERAGE_UNCHANGED, MARGIN_MODE_UNCHANGED, POSITION_MODE_UNCHANGED, REFUSALS, Code, Refused
from .model import Account, Position
from .private_stream import PrivateStream
from .requests import DisconnectProtection, PositionChange, SetLeverage, SetMarginMode, Text, TradingStop
from .venue import Venue

Handler = Callable[[Account, Any], Any]

_PRODUCTS = {"DERIVATIVES": Market.LINEAR, "SPOT": Market.SPOT, "OPTIONS": None}


class Settings:
    """The private POST endpoints that are not order operations, by operation name."""

    def __init__(self, venue: Venue, stream: PrivateStream) -> None:
        self._venue = venue
        self._stream = stream
        self._handlers: dict[str, tuple[type[msgspec.Struct], Handler]] = {
            "position.set-leverage": (SetLeverage, self._set_leverage),
            "position.switch-mode": (PositionChange, self._switch_mode),
            "position.switch-isolated": (PositionChange, self._switch_isolated),
            "position.trading-stop": (TradingStop, self._trading_stop),
            "position.add-margin": (PositionChange, self._add_margin),
            "position.set-auto-add-margin": (PositionChange, self._set_auto_add_margin),
            "account.set-margin-mode": (SetMarginMode, self._set_margin_mode),
            "order.disconnected-cancel-all": (DisconnectProtection, self._set_protection),
        }

    def names(self) -> list[str]:
        """List the operations."""
        return list(self._handlers)

    def execute(self, account: Account, operation: str, body: bytes) -> Any:
        """Carry out one change and commit it, or refuse."""
        kind, handler = self._handlers[operation]
        try:
            request = msgspec.json.decode(body or b"{}", type=kind, strict=False)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise Refused(Code.PARAMETER, f"params error: {error}") from None
        try:
            return handler(account, request)
        finally:
            self._venue.records.commit()

    # ------------------------------------------------------------------ positions

    def _position(self, account: Account, category: str, symbol: str) -> Position:
        if category != Market.LINEAR.value:
            raise Refused(Code.PARAMETER, "params error: category invalid")
        self._venue.desk.listing(category, symbol)
        return account.position(symbol)

    def _set_leverage(self, account: Account, request: SetLeverage) -> Any:
        position = self._position(account, request.category, request.symbol)
        leverage = _decimal(request.buy_leverage, "buyLeverage")
        if leverage != _decimal(request.sell_leverage, "sellLeverage"):
            raise Refused(Code.PARAMETER, "params error: buyLeverage must equal sellLeverage in one-way mode")
        self._change_leverage(account, position, leverage)
        return {}

    def _change_leverage(self, account: Account, position: Position, leverage: Decimal) -> None:
        instrument = self._venue.listings[Market.LINEAR, position.symbol].instrument
        hundredths = int(leverage * 100)
        if hundredths != leverage * 100 or not 1 <= leverage <= instrument.leverage_max:
            raise Refused(Code.PARAMETER, f"leverage must be between 1 and {instrument.leverage_max}")
        if hundredths == position.leverage:
            raise Refused(LEVERAGE_UNCHANGED, "leverage not modified")
        before, position.leverage = position.leverage, hundredths
        if self._venue.clearing.free(account, instrument.quote) < 0:
            position.leverage = before
            raise Refused(REFUSALS[Market.LINEAR].insufficient, "ab not enough for the margin at this leverage")
        self._venue.records.touch_position(account, position)
        self._venue.records.touch_wallet(account)

    def _switch_mode(self, account: Account, request: PositionChange) -> Any:
        """One-way is the only mode: asking for it changes nothing, asking for hedge mode is refused."""
        if request.mode == 0:
            raise Refused(POSITION_MODE_UNCHANGED, "Position mode is not modified")
        raise Refused(Code.PARAMETER, "the paper venue offers one-way positions only")

    def _switch_isolated(self, account: Account, request: PositionChange) -> Any:
        position = self._position(account, request.category, request.symbol)
        isolated = request.trade_mode == 1
        if isolated == account.wallet.isolated:
            raise Refused(MARGIN_MODE_UNCHANGED, "Cross/isolated margin mode is not modified")
        account.wallet.isolated = isolated
        self._venue.records.touch_wallet(account)
        if request.buy_leverage and _decimal(request.buy_leverage, "buyLeverage") * 100 != position.leverage:
            self._change_leverage(account, position, _decimal(request.buy_leverage, "buyLeverage"))
        return {}

    def _trading_stop(self, account: Account, request: TradingStop) -> Any:
        position = self._position(account, request.category, request.symbol)
        if request.trailing_stop not in (None, "", "0"):
            raise Refused(Code.PARAMETER, "trailing stops are not offered by the paper venue")
        if not position.lots:
            raise Refused(Code.PARAMETER, "can not set tp/sl/ts for zero position")
        instrument = self._venue.listings[Market.LINEAR, position.symbol].instrument
        last = self._venue.board.of(instrument).last_ticks
        above, below = request.take_profit, request.stop_loss
        if position.lots < 0:
            above, below = below, above
        high = check_trigger(above, instrument, last, is_above=True)
        low = check_trigger(below, instrument, last, is_above=False)
        take, stop = (high, low) if position.lots > 0 else (low, high)
        if take is not None:
            position.take_profit_ticks = take
        if stop is not None:
            position.stop_loss_ticks = stop
        self._venue.records.touch_position(account, position)
        return {}

    def _add_margin(self, account: Account, request: PositionChange) -> Any:
        """Move free money behind an isolated position, or (negative) take it back."""
        position = self._position(account, request.category, request.symbol)
        units = amount_units(_decimal(request.margin, "margin"))
        coin = self._venue.listings[Market.LINEAR, position.symbol].instrument.quote
        if not position.lots:
            raise Refused(Code.PARAMETER, "position is zero, margin can not be added")
        if units > self._venue.clearing.free(account, coin) or position.extra_margin_units + units < 0:
            raise Refused(REFUSALS[Market.LINEAR].insufficient, "ab not enough for the margin")
        position.extra_margin_units += units
        self._venue.records.touch_position(account, position)
        self._venue.records.touch_wallet(account)
        return self._stream.write_position(account, position)

    def _set_auto_add_margin(self, account: Account, request: PositionChange) -> Any:
        position = self._position(account, request.category, request.symbol)
        position.auto_add_margin = request.auto_add_margin == 1
        self._venue.records.touch_position(account, position)
        return {}

    # ------------------------------------------------------------------ the account

    def _set_margin_mode(self, account: Account, request: SetMarginMode) -> Any:
        if request.set_margin_mode not in ("ISOLATED_MARGIN", "REGULAR_MARGIN"):
            raise Refused(Code.PARAMETER, "margin mode must be ISOLATED_MARGIN or REGULAR_MARGIN")
        account.wallet.isolated = request.set_margin_mode == "ISOLATED_MARGIN"
        self._venue.records.touch_wallet(account)
        return {"reasons": []}

    def _set_protection(self, account: Account, request: DisconnectProtection) -> Any:
        if not 3 <= request.time_window <= 300 or request.product not in _PRODUCTS:
            raise Refused(Code.PARAMETER, "params error: timeWindow must be 3 to 300, product one of the venue's")
        market = _PRODUCTS[request.product]
        if market is not None:
            self._stream.protection_windows[account.uid, market] = request.time_window
        return {}


def _decimal(value: Text, name: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or abs(number.adjusted()) > 20:
        raise Refused(Code.PARAMETER, f"params error: {name} invalid")
    return number
