"""A block is taken with everything that follows from it, once, whatever happens in between; on real PostgreSQL."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine.ids import DealId, Instant
from engine.ledger import accounts, templates
from engine.payments.chain import Receipt
from engine.payments.payout import Purpose
from storage import deals, ledger
from storage.chain_cursor import ForeignParent
from storage.deals import Paid
from storage.embedded import EmbeddedPostgres
from storage.leases import StaleEpoch
from tests.storage.club import (
    ADDRESS,
    CHALLENGE,
    COIN_BOOK,
    HOT,
    HOT_ADDRESS,
    NEW_ADDRESS,
    OWN_ADDRESS,
    PAYER,
    START,
    TRX,
    USDC,
    USDT,
    USDT_BOOK,
    Chain,
    Club,
    Crashed,
    fresh_club,
    pays,
    tx_id,
)


@pytest.fixture
async def club(postgres_server: EmbeddedPostgres) -> AsyncIterator[Club]:
    async with fresh_club(postgres_server) as opened:
        yield opened


async def test_a_transfer_for_a_deal_becomes_a_payout_in_the_transaction_of_its_block(club: Club) -> None:
    (deal,) = await club.deals(100_000_000)

    taken = await club.take(club.chain.make(pays(100_000_000)))

    assert [verdict.matched_to for verdict in taken.verdicts] == [deal]
    assert await club.cursor() == club.chain.head
    assert await club.value("SELECT status FROM deal") == "paying"
    (payout,) = await club.database.rows("SELECT id, amount_token, to_address, purpose_id, initiator FROM payout")
    assert tuple(payout) == ("po_00001", 100_000_000, ADDRESS, deal, "engine")
    assert await club.units(USDT_BOOK) == 100_000_000
    assert await club.units(accounts.clearing(deal, USDT.id)) == 100_000_000
    assert await club.value("SELECT count(*) FROM ledger_hold") == 1
    topics = {row["topic"] for row in await club.database.rows("SELECT topic FROM outbox")}
    assert {"incoming.credited", "payout.queued", "deal"} <= topics


async def test_every_kind_of_transfer_of_one_block_goes_where_it_belongs(club: Club) -> None:
    exact, within, above = await club.deals(100_000_000, 200_000_000, 300_000_000)
    block = club.chain.make(
        pays(100_000_000, 1),
        pays(199_900_000, 2),
        pays(300_100_000, 3),
        pays(9_000, 4),
        pays(CHALLENGE, 5, sender=NEW_ADDRESS),
        pays(7_000_000, 6, contract="TSomeToken"),
        pays(5_000_000, 7, contract=TRX.contract),
        pays(42_000_000, 8),
    )

    await club.take(block)

    rows = await club.database.rows("SELECT status, reason, matched_to FROM incoming_tx ORDER BY tx_hash")
    assert [tuple(row) for row in rows] == [
        ("credited", "exact", exact),
        ("tolerance", "tolerance", within),
        ("tolerance", "tolerance", above),
        ("tolerance", "dust", ""),
        ("credited", "challenge", "wa_new"),
        ("suspense", "wrong_token", ""),
        ("credited", "fee_coin", ""),
        ("credited", "unasked", ""),
    ]
    assert await club.units(accounts.clearing(within, USDT.id)) == 199_900_000
    assert await club.units(accounts.clearing(above, USDT.id)) == 300_000_000
    assert await club.units(accounts.tolerance(USDT.id)) == 100_000 + 9_000
    assert await club.units(accounts.funds(PAYER, USDT.id)) == CHALLENGE + 42_000_000
    assert await club.units(accounts.owner(TRX.id)) == 5_000_000
    assert await club.units(USDT_BOOK) == 100_000_000 + 199_900_000 + 300_100_000 + 9_000 + CHALLENGE + 42_000_000
    assert await club.value("SELECT verified FROM wallet WHERE id = 'wa_new'") is True
    paid = await club.database.rows("SELECT amount_token FROM payout ORDER BY purpose_id")
    assert [row["amount_token"] for row in paid] == [100_000_000, 199_900_000, 300_000_000]


async def test_a_block_that_is_taken_again_changes_nothing(club: Club) -> None:
    await club.deals(100_000_000)
    quiet = club.chain.make()
    block = club.chain.make(pays(100_000_000), receipts=[Receipt(tx_id(9), True, "SUCCESS", 5, HOT_ADDRESS)])
    await club.take(quiet, block)
    before = await club.fingerprint()

    again = await club.take(quiet, block)

    assert (again.blocks, again.verdicts) == (0, ())
    assert await club.fingerprint() == before


@pytest.mark.parametrize("point", ["take.written", "take.booked", "take.requested", "take.before_commit"])
async def test_who_dies_in_the_middle_of_a_block_has_done_nothing_and_can_do_it_again(
    club: Club, point: str
) -> None:
    await club.deals(100_000_000)
    block = club.chain.make(pays(100_000_000))
    before = await club.fingerprint()

    with pytest.raises(Crashed):
        await club.take(block, crash_at=point)

    assert await club.fingerprint() == before
    await club.take(block)
    assert await club.value("SELECT count(*) FROM payout") == 1


async def test_a_block_without_its_parent_is_not_taken(club: Club) -> None:
    missing, block = club.chain.make(), club.chain.make(pays(5_000_000))
    other = club.chain.forked(2).make()

    with pytest.raises(ForeignParent):
        await club.take(block)
    await club.take(missing)
    with pytest.raises(ForeignParent):
        await club.take(other)

    assert await club.value("SELECT count(*) FROM incoming_tx") == 0


async def test_an_older_life_of_the_watcher_writes_nothing(club: Club) -> None:
    await club.database.rows("UPDATE leases SET epoch = epoch + 1, holder = 'another' RETURNING 1")

    with pytest.raises(StaleEpoch):
        await club.take(club.chain.make(pays(5_000_000)))

    assert await club.value("SELECT count(*) FROM incoming_tx") == 0


async def test_blocks_without_anything_for_us_cost_one_transaction_and_no_turn_of_the_ledger(club: Club) -> None:
    blocks = [club.chain.make(pays(5_000_000, recipient="TSomebody")) for _ in range(20)]
    async with club.database.transaction() as other:
        await ledger.take_turn(other)
        taken = await club.take(*blocks)

    assert (taken.blocks, taken.cursor) == (20, club.chain.head)


async def test_a_deal_is_paid_once_by_two_transfers_in_two_blocks(club: Club) -> None:
    (deal,) = await club.deals(100_000_000)

    await club.take(club.chain.make(pays(100_000_000, 1)))
    await club.take(club.chain.make(pays(100_000_000, 2)))

    assert await club.value("SELECT count(*) FROM payout") == 1
    assert await club.units(accounts.clearing(deal, USDT.id)) == 100_000_000
    assert await club.units(accounts.funds(PAYER, USDT.id)) == 100_000_000


async def test_what_came_late_goes_back_once_to_where_it_came_from(club: Club) -> None:
    (deal,) = await club.deals(100_000_000)
    await club.database.rows("UPDATE deal SET status = 'expired', ended_at_ms = $1 RETURNING 1", START)

    await club.take(club.chain.make(pays(100_000_000, 1, sender=OWN_ADDRESS)))
    await club.take(club.chain.make(pays(100_000_000, 2, sender=OWN_ADDRESS)))

    rows = await club.database.rows("SELECT status, reason, matched_to FROM incoming_tx ORDER BY tx_hash")
    assert [tuple(row) for row in rows] == [("refund", "late", deal), ("credited", "unasked", "")]
    (payout,) = await club.database.rows(
        "SELECT purpose, to_address, amount_token, company_id, payee_id FROM payout"
    )
    assert tuple(payout) == ("refund", OWN_ADDRESS, 100_000_000, PAYER, PAYER)
    assert await club.units(accounts.suspense(HOT, USDT.id)) == 100_000_000


async def test_a_refund_that_may_not_be_paid_waits_in_suspense_and_somebody_is_told(club: Club) -> None:
    await club.deals(100_000_000)
    await club.database.rows("UPDATE deal SET status = 'expired', ended_at_ms = $1 RETURNING 1", START)
    await club.database.rows("DELETE FROM payout_policy RETURNING 1")

    await club.take(club.chain.make(pays(100_000_000, sender=OWN_ADDRESS)))

    assert await club.value("SELECT status FROM incoming_tx") == "suspense"
    assert await club.value("SELECT kind FROM alarm") == "stuck_payout"


async def test_fees_are_booked_once_from_receipts_that_our_address_paid_for_also_of_failed_transactions(
    club: Club,
) -> None:
    receipts = [
        Receipt(tx_id(1), True, "SUCCESS", 345_000, HOT_ADDRESS),
        Receipt(tx_id(2), False, "OUT_OF_ENERGY", 13_000_000, HOT_ADDRESS),
        Receipt(tx_id(3), True, "SUCCESS", 1_000, "TSomebody"),
    ]
    await club.take(club.chain.make(pays(100_000_000, 7, contract=TRX.contract)))
    await club.take(club.chain.make(receipts=receipts))

    assert await club.units(COIN_BOOK) == 100_000_000 - 345_000 - 13_000_000
    assert await club.units(accounts.network_fees(TRX.id)) == 345_000 + 13_000_000
    assert await club.value("SELECT bool_and(booked) FROM chain_fee") is True


async def test_a_fee_that_the_books_have_no_coin_for_is_noted_and_stops_nothing(club: Club) -> None:
    await club.deals(100_000_000)
    receipt = Receipt(tx_id(1), True, "SUCCESS", 345_000, HOT_ADDRESS)

    await club.take(club.chain.make(pays(100_000_000, 2), receipts=[receipt]))

    assert await club.value("SELECT booked FROM chain_fee") is False
    assert await club.value("SELECT status FROM deal") == "paying"


async def test_a_transfer_that_no_signature_of_ours_explains_stops_the_address_at_once(club: Club) -> None:
    stolen = pays(5_000_000, 66, sender=HOT_ADDRESS, recipient="TThief")

    await club.take(club.chain.make(stolen))

    (freeze,) = await club.database.rows("SELECT scope, subject, is_safe_mode FROM payout_freeze")
    assert tuple(freeze) == ("wallet", HOT, True)
    assert await club.value("SELECT kind FROM alarm") == "reconciliation_break"


async def test_what_any_contract_may_claim_is_no_theft(club: Club) -> None:
    of_nothing = pays(0, 1, sender=HOT_ADDRESS, recipient="TThief")
    of_an_unknown_token = pays(5_000_000, 2, sender=HOT_ADDRESS, recipient="TThief", contract="TSomeToken")
    to_us_of_nothing = pays(0, 3)

    await club.take(club.chain.make(of_nothing, of_an_unknown_token, to_us_of_nothing))

    assert await club.value("SELECT count(*) FROM payout_freeze") == 0
    assert await club.value("SELECT count(*) FROM incoming_tx") == 0


async def test_a_failed_transaction_credits_nothing(club: Club) -> None:
    await club.deals(100_000_000)
    failed = Receipt(tx_id(1), False, "REVERT", 0, "TAnybody")

    await club.take(club.chain.make(pays(100_000_000), receipts=[failed]))

    assert await club.value("SELECT count(*) FROM incoming_tx") == 0
    assert await club.value("SELECT status FROM deal") == "awaiting_incoming"


async def test_the_right_amount_of_another_token_pays_no_deal(club: Club) -> None:
    await club.deals(100_000_000)

    await club.take(club.chain.make(pays(100_000_000, contract=USDC.contract)))

    assert await club.value("SELECT reason FROM incoming_tx") == "other_token"
    assert await club.units(accounts.suspense(HOT, USDC.id)) == 100_000_000


@pytest.mark.parametrize("count", [1, 200])
async def test_however_many_credits_a_block_has_the_statements_stay_the_same(
    club: Club, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await club.deals(*(100_000_000 + 1_000_000 * n for n in range(count)))
    transfers = [pays(100_000_000 + 1_000_000 * n, 1 + n) for n in range(count)]
    asked: list[str] = []
    for name in ("fetch", "fetchrow", "fetchval", "execute", "executemany"):
        _count_calls(monkeypatch, name, asked)

    taken = await club.take(club.chain.make(*transfers))

    statements = len(asked)
    assert len(taken.verdicts) == count
    assert await club.value("SELECT count(*) FROM payout_task WHERE state = 'queued'") == count
    assert await club.value("SELECT count(*) FROM deal WHERE status = 'paying'") == count
    assert await club.units(USDT_BOOK) == sum(transfer.units for transfer in transfers)
    assert statements < 40


def _count_calls(monkeypatch: pytest.MonkeyPatch, name: str, asked: list[str]) -> None:
    original = getattr(asyncpg.Connection, name)

    async def counted(connection: asyncpg.Connection, sql: str, *arguments: object, **options: object) -> object:
        asked.append(sql)
        return await original(connection, sql, *arguments, **options)

    monkeypatch.setattr(asyncpg.Connection, name, counted)


# ---------------------------------------------------------------------- blocks that vanish


@pytest.mark.parametrize("depth", [1, 2, 5])
async def test_when_blocks_vanish_before_the_payout_is_signed_everything_is_as_it_was(
    club: Club, depth: int
) -> None:
    (deal,) = await club.deals(100_000_000)
    ground = club.chain.head
    blocks = [club.chain.make(pays(100_000_000)), *(club.chain.make() for _ in range(depth - 1))]
    await club.take(*blocks)

    back = await club.roll_back_to(ground)

    assert (back.reversed, back.claimed, back.waits) == (1, 0, 0)
    assert await club.cursor() == ground
    assert await club.value("SELECT status FROM deal") == "awaiting_incoming"
    assert await club.value("SELECT state FROM payout_task") == "failed"
    assert await club.units(USDT_BOOK) == 0
    assert await club.units(accounts.clearing(deal, USDT.id)) == 0
    assert await club.value("SELECT count(*) FROM ledger_hold") == 0
    assert await club.value("SELECT count(*) FROM payout_freeze") == 0


async def test_a_transfer_that_comes_again_on_the_other_fork_is_credited_again_and_paid_once(club: Club) -> None:
    (deal,) = await club.deals(100_000_000)
    ground = club.chain.head
    await club.take(club.chain.make(pays(100_000_000)))
    await club.roll_back_to(ground)
    fork = club.chain.forked(1)

    await club.take(fork.make(pays(100_000_000)))

    rows = await club.database.rows("SELECT id, status FROM incoming_tx ORDER BY id")
    name = f"tron:{tx_id(1)}:0"
    assert [tuple(row) for row in rows] == [(name, "reversed"), (f"{name}~2", "credited")]
    assert await club.units(accounts.clearing(deal, USDT.id)) == 100_000_000
    assert await club.units(USDT_BOOK) == 100_000_000
    live = await club.database.rows("SELECT id, payout_id FROM payout_task WHERE state = 'queued'")
    assert [tuple(row) for row in live] == [("po_00001~2.1", "po_00001~2")]
    assert await club.value("SELECT count(*) FROM ledger_hold") == 1


async def test_what_was_paid_out_before_its_transfer_vanished_is_owed_and_the_company_is_frozen(
    club: Club,
) -> None:
    (deal,) = await club.deals(100_000_000)
    await club.take(club.chain.make(pays(130_000_000, 5)))  # other money of the company's
    ground = club.chain.head
    await club.take(club.chain.make(pays(100_000_000)))
    await _sign(club, deal)
    await _confirm(club, deal)

    back = await club.roll_back_to(ground)

    assert (back.reversed, back.claimed, back.waits) == (0, 1, 0)
    assert await club.units(accounts.claims(PAYER, USDT.id)) == 100_000_000
    assert await club.units(USDT_BOOK) == 30_000_000
    (freeze,) = await club.database.rows("SELECT scope, subject FROM payout_freeze")
    assert tuple(freeze) == ("company", PAYER)
    assert await club.value("SELECT kind FROM alarm") == "reorg_after_credit"
    assert await club.value("SELECT status FROM deal") == "settled"


async def test_while_bytes_are_on_their_way_nobody_knows_and_the_transfer_waits_for_their_fate(club: Club) -> None:
    (deal,) = await club.deals(100_000_000)
    ground = club.chain.head
    await club.take(club.chain.make(pays(100_000_000)))
    await _sign(club, deal)

    back = await club.roll_back_to(ground)

    assert (back.reversed, back.claimed, back.waits) == (0, 0, 1)
    assert await club.units(accounts.clearing(deal, USDT.id)) == 100_000_000
    assert await club.value("SELECT subject FROM payout_freeze") == PAYER
    assert await club.settle_waiting() == 0

    await club.database.rows("UPDATE payout_attempt SET status = 'dead', ended_at_ms = 1 RETURNING 1")
    assert await club.settle_waiting() == 1
    assert await club.value("SELECT undone FROM incoming_tx") == "reversed"
    assert await club.value("SELECT status FROM deal") == "awaiting_incoming"
    assert await club.units(USDT_BOOK) == 0


async def test_vanished_money_that_was_used_otherwise_is_owed_as_far_as_it_is_gone(club: Club) -> None:
    ground = club.chain.head
    await club.take(club.chain.make(pays(100_000_000)))
    async with club.database.transaction() as connection:
        await ledger.post(connection, templates.fund(PAYER, USDT.id, 100_000_000, "fund", START))

    back = await club.roll_back_to(ground)

    assert back.claimed == 1
    assert await club.units(accounts.claims(PAYER, USDT.id)) == 100_000_000
    assert await club.units(USDT_BOOK) == 0


async def test_fees_outgoing_transfers_and_proofs_of_vanished_blocks_are_taken_back_too(club: Club) -> None:
    await club.take(club.chain.make(pays(100_000_000, 7, contract=TRX.contract)))
    ground = club.chain.head
    receipts = [Receipt(tx_id(1), True, "SUCCESS", 345_000, HOT_ADDRESS)]
    proof = pays(CHALLENGE, 5, sender=NEW_ADDRESS)
    await club.take(club.chain.make(proof, pays(1, 8, sender=HOT_ADDRESS, recipient="TX"), receipts=receipts))

    await club.roll_back_to(ground)

    assert await club.units(COIN_BOOK) == 100_000_000
    assert await club.value("SELECT count(*) FROM outgoing_tx") == 0
    assert await club.value("SELECT verified FROM wallet WHERE id = 'wa_new'") is False

    await club.take(club.chain.forked(1).make(proof, receipts=receipts))
    assert await club.units(COIN_BOOK) == 100_000_000 - 345_000
    assert await club.value("SELECT verified FROM wallet WHERE id = 'wa_new'") is True


async def test_going_back_to_where_nobody_was_is_refused(club: Club) -> None:
    elsewhere = club.chain.forked(1, "c").make() if len(club.chain.blocks) > 1 else Chain(fork="c").make()

    with pytest.raises(ValueError, match="not behind the cursor"):
        await club.roll_back_to(elsewhere.ref)


async def _sign(club: Club, deal: DealId) -> None:
    """Write a live attempt, as a signer does."""
    await club.database.rows(
        """
        INSERT INTO payout_attempt (task_id, n, network, hot_wallet_id, epoch, tx_id, intent, signed, timestamp_ms,
                                    expires_at_ms, reference_number, status, signed_at_ms)
        SELECT task.id, 1, 'tron', task.hot_wallet_id, 1, $2, '{}', '', 1, 2, 3, 'live', 4
        FROM payout_task AS task JOIN payout ON payout.id = task.payout_id WHERE purpose_id = $1 RETURNING 1
        """,
        deal,
        tx_id(99),
    )


async def _confirm(club: Club, deal: DealId) -> None:
    """Book the payout of a deal as paid, as a signer does."""
    await club.database.rows("UPDATE payout_attempt SET status = 'confirmed', ended_at_ms = 5 RETURNING 1")
    await club.database.rows(
        "UPDATE payout_task SET state = 'confirmed', confirmed_at_ms = 5, tx_hash = $1 RETURNING 1", tx_id(99)
    )
    task = await club.value("SELECT id FROM payout_task")
    async with club.database.transaction() as connection:
        source = accounts.clearing(deal, USDT.id)
        posted = await ledger.post(connection, templates.payout_paid(source, HOT, task, USDT.id, Instant(START)))
        assert [answer.ok for answer in posted] == [True]
        await deals.on_paid(connection, [Paid(Purpose.PASS_THROUGH, deal, tx_id(99))], Instant(START))
