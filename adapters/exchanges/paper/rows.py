"""How the venue writes its records on the wire: rows of the V5 API, shared by HTTP and the private stream.

It reads records and decides nothing. Every number is decimal text; a cancelled order's remaining quantity is "0",
and `tpslMode` appears on linear rows only: clients tell the markets apart by it.
"""

from decimal import Decimal
from typing import Any

from engine.trading.instrument import AMOUNT_SCALE, Instrument, Market, amount_text, amount_units

from .clearing import Clearing, Listings
from .market import MarketBoard
from .model import RATE_SCALE, Account, ClosedPnl, Execution, Order, Position
from .positions import entry_price, initial_margin, liquidation_price, maintenance_margin, order_margin

Row = dict[str, Any]

DOLLAR_COINS = frozenset({"USDT", "USDC"})
_AVERAGE_DIGITS = Decimal("0.0000000001")


class Rows:
    """Writes rows with the instruments' own digits."""

    def __init__(self, listings: Listings, clearing: Clearing, board: MarketBoard) -> None:
        self._listings = listings
        self._clearing = clearing
        self._board = board

    def order(self, order: Order) -> Row:
        """Write an order."""
        instrument = self._listings[order.market, order.symbol].instrument
        leaves = order.leaves if order.is_open and not order.budget else 0
        value = instrument.value_per_tick_lot
        quantity = amount_text(order.budget) if order.budget else instrument.quantity_text(order.lots)
        row = {
            "category": order.market.value,
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderLinkId": order.link_id,
            "blockTradeId": "",
            "side": _side(order.buy),
            "positionIdx": 0,
            "orderStatus": order.status.value,
            "createType": order.create_type,
            "cancelType": order.cancel_type,
            "rejectReason": order.reject_reason,
            "timeInForce": order.time_in_force.value,
            "isLeverage": "0",
            "price": instrument.price_text(order.ticks),
            "qty": quantity,
            "avgPrice": _average(order.filled_tick_lots, order.filled_lots, instrument) or "",
            "leavesQty": instrument.quantity_text(leaves),
            "leavesValue": amount_text(leaves * order.ticks * value),
            "cumExecQty": instrument.quantity_text(order.filled_lots),
            "cumExecValue": amount_text(order.filled_tick_lots * value),
            "cumExecFee": amount_text(order.fee_units),
            "cumFeeDetail": {order.fee_coin: amount_text(order.fee_units)} if order.fee_coin else {},
            "feeCurrency": order.fee_coin,
            "orderType": "Market" if order.is_market else "Limit",
            "stopOrderType": order.stop_order_type,
            "orderIv": "",
            "triggerPrice": "",
            "takeProfit": "",
            "stopLoss": "",
            "tpTriggerBy": "",
            "slTriggerBy": "",
            "triggerDirection": 0,
            "triggerBy": "",
            "lastPriceOnCreated": "",
            "reduceOnly": order.reduce_only,
            "closeOnTrigger": False,
            "smpType": "None",
            "smpGroup": 0,
            "smpOrderId": "",
            "placeType": "",
            "createdTime": str(order.created_ms),
            "updatedTime": str(order.updated_ms),
        }
        if order.market is Market.LINEAR:
            row["tpslMode"] = ""
        else:
            row["marketUnit"] = order.market_unit
        return row

    def execution(self, execution: Execution) -> Row:
        """Write an execution."""
        instrument = self._listings[execution.market, execution.symbol].instrument
        return {
            "category": execution.market.value,
            "symbol": execution.symbol,
            "execId": execution.exec_id,
            "execType": execution.exec_type,
            "execPrice": instrument.price_text(execution.ticks),
            "execQty": instrument.quantity_text(execution.lots),
            "execValue": amount_text(instrument.value(execution.ticks, execution.lots)),
            "execFee": amount_text(execution.fee_units),
            "execFeeV2": amount_text(execution.fee_units),
            "feeCurrency": execution.fee_coin,
            "feeRate": rate_text(execution.rate),
            "isMaker": execution.is_maker,
            "execTime": str(execution.at_ms),
            "orderId": execution.order_id,
            "orderLinkId": execution.link_id,
            "orderPrice": instrument.price_text(execution.order_ticks),
            "orderQty": instrument.quantity_text(execution.order_lots),
            "leavesQty": instrument.quantity_text(execution.leaves_lots),
            "orderType": _execution_order_type(execution),
            "stopOrderType": execution.stop_order_type or "UNKNOWN",
            "createType": execution.create_type,
            "side": _side(execution.buy),
            "closedSize": instrument.quantity_text(execution.closed_lots),
            "execPnl": amount_text(execution.realised_units),
            "markPrice": instrument.price_text(execution.mark_ticks),
            "indexPrice": "",
            "underlyingPrice": "",
            "markIv": "",
            "tradeIv": "",
            "blockTradeId": "",
            "isLeverage": "0",
            "seq": execution.seq,
        }

    def fast_execution(self, execution: Execution) -> Row:
        """Write an execution as `execution.fast` has it."""
        instrument = self._listings[execution.market, execution.symbol].instrument
        return {
            "category": execution.market.value,
            "symbol": execution.symbol,
            "execId": execution.exec_id,
            "execPrice": instrument.price_text(execution.ticks),
            "execQty": instrument.quantity_text(execution.lots),
            "orderId": execution.order_id,
            "isMaker": execution.is_maker,
            "orderLinkId": execution.link_id,
            "side": _side(execution.buy),
            "execTime": str(execution.at_ms),
            "seq": execution.seq,
        }

    def position(self, account: Account, position: Position) -> Row:
        """Write a position, flat ones included."""
        listing = self._listings[Market.LINEAR, position.symbol]
        instrument = listing.instrument
        value = instrument.value_per_tick_lot
        mark = self._board.of(instrument).mark_ticks
        extra = self._clearing.extra_margin(account, position)
        margin = initial_margin(position, position.cost, value) + position.extra_margin_units
        liquidation = liquidation_price(position, listing, extra)
        side = "" if not position.lots else _side(position.lots > 0)
        average = f"{entry_price(position, listing).quantize(_AVERAGE_DIGITS).normalize():f}"
        return {
            "category": Market.LINEAR.value,
            "symbol": position.symbol,
            "positionIdx": 0,
            "riskId": 1,
            "riskLimitValue": "2000000",
            "side": side,
            "size": instrument.quantity_text(abs(position.lots)),
            "avgPrice": average if position.lots else "0",
            "entryPrice": average if position.lots else "0",
            "positionValue": amount_text(position.cost * value),
            "tradeMode": 1 if account.wallet.isolated else 0,
            "autoAddMargin": int(position.auto_add_margin),
            "positionStatus": "Normal",
            "leverage": _leverage_text(position.leverage),
            "markPrice": instrument.price_text(mark or 0),
            "liqPrice": "" if liquidation is None else f"{liquidation:f}",
            "bustPrice": "",
            "positionIM": amount_text(margin),
            "positionMM": amount_text(maintenance_margin(position, listing)),
            "positionBalance": amount_text(margin),
            "takeProfit": _stop_text(instrument, position.take_profit_ticks),
            "stopLoss": _stop_text(instrument, position.stop_loss_ticks),
            "trailingStop": "0",
            "tpslMode": "Full",
            "sessionAvgPrice": "",
            "unrealisedPnl": amount_text(self._clearing.unrealised(position)) if position.lots else "",
            "curRealisedPnl": amount_text(position.realised_units),
            "cumRealisedPnl": amount_text(position.realised_units),
            "adlRankIndicator": 0,
            "isReduceOnly": False,
            "mmrSysUpdatedTime": "",
            "leverageSysUpdatedTime": "",
            "createdTime": str(position.created_ms),
            "updatedTime": str(position.updated_ms),
            "seq": position.seq,
        }

    def closed_pnl(self, closed: ClosedPnl) -> Row:
        """Write what an order realised."""
        instrument = self._listings[Market.LINEAR, closed.symbol].instrument
        value = instrument.value_per_tick_lot
        return {
            "symbol": closed.symbol,
            "orderId": closed.order_id,
            "side": _side(closed.buy),
            "qty": instrument.quantity_text(closed.order_lots),
            "orderPrice": instrument.price_text(closed.order_ticks),
            "orderType": "Market" if closed.is_market else "Limit",
            "execType": closed.exec_type,
            "closedSize": instrument.quantity_text(closed.closed_lots),
            "cumEntryValue": amount_text(closed.entry_tick_lots * value),
            "avgEntryPrice": _average(closed.entry_tick_lots, closed.closed_lots, instrument),
            "cumExitValue": amount_text(closed.exit_tick_lots * value),
            "avgExitPrice": _average(closed.exit_tick_lots, closed.closed_lots, instrument),
            "closedPnl": amount_text(closed.pnl_units),
            "fillCount": str(closed.fills),
            "leverage": _leverage_text(closed.leverage),
            "createdTime": str(closed.created_ms),
            "updatedTime": str(closed.updated_ms),
        }

    def transaction(self, execution: Execution) -> Row:
        """Write an execution as a row of the transaction log, in the coin that its fee was paid in."""
        instrument = self._listings[execution.market, execution.symbol].instrument
        is_funding = execution.exec_type == "Funding"
        cash = 0 if is_funding else execution.realised_units
        fee = 0 if is_funding else execution.fee_units
        funding = -execution.fee_units if is_funding else 0
        return {
            "id": f"{execution.exec_id}_{execution.symbol}_{execution.seq}",
            "symbol": execution.symbol,
            "category": execution.market.value,
            "side": _side(execution.buy),
            "transactionTime": str(execution.at_ms),
            "type": "SETTLEMENT" if is_funding else "TRADE",
            "qty": instrument.quantity_text(execution.lots),
            "size": "",
            "currency": execution.fee_coin,
            "tradePrice": instrument.price_text(execution.ticks),
            "funding": amount_text(funding) if is_funding else "",
            "fee": amount_text(fee),
            "cashFlow": amount_text(cash),
            "change": amount_text(cash - fee + funding),
            "cashBalance": amount_text(execution.balance_units),
            "feeRate": rate_text(execution.rate),
            "bonusChange": "",
            "tradeId": execution.exec_id,
            "orderId": execution.order_id,
            "orderLinkId": execution.link_id,
        }

    # ------------------------------------------------------------------ the wallet

    def wallet(self, account: Account, coins: frozenset[str] | None = None) -> Row:
        """Write the unified account with its coins, or with some of them."""
        rows = []
        equity = balance = 0
        for coin in sorted(account.wallet.coins):
            row, coin_balance, coin_equity = self._coin(account, coin)
            balance += coin_balance
            equity += coin_equity
            if coins is None or coin in coins:
                rows.append(row)
        positions = list(account.positions.values())
        floating = sum(self._clearing.unrealised(each) for each in positions if each.lots)
        used = sum(self._clearing.margin_used(account, each) for each in positions)
        kept = sum(maintenance_margin(each, self._listings[Market.LINEAR, each.symbol]) for each in positions)
        return {
            "accountType": "UNIFIED",
            "accountLTV": "0",
            "accountIMRate": _ratio(used, equity),
            "accountMMRate": _ratio(kept, equity),
            "totalEquity": amount_text(equity),
            "totalWalletBalance": amount_text(balance),
            "totalMarginBalance": amount_text(equity),
            "totalAvailableBalance": amount_text(max(0, self._clearing.free(account, "USDT"))),
            "totalPerpUPL": amount_text(floating),
            "totalInitialMargin": amount_text(used),
            "totalMaintenanceMargin": amount_text(kept),
            "coin": rows,
        }

    def _coin(self, account: Account, coin: str) -> tuple[Row, int, int]:
        units = account.coin(coin)
        positions = [
            each
            for each in account.positions.values()
            if self._listings[Market.LINEAR, each.symbol].instrument.quote == coin
        ]
        floating = sum(self._clearing.unrealised(each) for each in positions if each.lots)
        position_margin = order_margins = maintenance = realised = 0
        for each in positions:
            listing = self._listings[Market.LINEAR, each.symbol]
            value = listing.instrument.value_per_tick_lot
            taker = account.wallet.fees[Market.LINEAR].taker
            position_margin += initial_margin(each, each.cost, value) + each.extra_margin_units
            order_margins += order_margin(each, value, taker, RATE_SCALE)
            maintenance += maintenance_margin(each, listing)
            realised += each.realised_units
        price = self._dollar_price(coin)
        row = {
            "coin": coin,
            "equity": amount_text(units + floating),
            "usdValue": amount_text((units + floating) * price // AMOUNT_SCALE),
            "walletBalance": amount_text(units),
            "locked": amount_text(account.locked.get(coin, 0)),
            "availableToWithdraw": amount_text(max(0, self._clearing.free(account, coin))),
            "availableToBorrow": "",
            "borrowAmount": "0",
            "accruedInterest": "0",
            "spotHedgingQty": "0",
            "totalOrderIM": amount_text(order_margins),
            "totalPositionIM": amount_text(position_margin),
            "totalPositionMM": amount_text(maintenance),
            "unrealisedPnl": amount_text(floating),
            "cumRealisedPnl": amount_text(realised),
            "bonus": "0",
            "marginCollateral": True,
            "collateralSwitch": True,
        }
        return row, units * price // AMOUNT_SCALE, (units + floating) * price // AMOUNT_SCALE

    def _dollar_price(self, coin: str) -> int:
        """Give dollars per coin in units; zero for a coin without a market here."""
        if coin in DOLLAR_COINS:
            return AMOUNT_SCALE
        state = self._board.find(Market.SPOT, f"{coin}USDT")
        if state is None or state.last_ticks is None:
            return 0
        return amount_units(state.instrument.price(state.last_ticks))


def rate_text(rate: int) -> str:
    """Write a fee or funding rate."""
    return f"{(Decimal(rate) / RATE_SCALE).normalize():f}"


def _side(buy: bool) -> str:
    return "Buy" if buy else "Sell"


def _average(tick_lots: int, lots: int, instrument: Instrument) -> str:
    if not lots:
        return ""
    price = Decimal(tick_lots) / lots * instrument.tick_size
    return f"{price.quantize(_AVERAGE_DIGITS).normalize():f}"


def _execution_order_type(execution: Execution) -> str:
    if execution.exec_type == "Funding":
        return "UNKNOWN"
    return "Market" if execution.is_market else "Limit"


def _leverage_text(hundredths: int) -> str:
    return f"{(Decimal(hundredths) / 100).normalize():f}"


def _stop_text(instrument: Instrument, ticks: int) -> str:
    return instrument.price_text(ticks) if ticks else ""


def _ratio(part: int, whole: int) -> str:
    return f"{Decimal(part) / whole:.4f}" if whole else "0"
