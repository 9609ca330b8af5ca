"""Trust pairs: two companies that settle their day's deals as one difference, backed by a reserve of each.

Enabling a pair sets a part of its daily limit aside from both deposits. Disabling stops new deals at once; the
reserve goes back when neither side owes the other anything through the pair any more.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, PairId, TrustSessionId
from engine.money import USD_DECIMALS, Asset, AssetId, UsdMicros
from engine.settlement import calendar
from engine.settlement.calendar import SessionTimes
from engine.settlement.limits import collateral, dollars

PERCENT = 100


class TrustPair(msgspec.Struct, frozen=True):
    """A pair as agreed. The company with the smaller id is `a`. `reserve_round` counts its reserves."""

    id: PairId
    a_company_id: CompanyId
    b_company_id: CompanyId
    daily_limit_usd: UsdMicros
    cutoff_local: str
    """HH:MM in `tz`."""
    tz: str
    reserve_pct: int
    automatic_eod: bool
    created_at_ms: Instant
    enabled: bool = False
    reserve_round: int = 0

    @property
    def companies(self) -> tuple[CompanyId, CompanyId]:
        """Give both sides."""
        return self.a_company_id, self.b_company_id


class SessionStatus(StrEnum):
    """Whether a pair's day is still being settled."""

    OPEN = "open"
    CLOSED = "closed"


class Session(msgspec.Struct, frozen=True):
    """One day of a pair. Closed ones never change."""

    id: TrustSessionId
    pair_id: PairId
    session_date: str
    opens_at_ms: Instant
    cutoff_at_ms: Instant
    status: SessionStatus
    closed_at_ms: Instant | None
    closed_by: str | None
    created_at_ms: Instant


class ReservePart(msgspec.Struct, frozen=True):
    """What one company sets aside in one stablecoin."""

    company_id: CompanyId
    asset: AssetId
    units: int


def agree(pair: TrustPair) -> TrustPair | Refusal:
    """Check the terms of a pair. Whether both can afford it is asked when it is enabled."""
    if not pair.a_company_id < pair.b_company_id:
        return Refusal("bad_pair", "b_company_id", "a pair is of two companies, the smaller id first")
    if pair.daily_limit_usd <= 0:
        return Refusal("not_positive", "daily_limit_usd", "a pair needs a daily limit")
    if not 0 <= pair.reserve_pct <= PERCENT:
        return Refusal("bad_reserve", "reserve_pct", "the reserve is a percentage", allowed="0 to 100")
    refused = calendar.refuse_zone(pair.tz) or calendar.refuse_cutoff(pair.cutoff_local)
    return pair if refused is None else refused


def session_id(pair: PairId, day: str) -> TrustSessionId:
    """Name one day of a pair."""
    return TrustSessionId(f"{pair}:{day}")


def day_of(session: TrustSessionId) -> tuple[PairId, str]:
    """Tell which day of which pair a session is."""
    pair, _, day = session.rpartition(":")
    return PairId(pair), day


def new_session(pair: TrustPair, times: SessionTimes, now: Instant) -> Session:
    """Give a day of a pair as it opens."""
    return Session(
        id=session_id(pair.id, times.date),
        pair_id=pair.id,
        session_date=times.date,
        opens_at_ms=times.opens_at_ms,
        cutoff_at_ms=times.cutoff_at_ms,
        status=SessionStatus.OPEN,
        closed_at_ms=None,
        closed_by=None,
        created_at_ms=now,
    )


def reserve_usd(pair: TrustPair) -> UsdMicros:
    """Give what each side sets aside, rounded up."""
    return UsdMicros(-(-pair.daily_limit_usd * pair.reserve_pct // PERCENT))


def reserve(
    wanted: UsdMicros, company: CompanyId, available: Mapping[AssetId, int], assets: Mapping[AssetId, Asset]
) -> list[ReservePart] | Refusal:
    """Take a reserve out of a company's available deposits, the fullest first; refuse when they do not suffice.

    Each part is rounded up to a whole unit of its asset, so the reserve is never less than what was agreed.
    """
    parts, missing = [], int(wanted)
    fullest = sorted(available, key=lambda asset: (-collateral(assets[asset], available[asset]), asset))
    for asset_id in fullest:
        if missing <= 0:
            break
        units = min(available[asset_id], _units_for(missing, assets[asset_id]))
        if units > 0:
            parts.append(ReservePart(company, asset_id, units))
            missing -= collateral(assets[asset_id], units)
    if missing > 0:
        return Refusal(
            "deposit_too_small",
            "reserve_pct",
            f"the pair reserves {dollars(wanted)} USD of the deposit of {company}, "
            f"of which {dollars(wanted - missing)} USD is available",
            allowed=f"fund {dollars(missing)} USD more deposit, or agree on a lower reserve or daily limit",
        )
    return parts


def _units_for(micros: int, asset: Asset) -> int:
    ours, theirs = pow(10, USD_DECIMALS), pow(10, asset.decimals)
    return int(-(-micros * theirs // ours))
