"""What companies owe and what backs it: the facts that limits are decided from, and who is over a limit now.

A limit that is lowered, by a tier, a penalty or a withdrawal, blocks new deals. What exists goes on; the company
is over its limit then, and an alarm says so until it is not.
"""

from collections.abc import Mapping, Sequence

import msgspec

from engine.ids import CompanyId, Instant
from engine.ledger import accounts
from engine.money import Asset, AssetId, UsdMicros
from engine.payments.alarms import AlarmKind, Severity
from engine.settlement.companies import Company
from engine.settlement.deals import EXPOSED, DealStatus
from engine.settlement.limits import LimitFacts, PairDay, Promise, collateral, dollars, open_limit
from engine.settlement.tiers import Tiers
from storage import alarms, assets, ledger, settlements
from storage.companies import COMPANY_COLUMNS
from storage.database import Connection
from storage.rows import to_rows


class Exposure(msgspec.Struct, frozen=True):
    """What a company owes, and how much it may by its deposit and its tier."""

    company: CompanyId
    deposit_available: UsdMicros
    open: UsdMicros
    limit: UsdMicros

    @property
    def is_over(self) -> bool:
        """Tell whether more is open than would be let in now."""
        return self.open > self.limit


async def limit_facts(
    connection: Connection,
    payer: Company,
    listed: Mapping[AssetId, Asset],
    tiers: Tiers,
    pair_day: PairDay | None,
    now: Instant,
) -> LimitFacts:
    """Read what the limits of a payer depend on. Exact until commit in the ledger's turn only."""
    longest_ms = max((window.length_ms for window in tiers[payer.tier].velocity), default=0)
    return LimitFacts(
        tier=payer.tier,
        deposit_available=await deposit_available(connection, payer.id, listed),
        open_exposure=await open_exposure(connection, payer.id, listed),
        promises=await _promises(connection, payer.id, Instant(now - longest_ms)),
        pair_day=pair_day,
    )


async def open_exposure(connection: Connection, company: CompanyId, listed: Mapping[AssetId, Asset]) -> UsdMicros:
    """Sum up what a company owes: its open deals and its unpaid settlements."""
    open_deals: int = await connection.fetchval(
        "SELECT coalesce(sum(exposure_usd), 0)::bigint FROM deal "
        "WHERE payer_company_id = $1 AND status = ANY ($2)",
        company,
        sorted(EXPOSED),
    )
    return UsdMicros(open_deals + await settlements.unpaid(connection, company, listed))


async def deposit_available(
    connection: Connection, company: CompanyId, listed: Mapping[AssetId, Asset]
) -> UsdMicros:
    """Count a company's deposit in dollars: every stablecoin, without what is held or reserved."""
    deposits = {accounts.deposit(company, asset.id): asset for asset in listed.values() if asset.is_dollar}
    balances = await ledger.balances(connection, list(deposits))
    return UsdMicros(
        sum(collateral(asset, balances[account.code].available) for account, asset in deposits.items())
    )


async def exposures(connection: Connection, tiers: Tiers) -> list[Exposure]:
    """Tell of every company what it owes and may owe, by id."""
    listed = await assets.listed(connection)
    members = to_rows(await connection.fetch(f"SELECT {COMPANY_COLUMNS} FROM company ORDER BY id"), Company)
    found = []
    for company in members:
        deposit = await deposit_available(connection, company.id, listed)
        owed = await open_exposure(connection, company.id, listed)
        found.append(Exposure(company.id, deposit, owed, open_limit(deposit, tiers[company.tier])))
    return found


async def watch(connection: Connection, tiers: Tiers, now: Instant) -> Sequence[CompanyId]:
    """Raise an alarm for each company that is over its limit, end those that are over; name who is over."""
    over = []
    for one in await exposures(connection, tiers):
        if one.is_over:
            over.append(one.company)
            words = f"{dollars(one.open)} USD is open, and {dollars(one.limit)} USD may be"
            await alarms.raise_alarm(connection, AlarmKind.OVER_LIMIT, one.company, Severity.SEV2, words, now)
        else:
            await alarms.clear_alarm(connection, AlarmKind.OVER_LIMIT, one.company, now)
    return over


async def _promises(connection: Connection, company: CompanyId, since: Instant) -> list[Promise]:
    records = await connection.fetch(
        "SELECT created_at_ms, exposure_usd FROM deal WHERE payer_company_id = $1 AND created_at_ms > $2 "
        "AND status <> ALL ($3) ORDER BY created_at_ms",
        company,
        since,
        [DealStatus.CANCELLED, DealStatus.EXPIRED],
    )
    return [Promise(record["created_at_ms"], UsdMicros(record["exposure_usd"])) for record in records]
