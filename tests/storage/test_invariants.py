"""The invariants are quiet while the books hold, and each speaks up for everything that it forbids."""

from collections.abc import AsyncIterator

import pytest

from engine.ids import CompanyId, HotWalletId, Instant, TrustSessionId
from engine.ledger import templates
from engine.money import AssetId
from engine.settlement.deals import Mode
from storage import ledger
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.invariants import INVARIANTS, check
from tests.club import DAY, HOUR, NOON
from tests.databases import migrated_copy
from tests.invariants import assert_books_hold
from tests.payouts.world import COIN
from tests.scenarios.club_chain import ClubChain
from tests.scenarios.settlement_world import SettlementWorld

USDT = AssetId("tron:USDT")
COMPANY = CompanyId("co_a")
AT = Instant(1_000)

# Whoever breaks an invariant has got past what the tables themselves refuse.
UNGUARDED = """
DO $$
DECLARE
    guard record;
BEGIN
    FOR guard IN SELECT conrelid::regclass AS kept, conname AS name FROM pg_constraint
                 WHERE contype IN ('c', 'u') AND connamespace = 'public'::regnamespace AND conrelid <> 0 LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', guard.kept, guard.name);
    END LOOP;
    FOR guard IN SELECT indexrelid::regclass AS name FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                 WHERE indisunique AND NOT indisprimary AND relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('DROP INDEX %s', guard.name);
    END LOOP;
END
$$;
SET LOCAL session_replication_role = replica
"""


def twice(table: str, but: str) -> str:
    """Say the rows of a table a second time, changed so far."""
    return f"CREATE TEMP TABLE again AS TABLE {table}; UPDATE again SET {but}; INSERT INTO {table} TABLE again"


LEDGER = {
    "I1 balance is its postings": (
        "UPDATE ledger_account SET balance = balance + 1 WHERE code LIKE 'deposit:%'",
        "UPDATE ledger_account SET held = held + 1 WHERE code LIKE 'deposit:%'",
    ),
    "I1 debits equal credits": ("UPDATE ledger_account SET balance = balance + 1 WHERE code LIKE 'wallet:%'",),
    "I1 a transfer moves one asset": (
        "UPDATE ledger_account SET asset = 'tron:TRX' WHERE code LIKE 'deposit:%'",
        "DELETE FROM ledger_account WHERE code LIKE 'deposit:%'",
    ),
    "I2 floors hold": (
        "UPDATE ledger_account SET floor = NULL WHERE code LIKE 'deposit:%'",
        "UPDATE ledger_account SET balance = -1, held = 0 WHERE code LIKE 'funds:%'",
        "UPDATE ledger_account SET held = -1 WHERE code LIKE 'deposit:%'",
        "UPDATE ledger_account SET normal = 'credit' WHERE code LIKE 'wallet:%'",
    ),
    "I2 a hold ends once": (
        "UPDATE ledger_transfer SET at_ms = 9999 WHERE phase = 'void'",
        "UPDATE ledger_transfer SET units = units + 1 WHERE phase = 'void'",
        "UPDATE ledger_transfer SET credit = debit WHERE phase = 'void'",
        "UPDATE ledger_transfer SET seq = 0 WHERE phase = 'void'",
        "UPDATE ledger_transfer SET phase = 'posted' WHERE phase = 'pending'",
        "CREATE TEMP TABLE again AS SELECT * FROM ledger_transfer WHERE phase = 'void'; "
        "UPDATE again SET seq = seq + 1000, id = id || '2'; INSERT INTO ledger_transfer TABLE again",
    ),
    "I2 open holds are listed": (
        "DELETE FROM ledger_hold",
        "UPDATE ledger_hold SET units = units + 1",
        twice("ledger_hold", "id = 'another'"),
    ),
    "I4 postings are for ever": (
        "ALTER TABLE ledger_transfer DISABLE TRIGGER ledger_transfer_is_append_only",
        "DROP TRIGGER audit_is_append_only ON audit",
        "DELETE FROM ledger_transfer WHERE seq = 1",
        "DELETE FROM ledger_batch",
        "UPDATE ledger_head SET transfer = transfer + 1",
    ),
    "I4 accounts find their batches": (
        "UPDATE ledger_account SET touched_in = touched_in - 1",
        "UPDATE ledger_batch SET before[1] = before[1] + 1",
    ),
    "I5 corrections are of two people": (
        "INSERT INTO book_correction VALUES "
        "('bc_1', 'proved_loss', 'hw_a', 'tron:USDT', '', 5, 'stolen', 'operator', 1, 'another', 2)",
        "UPDATE ledger_transfer SET kind = 'proved_loss' WHERE seq = 1",
    ),
}

CLUB = {
    "P1 paid once": (twice("payout_attempt", "n = 2, tx_id = tx_id || '2'"),),
    "P2 one live attempt": (
        twice("payout_attempt", "n = 2, status = 'live'"),
        "UPDATE payout_attempt SET status = 'live'; " + twice("payout_attempt", "n = 2"),
    ),
    "P3 nothing leaves before it is written": (
        "UPDATE payout_attempt SET handed_over_at_ms = signed_at_ms - 1",
        "UPDATE payout_attempt SET signed = ''",
    ),
    "P4 paid out of what came in": (
        "UPDATE payout_task SET amount_token = amount_token + 1 WHERE state = 'confirmed'",
        "UPDATE payout_task SET amount_token = amount_token + 1 WHERE state = 'queued'",
        "DELETE FROM ledger_account WHERE code LIKE 'clearing:%'",
    ),
    "P5 paid to the allow-list": (
        "UPDATE payout SET to_address = 'TElsewhere'",
        "UPDATE payout SET to_address = 'TElsewhere'; UPDATE wallet SET address = 'TElsewhere'",
        "UPDATE payout_attempt SET intent = jsonb_set(intent, '{units}', '1')",
        "UPDATE wallet SET company_id = 'co_another'",
        "UPDATE wallet SET active_from_ms = 9000000000000",
        "UPDATE wallet SET active_from_ms = NULL",
        "UPDATE wallet SET revoked_moment = 0",
    ),
    "P6 approved by enough": (
        "DELETE FROM payout_approval",
        "UPDATE payout_approval SET moment = moment + 1000",
        "UPDATE payout_approval SET fields_hash = 'of other fields'",
        "UPDATE payout SET initiator = (SELECT member_id FROM payout_approval LIMIT 1)",
        "UPDATE payout SET approvals = approvals + 1",
    ),
    "P7 split exactly": (
        "UPDATE payout_task SET part = 2",
        "UPDATE payout SET amount_token = amount_token + 1",
        "DELETE FROM payout_task",
    ),
    "P8 nothing signed while frozen": tuple(
        f"INSERT INTO payout_freeze SELECT 'fr', '{scope}', {subject}, false, 'odd', 'operator', 0, 0, {lifted} "
        "FROM payout_attempt JOIN payout_task ON payout_task.id = task_id "
        "JOIN payout ON payout.id = payout_id LIMIT 1"
        for scope, subject, lifted in (
            ("global", "''", "NULL, NULL"),
            ("network", "payout.network", "NULL, NULL"),
            ("wallet", "payout_task.hot_wallet_id", "NULL, NULL"),
            ("company", "payout.company_id", "NULL, NULL"),
            ("company", "payout.payee_id", "9000000000000, 9000000000000"),
        )
    ),
    "P9 ends are proved": (
        "UPDATE payout_attempt SET evidence = NULL",
        "UPDATE payout_task SET state = 'failed' WHERE state = 'confirmed'",
        "UPDATE payout_task SET state = 'confirmed' WHERE state = 'queued'",
        "UPDATE payout_task SET state = 'queued' WHERE state = 'confirmed'",
        "UPDATE payout_task SET tx_hash = 'another' WHERE state = 'confirmed'",
    ),
    "P9 the books follow the payouts": (
        "UPDATE payout_task SET state = 'broadcast' WHERE state = 'confirmed'",
        "UPDATE payout_task SET state = 'failed' WHERE state = 'queued'",
        "DELETE FROM ledger_transfer WHERE id LIKE 'payout_held:%'",
        "UPDATE ledger_transfer SET units = units - 1 WHERE id LIKE 'payout_paid:%'",
    ),
    "L1 within the limits": ("UPDATE deal SET headroom_usd = exposure_usd - 1",),
    "L2 reserves are set aside": (
        "UPDATE trust_reserve SET amount_token = amount_token + 1",
        "UPDATE trust_reserve SET released_at_ms = 1",
        "UPDATE ledger_account SET balance = balance + 1 WHERE code LIKE 'reserve:%'",
    ),
    "L2 enabled pairs have their reserve": (
        "UPDATE trust_reserve SET released_at_ms = 1 WHERE company_id = (SELECT a_company_id FROM trust_pair)",
        "UPDATE trust_reserve SET amount_token = amount_token - 1",
        "UPDATE trust_pair SET daily_limit_usd = daily_limit_usd + 1000",
    ),
    "L3 both sides of a pair said yes": (
        "DELETE FROM trust_pair_consent WHERE company_id = (SELECT b_company_id FROM trust_pair)",
    ),
    "N1 net is the difference of the deals": (
        "UPDATE eod_settlement SET net_token = net_token + 1",
        "UPDATE deal SET amount_token = amount_token + 1 WHERE status = 'netted'",
        "DELETE FROM eod_settlement",
    ),
    "N1 a deal is in one session of its pair": (
        "UPDATE deal SET status = 'in_session'",
        "UPDATE deal SET status = 'netted'",
        "UPDATE deal SET payer_company_id = 'co_another'",
    ),
    "N2 settled and carried are the net": (
        "UPDATE eod_settlement SET amount_token = amount_token + 1",
        "UPDATE eod_settlement SET carried_token = carried_token + 1, net_token = net_token + 1",
        "UPDATE eod_settlement SET carried_from = NULL",
        "UPDATE eod_settlement SET payer_company_id = payee_company_id, payee_company_id = payer_company_id "
        "WHERE carried_from IS NOT NULL",
    ),
    "N2 what is paid has its payout": (
        "UPDATE payout SET amount_token = amount_token + 1",
        "UPDATE payout SET payee_id = company_id",
        "DELETE FROM payout",
        "UPDATE eod_settlement SET status = 'settled' WHERE status = 'queued'",
        "UPDATE eod_settlement SET status = 'queued' WHERE status = 'settled'",
    ),
    "N2 one rest": (
        "UPDATE eod_settlement SET carried_from = NULL; " + twice("eod_settlement", "id = id || '2'"),
    ),
    "N2 what is paid has left": (
        "UPDATE eod_settlement SET status = 'settled' WHERE status = 'queued'",
        "UPDATE eod_settlement SET amount_token = amount_token - 1 WHERE status = 'queued'",
    ),
    "N3 days follow each other": (
        "UPDATE trust_session SET opens_at_ms = opens_at_ms - 1000",
        "UPDATE trust_session SET status = 'open' WHERE id = (SELECT min(id) FROM trust_session)",
    ),
    "N3 no deal after the cut-off": (
        "UPDATE deal SET created_at_ms = cutoff_at_ms FROM trust_session WHERE trust_session.id = session_id",
    ),
    "D1 a deal is what was offered": (
        "UPDATE offer SET status = 'open'",
        "UPDATE offer SET company_id = 'co_another'",
        "UPDATE offer SET token = 'tron:USDC'",
        "UPDATE offer SET amount_token = amount_token + 1",
        "UPDATE offer SET side = 'buy'",
    ),
}

CREDITED = {
    "W1 credited once": (twice("incoming_tx", "id = id || '2'"),),
    "W2 what vanished is taken back": (
        "UPDATE incoming_tx SET undone = 'reversed', status = 'reversed'",
        "UPDATE incoming_tx SET undone = 'claimed', status = 'reversed'",
        "UPDATE ledger_transfer SET kind = 'incoming_reversed' WHERE kind = 'incoming_to_deal'",
    ),
    "W3 known by the contract": (
        "UPDATE incoming_tx SET contract = 'TFalse'",
        "UPDATE incoming_tx SET network = 'ton'",
        "UPDATE incoming_tx SET token = 'tron:TRX'",
    ),
    "W5 booked in one place": (
        "UPDATE incoming_tx SET amount_token = amount_token + 1",
        "UPDATE incoming_tx SET place = 'nowhere'",
        "DELETE FROM ledger_transfer WHERE kind = 'incoming_to_deal'",
        "UPDATE ledger_transfer SET units = units + 1 WHERE kind = 'incoming_to_deal'",
    ),
    # A payout that the chain says was paid twice, where the attempts themselves know of one only.
    "P1 paid once": (
        twice("payout_attempt", "n = 2, status = 'dead', tx_id = 'seen'")
        + "; DROP TABLE again; "
        + twice("outgoing_tx", "tx_hash = 'seen'"),
    ),
}


def planted(breaches: dict[str, tuple[str, ...]]) -> pytest.MarkDecorator:
    """Run a test once for each breach."""
    return pytest.mark.parametrize(
        ("name", "sabotage"),
        [
            pytest.param(name, sabotage, id=f"{name} {number}")
            for name, each in breaches.items()
            for number, sabotage in enumerate(each, 1)
        ],
    )


async def must_find(books: Database, name: str, sabotage: str) -> None:
    """Fail unless an invariant is quiet before a sabotage and speaks up after it. Nothing stays."""
    invariant = next(each for each in INVARIANTS if each.name == name)
    async with books.transaction() as connection:
        undo = connection.transaction()
        await undo.start()
        assert await connection.fetch(invariant.sql) == []
        await connection.execute(UNGUARDED)
        await connection.execute(sabotage)
        found = await connection.fetch(invariant.sql)
        await undo.rollback()
    assert found


async def test_every_invariant_has_a_breach_planted() -> None:
    assert {each.name for each in INVARIANTS} == {*LEDGER, *CLUB, *CREDITED}


# ---------------------------------------------------------------------- a ledger


@pytest.fixture(scope="module")
async def books(database: Database) -> Database:
    """Give a ledger with a hold that is open and one that has ended."""
    async with database.transaction() as connection:
        await ledger.post(
            connection,
            [
                *templates.incoming_to_funds(HotWalletId("hw_a"), COMPANY, USDT, 100, "tx", AT),
                *templates.fund(COMPANY, USDT, 90, "tx", AT),
                *templates.hold_open(COMPANY, USDT, 10, "open", AT, Instant(5_000)),
                *templates.hold_open(COMPANY, USDT, 20, "ended", AT, Instant(5_000)),
                *templates.hold_release(COMPANY, USDT, "ended", AT),
            ],
        )
    return database


async def test_books_that_hold_are_quiet(books: Database) -> None:
    await assert_books_hold(books)


@planted(LEDGER)
async def test_a_breach_in_the_ledger_is_found(books: Database, name: str, sabotage: str) -> None:
    await must_find(books, name, sabotage)


async def test_a_breach_says_what_should_be_true_and_what_says_otherwise(books: Database) -> None:
    sabotage = "UPDATE ledger_account SET balance = balance {sign} 1 WHERE code = 'deposit:co_a:tron:USDT'"
    async with books.transaction() as connection:
        await connection.execute(sabotage.format(sign="+"))
    try:
        breaches = await check(books)
    finally:
        async with books.transaction() as connection:
            await connection.execute(sabotage.format(sign="-"))
    assert {breach.invariant.name for breach in breaches} == {
        "I1 balance is its postings",
        "I1 debits equal credits",
    }
    assert "code=deposit:co_a:tron:USDT balance=91 posted=90" in str(breaches[0])


# ---------------------------------------------------------------------- a club


@pytest.fixture(scope="module")
async def club(
    postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Database]:
    """Give three days of a pair: paid in part with a rest, paid in full but not yet approved, and open."""
    async with migrated_copy(postgres_server) as dsn, Database(dsn, pool_size=4, name="breaches") as database:
        chain = ClubChain(database, tmp_path_factory.mktemp("journals"))
        one, other = await chain.company(deposit=50_000, funds=300), await chain.company(deposit=50_000)
        pair = await chain.club.pair(one, other, limit=10_000, reserve_pct=50)
        await chain.club.deal(one, other, 900, Mode.NETTING)
        await chain.club.deal(other, one, 200, Mode.NETTING)
        (first,) = (await chain.club.close(TrustSessionId(f"{pair}:2025-11-22"))).settlements
        assert first.payout_id is not None
        assert await chain.approve(first.payout_id, one) is None
        await chain.run([one])

        chain.club.now = Instant(NOON + 4 * HOUR)
        await chain.club.funds(one, 1_000)
        await chain.club.deal(one, other, 10, Mode.NETTING)
        await chain.club.close(TrustSessionId(f"{pair}:2025-11-23"))
        chain.club.now = Instant(chain.club.now + DAY)
        await chain.club.deal(one, other, 20, Mode.NETTING)
        await assert_books_hold(database)
        yield database


@planted(CLUB)
async def test_a_breach_in_a_club_is_found(club: Database, name: str, sabotage: str) -> None:
    await must_find(club, name, sabotage)


# ---------------------------------------------------------------------- what came in


@pytest.fixture(scope="module")
async def credited(
    postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Database]:
    """Give a deal that was paid in and paid out, as a watcher saw both on the chain."""
    async with migrated_copy(postgres_server) as dsn, Database(dsn, pool_size=4, name="breaches") as database:
        world = await SettlementWorld(database, tmp_path_factory.mktemp("journals")).begin()
        deal = await world.deal(5 * COIN)
        world.pay_in(5 * COIN)
        await world.go_on()
        assert await world.status(deal) == "settled"
        await assert_books_hold(database)
        yield database


@planted(CREDITED)
async def test_a_breach_in_what_came_in_is_found(credited: Database, name: str, sabotage: str) -> None:
    await must_find(credited, name, sabotage)
