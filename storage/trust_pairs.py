"""Trust pairs as rows: agreed on, consented to by both companies, enabled with a reserve of each side's deposit,
disabled.

L2: what is reserved in the ledger is what enabled pairs ask for, and disabled ones that still owe. Reserving and
releasing happen in the ledger's turn, in the transaction that switches the pair.
"""

from collections.abc import Sequence

import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, MemberId, PairId
from engine.ledger import accounts, templates
from engine.ledger.postings import Transfer
from engine.money import AssetId
from engine.settlement import offers as words
from engine.settlement import trust_pairs as rules
from engine.settlement.deals import DealStatus
from engine.settlement.trust_pairs import Consent, PairTerms, ReservePart, TrustPair
from storage import assets, audit, club_commands, companies, ledger, outbox, pair_consents
from storage.club_commands import Command
from storage.database import Connection, Database
from storage.rows import AlreadyExistsDifferently, to_row

COLUMNS = (
    "id, a_company_id, b_company_id, daily_limit_usd, to_char(cutoff_local, 'HH24:MI') AS cutoff_local, tz, "
    "reserve_pct, automatic_eod, created_at_ms, enabled, reserve_round"
)


async def get(connection: Connection, pair: PairId) -> TrustPair | None:
    """Find a pair."""
    record = await connection.fetchrow(f"SELECT {COLUMNS} FROM trust_pair WHERE id = $1", pair)
    return None if record is None else to_row(record, TrustPair)


async def held(connection: Connection, pair: PairId) -> TrustPair:
    """Give a pair and keep others from changing it until the transaction ends; KeyError for an unknown one."""
    record = await connection.fetchrow(f"SELECT {COLUMNS} FROM trust_pair WHERE id = $1 FOR NO KEY UPDATE", pair)
    if record is None:
        raise KeyError(pair)
    return to_row(record, TrustPair)


async def between(connection: Connection, one: CompanyId, other: CompanyId) -> TrustPair | None:
    """Find the pair of two companies and keep it as it is until the transaction ends."""
    record = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM trust_pair WHERE a_company_id = $1 AND b_company_id = $2 FOR SHARE",
        min(one, other),
        max(one, other),
    )
    return None if record is None else to_row(record, TrustPair)


async def release_if_quits(connection: Connection, pair: PairId, now: Instant) -> bool:
    """Give the reserve of a disabled pair back once neither side owes through it; tell whether that was now."""
    terms = await held(connection, pair)
    if terms.enabled or await _owes(connection, pair):
        return False
    records = await connection.fetch(
        "UPDATE trust_reserve SET released_at_ms = $2 WHERE pair_id = $1 AND released_at_ms IS NULL "
        "RETURNING company_id, token, amount_token",
        pair,
        now,
    )
    parts = [ReservePart(record["company_id"], record["token"], int(record["amount_token"])) for record in records]
    await _post(
        connection,
        [
            transfer
            for part in parts
            for transfer in templates.reserve_release(
                part.company_id, part.asset, part.units, _reference(terms, part), now
            )
        ],
    )
    return bool(parts)


class TrustPairs:
    """The table of trust pairs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def agree(self, pair: TrustPair, command: Command) -> TrustPair | Refusal:
        """Write down the terms of a new pair, or other terms of one that is disabled and quits.

        Other terms void the consents that were given.
        """

        async def work(connection: Connection) -> TrustPair | Refusal:

            async def write() -> TrustPair | Refusal:
                agreed = rules.agree(pair)
                return agreed if isinstance(agreed, Refusal) else await _write(connection, agreed, command)

            async def again() -> TrustPair:
                return await held(connection, pair.id)

            content = msgspec.to_builtins(pair)
            return await club_commands.once(
                connection, command, "pair.agree", f"pair:{pair.id}", content, write, again
            )

        return await self._database.repeat(work)

    async def consent(self, terms: PairTerms, command: Command) -> TrustPair | Refusal:
        """Say yes to just these terms, for each of the two companies that the actor is an ADMIN of.

        Refused: `unknown_pair`, `not_an_admin`, `terms_changed` where others are written down by now.
        """

        async def work(connection: Connection) -> TrustPair | Refusal:
            # The row's lock: terms do not change between the look at them and the yes.
            records = await connection.fetch(
                f"SELECT {COLUMNS} FROM trust_pair WHERE id = $1 FOR NO KEY UPDATE", terms.id
            )
            pair = next((to_row(record, TrustPair) for record in records), None)

            async def write() -> TrustPair | Refusal:
                if pair is None:
                    return Refusal("unknown_pair", "pair", f"there is no pair {terms.id}")
                return await _consent(connection, pair, terms, command)

            async def again() -> TrustPair:
                return await held(connection, terms.id)

            content = msgspec.to_builtins(terms)
            return await club_commands.once(
                connection, command, "pair.consent", f"pair:{terms.id}", content, write, again
            )

        return await self._database.repeat(work)

    async def consents(self, pairs: Sequence[TrustPair]) -> list[Consent]:
        """List who has said yes to the terms of these pairs as they are now, and may still speak for a company."""
        async with self._database.transaction() as connection:
            return await pair_consents.valid(connection, pairs)

    async def enable(self, pair: PairId, command: Command) -> TrustPair | Refusal:
        """Let a pair net its days: reserve a part of its daily limit from both deposits, or say who lacks it.

        Refused: `company_suspended`, `consent_missing` with whose it is, `deposit_too_small`.
        """

        async def work(connection: Connection) -> TrustPair | Refusal:
            await ledger.take_turn(connection)
            before = await held(connection, pair)

            async def switch() -> TrustPair | Refusal:
                return before if before.enabled else await _enable(connection, before, command)

            async def again() -> TrustPair:
                return before

            return await club_commands.once(connection, command, "pair.enable", f"pair:{pair}", {}, switch, again)

        return await self._database.repeat(work)

    async def disable(self, pair: PairId, command: Command) -> TrustPair | Refusal:
        """Take no new deals into a pair, at once. Its reserve goes back when neither side owes any more."""

        async def work(connection: Connection) -> TrustPair | Refusal:
            await ledger.take_turn(connection)
            before = await held(connection, pair)

            async def switch() -> TrustPair:
                if not before.enabled:
                    return before
                after = msgspec.structs.replace(before, enabled=False)
                await connection.execute("UPDATE trust_pair SET enabled = false WHERE id = $1", pair)
                await release_if_quits(connection, pair, command.at_ms)
                await _audit(connection, command, "pair.disable", before, after)
                return after

            async def again() -> TrustPair:
                return before

            return await club_commands.once(connection, command, "pair.disable", f"pair:{pair}", {}, switch, again)

        return await self._database.repeat(work)

    async def get(self, pair: PairId) -> TrustPair | None:
        """Find a pair."""
        record = await self._database.row(f"SELECT {COLUMNS} FROM trust_pair WHERE id = $1", pair)
        return None if record is None else to_row(record, TrustPair)

    async def all(self, company: CompanyId | None = None) -> list[TrustPair]:
        """List the pairs of a company, or all, by id."""
        records = await self._database.rows(
            f"SELECT {COLUMNS} FROM trust_pair "
            "WHERE $1::text IS NULL OR a_company_id = $1 OR b_company_id = $1 ORDER BY id",
            company,
        )
        return [to_row(record, TrustPair) for record in records]


async def _write(connection: Connection, pair: TrustPair, command: Command) -> TrustPair | Refusal:
    for company in pair.companies:
        await companies.held(connection, company)
    known = await connection.fetchval(
        "SELECT id FROM trust_pair WHERE a_company_id = $1 AND b_company_id = $2", *pair.companies
    )
    if known is not None and known != pair.id:
        return Refusal("pair_exists", "b_company_id", f"the two companies have the pair {known}")
    before = None if known is None else await held(connection, pair.id)
    if before is not None:
        if before.enabled or await _owes(connection, pair.id):
            return Refusal(
                "pair_in_use",
                "id",
                "the terms of a pair change while it is disabled and neither side owes",
                allowed="disable the pair and let its session close first",
            )
        pair = msgspec.structs.replace(
            pair, enabled=False, reserve_round=before.reserve_round, created_at_ms=before.created_at_ms
        )
    await connection.execute(
        """
        INSERT INTO trust_pair (id, a_company_id, b_company_id, daily_limit_usd, cutoff_local, tz, reserve_pct,
                                automatic_eod, created_at_ms)
        VALUES ($1, $2, $3, $4, $5::text::time, $6, $7, $8, $9)
        ON CONFLICT (id) DO UPDATE SET
            daily_limit_usd = excluded.daily_limit_usd, cutoff_local = excluded.cutoff_local, tz = excluded.tz,
            reserve_pct = excluded.reserve_pct, automatic_eod = excluded.automatic_eod
        """,
        *msgspec.structs.astuple(pair)[:9],
    )
    after = await held(connection, pair.id)
    if after.companies != pair.companies:
        raise AlreadyExistsDifferently(f"{pair.id} is the pair of two other companies")
    if after != before:
        # Changed back to what they were, terms are agreed on anew and want a new yes.
        await pair_consents.void(connection, pair.id)
        await _audit(connection, command, "pair.agree", before, after)
    return after


async def _consent(
    connection: Connection, pair: TrustPair, terms: PairTerms, command: Command
) -> TrustPair | Refusal:
    member, admins = MemberId(command.actor), await pair_consents.admins(connection, [pair])
    refused = rules.refuse_consent(pair, terms, member, admins)
    if refused is not None:
        return refused
    said = rules.terms_hash(terms)
    given = [
        Consent(pair.id, company, member, said, command.at_ms)
        for company in pair.companies
        if member in admins[company]
    ]
    await pair_consents.write(connection, given)
    facts = {
        "companies": [consent.company_id for consent in given],
        "terms": msgspec.to_builtins(terms),
        "terms_hash": said.hex(),
    }
    await outbox.write(connection, [outbox.NewEvent("pair.consented", pair.id, {"by": member, **facts})])
    await audit.append(connection, [audit.NewEntry(command.actor, "pair.consent", f"pair:{pair.id}", None, facts)])
    return pair


async def _enable(connection: Connection, pair: TrustPair, command: Command) -> TrustPair | Refusal:
    for company in pair.companies:
        found = await companies.held(connection, company)
        if not found.is_active:
            return words.suspended(found)
    missing = await pair_consents.refuse(connection, pair)
    if missing is not None:
        return missing
    after = msgspec.structs.replace(pair, enabled=True)
    if not await _is_reserved(connection, pair.id):
        after = msgspec.structs.replace(after, reserve_round=pair.reserve_round + 1)
        refused = await _reserve(connection, after, command.at_ms)
        if refused is not None:
            return refused
    await connection.execute(
        "UPDATE trust_pair SET enabled = true, reserve_round = $2 WHERE id = $1", pair.id, after.reserve_round
    )
    await _audit(connection, command, "pair.enable", pair, after)
    return after


async def _reserve(connection: Connection, pair: TrustPair, now: Instant) -> Refusal | None:
    listed = {name: asset for name, asset in (await assets.listed(connection)).items() if asset.is_dollar}
    parts: list[ReservePart] = []
    for company in pair.companies:
        available = await _deposits(connection, company, list(listed))
        taken = rules.reserve(rules.reserve_usd(pair), company, available, listed)
        if isinstance(taken, Refusal):
            return taken
        parts += taken
    await connection.executemany(
        "INSERT INTO trust_reserve (pair_id, round, company_id, token, amount_token, reserved_at_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        [(pair.id, pair.reserve_round, part.company_id, part.asset, part.units, now) for part in parts],
    )
    await _post(
        connection,
        [
            transfer
            for part in parts
            for transfer in templates.reserve_trust(
                part.company_id, part.asset, part.units, _reference(pair, part), now
            )
        ],
    )
    return None


async def _deposits(connection: Connection, company: CompanyId, listed: Sequence[AssetId]) -> dict[AssetId, int]:
    by_asset = {asset: accounts.deposit(company, asset) for asset in listed}
    balances = await ledger.balances(connection, list(by_asset.values()))
    return {asset: balances[account.code].available for asset, account in by_asset.items()}


async def _post(connection: Connection, transfers: Sequence[Transfer]) -> None:
    refused = [posted for posted in await ledger.post(connection, transfers) if not posted.ok]
    if refused:
        # In the ledger's turn, what was available when we looked is available now: a bug, and all is undone.
        raise RuntimeError(f"the ledger refused {refused[0].id}: {refused[0].result}")


async def _owes(connection: Connection, pair: PairId) -> bool:
    owes: bool = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM deal JOIN trust_session ON trust_session.id = deal.session_id
                       WHERE pair_id = $1 AND deal.status = $2)
            OR EXISTS (SELECT FROM eod_settlement AS owed JOIN trust_session ON trust_session.id = owed.session_id
                       WHERE pair_id = $1 AND (owed.status = 'queued' OR (owed.carried_token > 0 AND NOT EXISTS (
                           SELECT FROM eod_settlement AS later WHERE later.carried_from = owed.id))))
        """,
        pair,
        DealStatus.IN_SESSION,
    )
    return owes


async def _is_reserved(connection: Connection, pair: PairId) -> bool:
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM trust_reserve WHERE pair_id = $1 AND released_at_ms IS NULL)", pair
    )
    return found


def _reference(pair: TrustPair, part: ReservePart) -> str:
    return f"{pair.id}.{pair.reserve_round}.{part.company_id}.{part.asset}"


async def _audit(
    connection: Connection, command: Command, name: str, before: TrustPair | None, after: TrustPair
) -> None:
    facts = (msgspec.to_builtins(before), msgspec.to_builtins(after))
    await audit.append(connection, [audit.NewEntry(command.actor, name, f"pair:{after.id}", *facts)])
