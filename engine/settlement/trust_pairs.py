"""Trust pairs: two companies that settle their day's deals as one difference, backed by a reserve of each.

A pair is credit between two companies, so an ADMIN of each has said yes to its terms before it is enabled; changed
terms are other terms. Enabling a pair sets a part of its daily limit aside from both deposits. Disabling stops new
deals at once; the reserve goes back when neither side owes the other anything through the pair any more.
"""

import hashlib
from collections.abc import Iterable, Mapping, Set
from enum import StrEnum

import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, MemberId, PairId, TrustSessionId
from engine.money import USD_DECIMALS, Asset, AssetId, UsdMicros
from engine.settlement import calendar
from engine.settlement.calendar import SessionTimes
from engine.settlement.limits import collateral, dollars

PERCENT = 100

Admins = Mapping[CompanyId, Set[MemberId]]
"""Who is an ADMIN of which company now."""


class PairTerms(msgspec.Struct, frozen=True):
    """What companies say yes to."""

    id: PairId
    a_company_id: CompanyId
    b_company_id: CompanyId
    daily_limit_usd: UsdMicros
    cutoff_local: str
    tz: str
    reserve_pct: int
    automatic_eod: bool


class Consent(msgspec.Struct, frozen=True):
    """One person's yes to one content, for one company."""

    pair_id: PairId
    company_id: CompanyId
    member_id: MemberId
    terms_hash: bytes
    at_ms: Instant


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

    @property
    def terms(self) -> PairTerms:
        """Give what both sides say yes to."""
        return PairTerms(**{name: getattr(self, name) for name in PairTerms.__struct_fields__})


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


def terms_hash(terms: PairTerms) -> bytes:
    """Give the 32 bytes that a consent is bound to."""
    # A JSON array: no two contents can be written alike, as they could with the fields merely joined.
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.astuple(terms))).digest()


def valid_consents(pair: TrustPair, given: Iterable[Consent], admins: Admins) -> list[Consent]:
    """Give what counts: a yes to just these terms, of somebody who is an ADMIN of that company now."""
    wanted = terms_hash(pair.terms)
    return [
        consent
        for consent in given
        if consent.terms_hash == wanted and consent.member_id in admins.get(consent.company_id, ())
    ]


def refuse_consent(pair: TrustPair, terms: PairTerms, member: MemberId, admins: Admins) -> Refusal | None:
    """Say why a person may not say yes to these terms of a pair, or None if they may."""
    if not any(member in admins.get(company, ()) for company in pair.companies):
        one, other = pair.companies
        return Refusal("not_an_admin", "member", f"{member} is an ADMIN of neither {one} nor {other}")
    if terms != pair.terms:
        words = f"these are not the terms of {pair.id} as they are written down now"
        return Refusal("terms_changed", "pair", words, allowed="read the terms again, and say yes to those")
    return None


def refuse_without_consent(pair: TrustPair, given: Iterable[Consent], admins: Admins) -> Refusal | None:
    """Say whose yes a pair still needs before it is enabled, or None when both sides gave theirs."""
    said_yes = {consent.company_id for consent in valid_consents(pair, given, admins)}
    missing = " and ".join(company for company in pair.companies if company not in said_yes)
    if not missing:
        return None
    return Refusal(
        "consent_missing",
        "pair",
        f"no ADMIN of {missing} has said yes to these terms of {pair.id}",
        allowed=f"let an ADMIN of {missing} consent to the terms as they are now",
    )


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
