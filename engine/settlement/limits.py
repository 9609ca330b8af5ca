"""Whether a company may owe an amount more: one answer, the headroom or the tightest limit's refusal.

It decides from facts alone (the deposit, what is open, what was promised lately, the pair's day) and never looks
anything up. The caller reads the facts and acts on the answer in one transaction, in its turn at the ledger.
"""

from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

import msgspec

from engine.errors import Refusal
from engine.ids import Instant
from engine.money import USD_DECIMALS, Asset, UsdMicros
from engine.settlement.tiers import HOUR_MS, Tier, Tiers, TierTerms

AMOUNT_FIELD = "amount_token"
_DIGITS_MAX = 80
_MINUTE_MS = 60_000


class Promise(msgspec.Struct, frozen=True):
    """A deal that a company accepted to pay for: what velocity windows count."""

    at_ms: Instant
    usd: UsdMicros


class PairDay(msgspec.Struct, frozen=True):
    """The day of a trust pair: its limit, and the sum of its deals in both directions."""

    daily_limit: UsdMicros
    gross: UsdMicros


class LimitFacts(msgspec.Struct, frozen=True):
    """Everything that limits depend on, as it is now."""

    tier: Tier
    deposit_available: UsdMicros
    """The deposit without what is held and without what is reserved for pairs."""
    open_exposure: UsdMicros
    """What the company owes in open deals and unpaid settlements."""
    promises: Sequence[Promise] = ()
    """Of the longest velocity window, oldest first; cancelled and expired deals are not among them."""
    pair_day: PairDay | None = None
    """For a deal of a trust pair."""


class Headroom(msgspec.Struct, frozen=True):
    """What one limit leaves. Below zero when the limit was lowered under what is open."""

    code: str
    left: UsdMicros
    reason: str
    lifted_by: str


def check(amount: UsdMicros, symbol: str, facts: LimitFacts, tiers: Tiers, now: Instant) -> UsdMicros | Refusal:
    """Give what the tightest limit leaves when `amount` fits under all of them, and its refusal otherwise.

    `symbol` is the token that a missing deposit would be funded in, for the text.
    """
    tightest = min(_headrooms(amount, symbol, facts, tiers, now), key=lambda headroom: headroom.left)
    if amount <= tightest.left:
        return tightest.left
    left = max(tightest.left, 0)
    return Refusal(
        tightest.code,
        AMOUNT_FIELD,
        f"{dollars(amount)} USD is too much: {tightest.reason}",
        allowed=f"{dollars(left)} USD or less now; {tightest.lifted_by}",
        most=Decimal(left).scaleb(-USD_DECIMALS),
    )


def company_limit(deposit_available: UsdMicros, terms: TierTerms) -> UsdMicros:
    """Give deposit × k, rounded down."""
    return UsdMicros(int((deposit_available * terms.k).to_integral_value(ROUND_FLOOR)))


def open_limit(deposit_available: UsdMicros, terms: TierTerms) -> UsdMicros:
    """Give how much may be open at once (L1): deposit × k, and never more than the tier's cap."""
    return min(company_limit(deposit_available, terms), terms.cap_open_exposure)


def collateral(asset: Asset, units: int) -> UsdMicros:
    """Count a deposit in millionths of a dollar, rounded down: half a millionth gives no limit."""
    if not asset.is_dollar:
        raise ValueError(f"{asset.id} is not counted in dollars")
    with localcontext() as context:
        context.prec = _DIGITS_MAX
        scaled = Decimal(units).scaleb(USD_DECIMALS - asset.decimals)
        return UsdMicros(int(scaled.to_integral_value(ROUND_FLOOR)))


def dollars(amount: int) -> str:
    """Write an amount of millionths for people: 1,250 or 0.5."""
    whole, rest = divmod(abs(amount), 10**USD_DECIMALS)
    fraction = f".{rest:0{USD_DECIMALS}d}".rstrip("0") if rest else ""
    return f"{'-' if amount < 0 else ''}{whole:,}{fraction}"


def duration(length_ms: int) -> str:
    """Write a stretch of time for people, rounded up to minutes: 3 h 05 min."""
    hours, minutes = divmod(-(-length_ms // _MINUTE_MS), HOUR_MS // _MINUTE_MS)
    return f"{hours} h {minutes:02d} min"


def _headrooms(
    amount: UsdMicros, symbol: str, facts: LimitFacts, tiers: Tiers, now: Instant
) -> Iterator[Headroom]:
    terms = tiers[facts.tier]
    yield _per_deal(amount, facts.tier, tiers)
    yield _by_deposit(amount, symbol, facts, terms)
    yield _open_exposure(amount, facts, terms)
    yield from _velocity(amount, facts, terms, now)
    if facts.pair_day is not None:
        yield _pair_day(facts.pair_day)


def _per_deal(amount: UsdMicros, tier: Tier, tiers: Tiers) -> Headroom:
    cap = tiers[tier].cap_per_deal
    enough = next((name for name, other in tiers.items() if other.cap_per_deal >= amount), None)
    return Headroom(
        "over_cap_per_deal",
        cap,
        f"tier {tier} makes deals of {dollars(cap)} USD at most",
        "split it into several deals"
        + (f", or ask for tier {enough} ({dollars(tiers[enough].cap_per_deal)} USD a deal)" if enough else ""),
    )


def _by_deposit(amount: UsdMicros, symbol: str, facts: LimitFacts, terms: TierTerms) -> Headroom:
    limit = company_limit(facts.deposit_available, terms)
    with localcontext() as context:
        context.prec = _DIGITS_MAX
        wanted = (Decimal(facts.open_exposure + amount) / terms.k).to_integral_value(ROUND_CEILING)
    missing = int(wanted) - facts.deposit_available
    return Headroom(
        "over_company_limit",
        UsdMicros(limit - facts.open_exposure),
        f"an available deposit of {dollars(facts.deposit_available)} USD gives a limit of {dollars(limit)} USD, "
        f"and {dollars(facts.open_exposure)} USD is open",
        f"fund {dollars(missing)} {symbol} more deposit, or settle what is open",
    )


def _open_exposure(amount: UsdMicros, facts: LimitFacts, terms: TierTerms) -> Headroom:
    left = UsdMicros(terms.cap_open_exposure - facts.open_exposure)
    return Headroom(
        "over_open_exposure",
        left,
        f"tier {facts.tier} may have {dollars(terms.cap_open_exposure)} USD open at once, "
        f"and {dollars(facts.open_exposure)} USD is",
        f"settle {dollars(amount - left)} USD of open deals, or ask for a higher tier",
    )


def _velocity(amount: UsdMicros, facts: LimitFacts, terms: TierTerms, now: Instant) -> Iterator[Headroom]:
    for window in terms.velocity:
        within = [promise for promise in facts.promises if promise.at_ms > now - window.length_ms]
        used = sum(promise.usd for promise in within)
        left = UsdMicros(window.usd - used)
        yield Headroom(
            "over_velocity",
            left,
            f"tier {facts.tier} promises {dollars(window.usd)} USD within {window.hours} h at most, "
            f"and {dollars(used)} USD was promised",
            _passes_by_waiting(amount - left, within, window.length_ms, now),
        )


def _passes_by_waiting(missing: int, within: Sequence[Promise], length_ms: int, now: Instant) -> str:
    for promise in within:
        missing -= promise.usd
        if missing <= 0:
            return f"wait {duration(promise.at_ms + length_ms - now)}, or ask for a higher tier"
    return "split it over several windows, or ask for a higher tier"


def _pair_day(day: PairDay) -> Headroom:
    return Headroom(
        "over_pair_daily_limit",
        UsdMicros(day.daily_limit - day.gross),
        f"the pair's day has a limit of {dollars(day.daily_limit)} USD, and {dollars(day.gross)} USD is in it",
        "wait for the next session, settle this deal by itself (pass-through), or raise the pair's daily limit",
    )
