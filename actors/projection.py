"""From messages and effects to the rows that people read: orders, executions, round trips, the action log.

It runs beside the order path, on what the journal is about to commit, and decides nothing. Everything here could
be derived again from the journal.
"""

from decimal import Decimal
from typing import Any

import msgspec

from engine.grid import pnl
from engine.grid.messages import (
    GridEffect,
    GridMessage,
    Note,
    Pause,
    Resync,
    Resynced,
    Start,
    Stop,
    TripClosed,
)
from engine.grid.orders import OrderName, link_id, parse_link_id
from engine.grid.resync import named_slots
from engine.grid.slots import name_of
from engine.grid.state import GridState, OrderPhase
from engine.ids import Instant, LinkId
from engine.trading.instrument import AMOUNT_DECIMALS, Instrument
from engine.trading.orders import (
    CancelOrder,
    CancelRefused,
    Execution,
    FundingCharged,
    OrderAbsent,
    OrderAccepted,
    OrderInDoubt,
    OrderKind,
    OrderRejected,
    OrderReport,
    OrderStatus,
    PlaceOrder,
    Side,
)
from storage.actions import ActionRow
from storage.executions import ExecutionRow, FundingRow, RoundTripRow
from storage.metrics import MetricRow
from storage.orders import OrderRow

_ENDED_MAX = 4_096


class Rows(msgspec.Struct):
    """What a group of journal entries adds to the tables."""

    orders: dict[LinkId, OrderRow] = msgspec.field(default_factory=dict)
    executions: list[ExecutionRow] = msgspec.field(default_factory=list)
    round_trips: list[RoundTripRow] = msgspec.field(default_factory=list)
    funding: list[FundingRow] = msgspec.field(default_factory=list)
    actions: list[ActionRow] = msgspec.field(default_factory=list)


class Projection:
    """Follows one bot. Knows its live orders, so that each change can be written as the order's whole row."""

    def __init__(self, state: GridState) -> None:
        self._instrument: Instrument = state.instrument
        self._live: dict[LinkId, OrderRow] = {}
        self._ended: dict[LinkId, None] = {}
        self._bot = state.bot
        self._places: dict[int | str, OrderName] = {}
        """The newest order of each place."""
        for slot, level in named_slots(state):
            if slot.is_empty:
                continue
            kind = OrderKind.LIMIT if isinstance(level, int) else OrderKind.MARKET
            place = PlaceOrder(name_of(state, slot, level), slot.side, kind, slot.ticks, slot.lots)
            row = self._placed(place, slot.sent_ms, 0)
            filled = self._instrument.quantity(slot.filled)
            self._keep(Rows(), msgspec.structs.replace(row, status=slot.phase.value, filled=filled))

    def add(self, rows: Rows, seq: int, at_ms: Instant, message: GridMessage, effects: list[GridEffect]) -> None:
        """Add what one message and its effects mean."""
        lines: list[tuple[str, int | None, str, dict[str, Any]]] = []
        self._fact(rows, lines, seq, at_ms, message)
        trips = 0
        for effect in effects:
            match effect:
                case PlaceOrder():
                    self._keep(rows, self._placed(effect, at_ms, seq))
                    lines.append(("placed", *self._order_words(effect)))
                case CancelOrder(link_id=link):
                    self._update(rows, link, seq, at_ms, status=OrderPhase.CANCELLING.value)
                    lines.append(("cancelling", _level(link), f"cancels {link}", {"order": link}))
                case TripClosed():
                    rows.round_trips.append(self._trip(seq, trips, effect))
                    trips += 1
                    lines.append(("round_trip", effect.level, *self._trip_words(effect)))
                case Note():
                    lines.append((effect.kind.value, effect.level, effect.text, {}))
                case Resync():
                    lines.append(("resync", None, effect.reason, {}))
                case _:
                    pass
        for ordinal, (kind, level, text, details) in enumerate(lines):
            rows.actions.append(ActionRow(seq, ordinal, at_ms, kind, level, text, details))

    # ------------------------------------------------------------------ facts

    def _fact(self, rows: Rows, lines: list[Any], seq: int, at_ms: Instant, message: GridMessage) -> None:
        match message:
            case Execution():
                self._executed(rows, lines, seq, message)
            case OrderAccepted(link_id=link, venue_id=venue_id):
                self._update(rows, link, seq, at_ms, status=OrderStatus.OPEN.value, venue_id=venue_id)
            case OrderReport():
                self._reported(rows, lines, seq, at_ms, message)
            case Resynced(open_orders=listed):
                for report in listed:
                    self._meet(rows, seq, at_ms, report)
            case OrderRejected(link_id=link, reason=reason, text=text):
                words = f"{reason} {text}".strip()
                self._end(rows, link, seq, at_ms, status=OrderStatus.REJECTED.value, reason=words)
                lines.append(("rejected", _level(link), f"{link} refused: {words}", {"order": link}))
            case OrderInDoubt(link_id=link, text=text):
                self._update(rows, link, seq, at_ms, status=OrderPhase.UNKNOWN.value, reason=text)
                lines.append(("in_doubt", _level(link), f"{link}: no definite answer; {text}", {"order": link}))
            case OrderAbsent(link_id=link):
                self._end(rows, link, seq, at_ms, status="absent", reason="the venue has never seen it")
                lines.append(("absent", _level(link), f"{link}: the venue has never seen it", {"order": link}))
            case CancelRefused(link_id=link, reason=reason):
                lines.append(
                    ("cancel_refused", _level(link), f"{link}: cancel refused, {reason}", {"order": link})
                )
            case FundingCharged(exec_id=exec_id, amount_units=units, at_ms=charged_ms):
                amount = _amount(units)
                rows.funding.append(FundingRow(exec_id, amount, charged_ms, seq))
                text = f"funding: {amount:f} {self._instrument.quote} paid"
                lines.append(("funding", None, text, {"amount": str(amount)}))
            case Start(price_ticks=ticks):
                text = f"start at {self._instrument.price_text(ticks)}"
                lines.append(("command", None, text, {}))
            case Stop(sell=sell, reason=reason):
                what = "sell the position" if sell else "keep the position"
                lines.append(("command", None, f"stop and {what}: {reason}", {}))
            case Pause(reason=reason):
                lines.append(("command", None, f"pause: {reason}", {}))
            case _:
                pass

    def _executed(self, rows: Rows, lines: list[Any], seq: int, fill: Execution) -> None:
        instrument = self._instrument
        price, quantity = instrument.price(fill.ticks), instrument.quantity(fill.lots)
        fee = _amount(fill.fee_units)
        rows.executions.append(
            ExecutionRow(
                exec_id=fill.exec_id,
                link_id=fill.link_id,
                side=fill.side,
                price=price,
                quantity=quantity,
                fee=fee,
                fee_asset=fill.fee_asset,
                is_maker=fill.is_maker,
                at_ms=fill.at_ms,
                seq=seq,
            )
        )
        self._meet(rows, seq, fill.at_ms, fill)
        known = self._live.get(fill.link_id)
        before = known.filled if known else Decimal(0)
        filled = before + quantity
        if filled >= instrument.quantity(fill.order_lots):
            self._end(rows, fill.link_id, seq, fill.at_ms, status=OrderStatus.FILLED.value, filled=filled)
        else:
            self._update(rows, fill.link_id, seq, fill.at_ms, status="partially_filled", filled=filled)
        role = "maker" if fill.is_maker else "taker"
        text = f"{fill.side} {quantity:f} at {price:f} ({role}), fee {fee.normalize():f} {fill.fee_asset}"
        lines.append(("filled", _level(fill.link_id), text, {"order": fill.link_id, "execution": fill.exec_id}))

    def _reported(self, rows: Rows, lines: list[Any], seq: int, at_ms: Instant, report: OrderReport) -> None:
        link = report.link_id
        if not report.status.is_final:
            self._meet(rows, seq, at_ms, report)
            self._update(rows, link, seq, at_ms, status=OrderStatus.OPEN.value, venue_id=report.venue_id)
        elif report.status is not OrderStatus.FILLED and link in self._live:
            words = " ".join(str(part) for part in (report.reason, report.text) if part)
            filled = self._instrument.quantity(report.filled_lots)
            self._end(rows, link, seq, at_ms, status=report.status.value, reason=words, filled=filled)
            lines.append((report.status.value, _level(link), f"{link} {report.status} {words}", {"order": link}))

    # ------------------------------------------------------------------ rows

    def _placed(self, place: PlaceOrder, at_ms: Instant, seq: int) -> OrderRow:
        is_market = place.kind is OrderKind.MARKET
        return OrderRow(
            link_id=place.link_id,
            venue_id=None,
            level=_level(place.link_id),
            side=place.side,
            kind=place.kind,
            price=None if is_market else self._instrument.price(place.ticks),
            quantity=self._instrument.quantity(place.lots),
            filled=Decimal(0),
            status=OrderPhase.SENT.value,
            reason="",
            is_live=True,
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
            seq=seq,
        )

    def _meet(self, rows: Rows, seq: int, at_ms: Instant, fact: OrderReport | Execution) -> None:
        """Write the row of an order that an earlier life placed and did not live to write down."""
        link = fact.link_id
        if link in self._live or link in self._ended or parse_link_id(link) is None:
            return
        kind = OrderKind.MARKET if _level(link) is None else OrderKind.LIMIT
        lots = fact.order_lots if isinstance(fact, Execution) else fact.lots
        row = self._placed(PlaceOrder(link, fact.side, kind, fact.ticks, lots), at_ms, seq)
        status = OrderStatus.OPEN.value
        self._keep(rows, msgspec.structs.replace(row, status=status, venue_id=fact.venue_id))

    def _keep(self, rows: Rows, row: OrderRow) -> None:
        if row.link_id not in self._live:
            self._supersede(rows, row)
        self._live[row.link_id] = row
        rows.orders[row.link_id] = row

    def _supersede(self, rows: Rows, row: OrderRow) -> None:
        """End the row of the order before this one in its place: a place has one order, so a later one ends it.

        Usually that end was heard of and written. What a lost life of the bot heard, nobody wrote.
        """
        name = parse_link_id(row.link_id)
        if name is None:
            return
        before = self._places.get(_place(name))
        if before is not None and before.generation > name.generation:
            return
        self._places[_place(name)] = name
        if before is not None:
            link = link_id(self._bot, before.level, before.generation, before.side)
            reason = f"{row.link_id} followed it"
            self._end(rows, link, row.seq, row.updated_at_ms, status="superseded", reason=reason)

    def _update(self, rows: Rows, link: LinkId, seq: int, at_ms: Instant, **changes: Any) -> None:
        known = self._live.get(link)
        if known is not None:
            self._keep(rows, msgspec.structs.replace(known, seq=seq, updated_at_ms=at_ms, **changes))

    def _end(self, rows: Rows, link: LinkId, seq: int, at_ms: Instant, **changes: Any) -> None:
        self._update(rows, link, seq, at_ms, is_live=False, **changes)
        if self._live.pop(link, None) is not None:
            self._ended[link] = None
            if len(self._ended) > _ENDED_MAX:
                del self._ended[next(iter(self._ended))]

    def _trip(self, seq: int, ordinal: int, trip: TripClosed) -> RoundTripRow:
        gross, fees = _amount(trip.gross_units), _amount(trip.fee_units)
        return RoundTripRow(
            seq=seq,
            ordinal=ordinal,
            level=trip.level,
            opened_by=trip.opened_by,
            # A trip is filled in parts and may begin with the entry order: its result is exact, one price is not.
            buy_price=None,
            sell_price=None,
            quantity=self._instrument.quantity(trip.lots),
            gross=gross,
            fees=fees,
            net=gross - fees,
            opened_at_ms=trip.opened_ms,
            closed_at_ms=trip.closed_ms,
        )

    def _trip_words(self, trip: TripClosed) -> tuple[str, dict[str, Any]]:
        net = _amount(trip.gross_units - trip.fee_units)
        return f"round trip closed: {net.normalize():f} {self._instrument.quote} net of fees", {"net": str(net)}

    def _order_words(self, place: PlaceOrder) -> tuple[int | None, str, dict[str, Any]]:
        quantity = self._instrument.quantity_text(place.lots)
        at = "market" if place.kind is OrderKind.MARKET else self._instrument.price_text(place.ticks)
        return _level(place.link_id), f"{place.side} {quantity} at {at}", {"order": place.link_id}


def metric_row(state: GridState, mark_ticks: int, now: Instant) -> MetricRow:
    """Sample a bot's figures."""
    report = pnl.report(state, mark_ticks, now)
    return MetricRow(
        at_ms=now,
        price=report.mark_price,
        position=report.base_inventory,
        grid_profit=report.grid_profit + report.exit_profit,
        floating_profit=report.floating,
        fees=report.fees,
        funding=report.funding,
        total_profit=report.total,
        drawdown=report.max_drawdown,
        round_trips=report.trips,
        trades=report.trades,
    )


def _amount(units: int) -> Decimal:
    return Decimal(units).scaleb(-AMOUNT_DECIMALS)


def _place(name: OrderName) -> int | str:
    """Name the place of an order: an interval buys at its lower level and sells at its upper one."""
    if isinstance(name.level, int) and name.side is Side.SELL:
        return name.level - 1
    return name.level


def _level(link: LinkId) -> int | None:
    name = parse_link_id(link)
    return name.level if name is not None and isinstance(name.level, int) else None
