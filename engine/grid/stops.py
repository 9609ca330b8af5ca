"""What a price means to a bot: the entry trigger, the two stops, the target profit and the trailing range.

The machine says which prices concern it (`watch_low`, `watch_high`); the shell compares two integers per public
trade and stays silent about all others. Stops go by the last traded price.
"""

from engine.grid import accounting, lifecycle, trailing
from engine.grid.config import PriceStop, StopAction
from engine.grid.messages import GridEffect, Note, NoteKind, Pause, Stop
from engine.grid.state import NEVER_TICKS, BotStatus, GridState
from engine.ids import Instant
from engine.trading.instrument import AMOUNT_SCALE

_ARMED = (BotStatus.RUNNING, BotStatus.ENTERING)


def on_price(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """Act on the last price."""
    if state.syncing:
        return
    if state.status is BotStatus.AWAITING_TRIGGER:
        trigger = _trigger_ticks(state)
        if state.last_ticks >= trigger if state.trigger_is_above else state.last_ticks <= trigger:
            lifecycle.begin(state, now, out)
        return
    if state.status in _ARMED and _stop_hit(state, now, out):
        return
    trailing.consider(state, now, out)


def reached(state: GridState, ticks: int) -> str | None:
    """Say which price stop a price has already reached, or None."""
    stop = _reached_stop(state, ticks)
    return None if stop is None else _describe(state, stop, ticks)


def refresh_watch(state: GridState) -> None:
    """Work out the nearest prices below and above that concern the bot."""
    low, high = 0, NEVER_TICKS
    status, terms = state.status, state.terms
    if status in _ARMED:
        for _, ticks, is_below in terms.stops:
            low, high = (max(low, ticks), high) if is_below else (low, min(high, ticks))
        if terms.target_units is not None:
            target_low, target_high = _target_ticks(state, terms.target_units)
            low, high = max(low, target_low), min(high, target_high)
        if terms.lowest_ticks is not None:
            low = max(low, trailing.down_ticks(state))
        if terms.highest_ticks is not None:
            high = min(high, trailing.up_ticks(state))
    elif status is BotStatus.AWAITING_TRIGGER:
        if state.trigger_is_above:
            high = _trigger_ticks(state)
        else:
            low = _trigger_ticks(state)
    state.watch_low, state.watch_high = low, high


def _stop_hit(state: GridState, now: Instant, out: list[GridEffect]) -> bool:
    last = state.last_ticks
    hit = _reached_stop(state, last)
    if hit is not None:
        text = _describe(state, hit, last)
        out.append(Note(NoteKind.STOP_HIT, text))
        if hit.action is StopAction.CANCEL:
            lifecycle.pause(state, Pause(text), now, out)
        else:
            lifecycle.stop(state, Stop(hit.action is StopAction.CLOSE, text), now, out)
        return True
    target = state.terms.target_units
    if target is not None and accounting.total_units(state, last) >= target:
        text = f"target profit of {state.config.target_profit} {state.instrument.quote} reached"
        out.append(Note(NoteKind.STOP_HIT, text))
        lifecycle.stop(state, Stop(True, text), now, out)
        return True
    return False


def _reached_stop(state: GridState, ticks: int) -> PriceStop | None:
    for stop, level, is_below in state.terms.stops:
        if ticks <= level if is_below else ticks >= level:
            return stop
    return None


def _describe(state: GridState, stop: PriceStop, ticks: int) -> str:
    name = "stop-loss" if stop is state.config.stop_loss else "take-profit"
    return f"{name} at {stop.price}: the market traded at {state.instrument.price_text(ticks)}"


def _target_ticks(state: GridState, target_units: int) -> tuple[int, int]:
    """Solve cash + inventory × price ≥ target for the price: (at or below, at or above)."""
    ledger = state.ledger
    missing = target_units - ledger.cash_units
    per_tick_scaled = ledger.base_units * state.instrument.tick_units
    if per_tick_scaled > 0:
        return 0, max(1, -(-missing * AMOUNT_SCALE // per_tick_scaled))
    if per_tick_scaled < 0:
        return max(0, (-missing) * AMOUNT_SCALE // -per_tick_scaled), NEVER_TICKS
    # Without inventory the price changes nothing; if the target is met already, any price will do.
    return (NEVER_TICKS, 1) if missing <= 0 else (0, NEVER_TICKS)


def _trigger_ticks(state: GridState) -> int:
    assert state.terms.trigger_ticks is not None
    return state.terms.trigger_ticks
