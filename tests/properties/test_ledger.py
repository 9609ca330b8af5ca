"""The database's ledger answers and ends as the model does, whatever is said to it and however it is batched."""

import hypothesis.strategies as st
import msgspec
from hypothesis import HealthCheck, event, given, settings

from engine.ids import Instant, TransferId
from engine.ledger.accounts import Account, AccountCode, Normal
from engine.ledger.postings import Phase, Posting, Transfer
from engine.money import AssetId
from storage import ledger
from storage.database import Connection, Database
from storage.ledger import post_each
from tests.properties.ledger_model import LedgerModel

ASSET = AssetId("tron:USDT")
ACCOUNTS = [
    Account(AccountCode("open"), ASSET, Normal.CREDIT),
    Account(AccountCode("floored"), ASSET, Normal.CREDIT, 0),
    Account(AccountCode('fl"oo\\red'), ASSET, Normal.CREDIT, 0),
    Account(AccountCode("wallet"), ASSET, Normal.DEBIT, 0),
    Account(AccountCode("overdrawn"), ASSET, Normal.DEBIT, -5),
    Account(AccountCode("coin"), AssetId("tron:TRX"), Normal.CREDIT),
]
MOVES = [TransferId(name) for name in ("a", "b", "c", "d", "e", "f", "NULL")]
HOLDS = [TransferId(name) for name in ("h", "i", "odd'\"\\,{}")]


def rarely(draw: st.DrawFn) -> bool:
    """Say yes one time in ten."""
    return draw(st.integers(0, 9)) == 9


@st.composite
def transfers(draw: st.DrawFn) -> Transfer:
    """Draw a transfer among few accounts and ids, so that they meet; now and then one that makes no sense."""
    phase = draw(
        st.sampled_from([Phase.POSTED] * 3 + [Phase.PENDING] * 3 + [Phase.POST, Phase.VOID, Phase.EXPIRE])
    )
    is_new = phase in (Phase.POSTED, Phase.PENDING)
    debit = draw(st.sampled_from(ACCOUNTS if rarely(draw) else ACCOUNTS[:-1]))
    credit = draw(st.sampled_from([each for each in ACCOUNTS[:-1] if each is not debit or rarely(draw)]))
    return Transfer(
        id=draw(st.sampled_from(HOLDS if (phase is Phase.PENDING) is not rarely(draw) else MOVES)),
        kind="move",
        debit=debit,
        credit=credit,
        units=draw(st.integers(-1 if rarely(draw) else 1 if is_new else 0, 9)),
        reference="NULL" if rarely(draw) else "r",
        at_ms=Instant(draw(st.integers(0, 4))),
        phase=phase,
        resolves=None if is_new else draw(st.sampled_from(MOVES if rarely(draw) else HOLDS)),
        expires_at_ms=Instant(draw(st.integers(1, 5))) if phase is Phase.PENDING and draw(st.booleans()) else None,
        group=draw(st.sampled_from(["", "", "", "g1", "g2"])),
    )


def aimed(batch: list[Transfer], holds: dict[str, Transfer]) -> list[Transfer]:
    """Let what resolves a hold name the hold's accounts; at random it would hardly ever."""
    for place, transfer in enumerate(batch):
        if transfer.phase is Phase.PENDING:
            holds.setdefault(transfer.id, transfer)
        elif transfer.resolves in holds and transfer.units != 1:
            hold = holds[transfer.resolves]
            batch[place] = msgspec.structs.replace(transfer, debit=hold.debit, credit=hold.credit)
    return batch


SUBMISSIONS = st.lists(st.lists(st.lists(transfers(), max_size=6), min_size=1, max_size=3), max_size=5)


class _Undo(Exception):
    """Every example begins with an empty ledger."""


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(commits=SUBMISSIONS)
async def test_batches_answer_and_end_as_transfers_posted_one_after_another(
    database: Database, commits: list[list[list[Transfer]]]
) -> None:
    model, holds = LedgerModel(), dict[str, Transfer]()
    source, *others, wallet = ACCOUNTS[:4]
    opening = [
        Transfer(TransferId(f"open {each.code}"), "open", source, each, 12, "", Instant(0)) for each in others
    ] + [Transfer(TransferId("open wallet"), "open", wallet, source, 12, "", Instant(0))]

    async def live(connection: Connection) -> None:
        for submissions in [[opening], *commits]:
            batches = [aimed(list(batch), holds) for batch in submissions]
            answers = await post_each(connection, batches)
            expected = [model.post(batch) for batch in batches]
            assert [[each.result for each in posted] for posted in answers] == expected
            for answer in {result for batch in expected for result in batch}:
                event(answer)
            await same_books(connection, model)

    try:
        async with database.transaction() as connection:
            await live(connection)
            raise _Undo
    except _Undo:
        pass


async def same_books(connection: Connection, model: LedgerModel) -> None:
    """Compare balances, what is held, which holds are open and what was moved."""
    found = await ledger.balances(connection, ACCOUNTS)
    for account in ACCOUNTS:
        assert found[account.code].units == model.balance.get(account.code, 0), account.code
        assert found[account.code].held == model.held.get(account.code, 0), account.code
    moved = await connection.fetch("SELECT id, units FROM ledger_transfer")
    assert {row["id"]: int(row["units"]) for row in moved} == model.moved
    open_holds = {
        name for name, each in model.said.items() if each.phase is Phase.PENDING and name not in model.ended_by
    }
    assert {row["id"] for row in await connection.fetch("SELECT id FROM ledger_hold")} == open_holds


def test_the_model_refuses_what_would_break_a_floor() -> None:
    model = LedgerModel()
    move = Transfer(TransferId("a"), "move", ACCOUNTS[1], ACCOUNTS[0], 1, "", Instant(0))
    assert model.post([move]) == [Posting.INSUFFICIENT]
