"""Consents to trust pairs as rows: who said yes for which company, and whether that counts now.

It decides nothing itself: `engine.settlement.trust_pairs` says what counts. Called in the transaction of whoever
holds the pair's row.
"""

from collections.abc import Sequence

import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, MemberId, PairId
from engine.settlement import trust_pairs as rules
from engine.settlement.companies import Role
from engine.settlement.trust_pairs import Admins, Consent, TrustPair
from storage.database import Connection
from storage.rows import columns, to_rows

_CONSENT = columns(Consent)


async def admins(connection: Connection, pairs: Sequence[TrustPair]) -> Admins:
    """Tell who are the ADMINs of the companies of these pairs now."""
    companies = sorted({company for pair in pairs for company in pair.companies})
    records = await connection.fetch(
        "SELECT company_id, member_id FROM company_member WHERE company_id = ANY ($1) AND role = $2",
        companies,
        Role.ADMIN,
    )
    found: dict[CompanyId, set[MemberId]] = {company: set() for company in companies}
    for company, member in records:
        found[company].add(member)
    return found


async def write(connection: Connection, given: Sequence[Consent]) -> None:
    """Write consents down; who says yes again has said it to what is agreed now."""
    await connection.executemany(
        f"INSERT INTO trust_pair_consent ({_CONSENT}) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (pair_id, company_id, member_id) DO UPDATE "
        "SET terms_hash = excluded.terms_hash, at_ms = excluded.at_ms",
        [msgspec.structs.astuple(consent) for consent in given],
    )


async def void(connection: Connection, pair: PairId) -> None:
    """Forget every consent to a pair. The audit keeps who gave them."""
    await connection.execute("DELETE FROM trust_pair_consent WHERE pair_id = $1", pair)


async def valid(connection: Connection, pairs: Sequence[TrustPair]) -> list[Consent]:
    """List the consents to these pairs that count, by pair, company and person."""
    given, speakers = await _given(connection, pairs), await admins(connection, pairs)
    return [
        consent
        for pair in pairs
        for consent in rules.valid_consents(pair, [each for each in given if each.pair_id == pair.id], speakers)
    ]


async def refuse(connection: Connection, pair: TrustPair) -> Refusal | None:
    """Say whose consent a pair still needs, or None when it may be enabled."""
    return rules.refuse_without_consent(pair, await _given(connection, [pair]), await admins(connection, [pair]))


async def _given(connection: Connection, pairs: Sequence[TrustPair]) -> list[Consent]:
    records = await connection.fetch(
        f"SELECT {_CONSENT} FROM trust_pair_consent WHERE pair_id = ANY ($1) ORDER BY company_id, member_id",
        [pair.id for pair in pairs],
    )
    return to_rows(records, Consent)
