"""Accounts, archived bots and sums by day in the tables: what the API relies on without looking twice."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest

from engine.ids import AccountId, Instant
from engine.ports import KeyPermissions
from storage.accounts import AccountInUse, Accounts, Environment, NewAccount, SealedKey
from storage.audit import Audit
from storage.bots import AccountRemoved, BotArchived, BotInUse, BotRow, Bots, DesiredState, NewBot
from storage.database import Database
from storage.leases import Leases, bot_lease
from storage.rows import AlreadyExistsDifferently
from storage.seed import OPERATOR
from tests.factories import new_bot_id

RIGHTS = KeyPermissions(True, False, False, False, True, Instant(2_000_000_000_000))
MakeBot = Callable[..., Awaitable[BotRow]]


def an_account(**changes: object) -> NewAccount:
    values: dict[str, object] = {
        "id": AccountId(f"a{uuid.uuid4().hex[:7]}"),
        "owner": OPERATOR,
        "exchange": "bybit",
        "environment": Environment.TESTNET,
        "label": "mine",
        "sealed_key": SealedKey(b"sealed", "kek1"),
        "key_hint": "abcd",
        "permissions": RIGHTS,
        "checked_at_ms": Instant(1_700_000_000_000),
    }
    return NewAccount(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def accounts(bots: Bots, database: Database) -> Accounts:
    """Give the table of a seeded database."""
    return Accounts(database)


async def bot_on(bots: Bots, account: AccountId, desired: DesiredState = DesiredState.RUNNING) -> BotRow:
    return await bots.create(
        NewBot(new_bot_id(), OPERATOR, account, "grid", {"symbol": "BTCUSDT"}, desired), "test"
    )


async def ends(bots: Bots, database: Database, bot: BotRow) -> None:
    """Let a bot end as its process would."""
    row = await bots.set_desired(bot.id, DesiredState.STOPPED_KEEPING, "test")
    lease = await Leases(database).acquire(bot_lease(bot.id), "holder", 60_000)
    assert lease is not None
    await bots.set_status(bot.id, lease.epoch, "stopped", carried_out=row.version)


async def test_what_a_check_showed_is_kept_and_the_key_is_not_part_of_the_row(accounts: Accounts) -> None:
    new = an_account()
    row = await accounts.add(new, "test")
    assert (row.permissions, row.key_hint, row.sealing_key_id) == (RIGHTS, "abcd", "kek1")
    assert "sealed" not in repr(row).replace("sealing_key_id", "")
    weaker = KeyPermissions(True, True, True, False, False, None)
    checked = await accounts.note_check(new.id, weaker, Instant(1_800_000_000_000), "test")
    assert (checked.permissions, checked.checked_at_ms) == (weaker, 1_800_000_000_000)
    assert await accounts.add(new, "test") == checked
    with pytest.raises(AlreadyExistsDifferently):
        await accounts.add(an_account(id=new.id, key_hint="wxyz"), "test")
    with pytest.raises(KeyError):
        await accounts.note_check(AccountId("nobody"), weaker, Instant(1), "test")


async def test_an_account_is_removed_when_its_bots_have_ended_and_loses_its_key(
    accounts: Accounts, bots: Bots, database: Database
) -> None:
    account = (await accounts.add(an_account(), "test")).id
    bot = await bot_on(bots, account)
    with pytest.raises(AccountInUse) as in_use:
        await accounts.retire(account, "test")
    assert in_use.value.bots == [bot.id]
    await ends(bots, database, bot)
    await accounts.retire(account, "test")
    await accounts.retire(account, "test")
    row = await accounts.get(account)
    assert row is not None
    assert row.retired_at_ms is not None
    assert await accounts.sealed_key(account) is None
    assert account not in [each.id for each in await accounts.of_owner(OPERATOR)]
    assert await accounts.count_retired(OPERATOR, Environment.TESTNET) >= 1
    for attempt in (bot_on(bots, account), bots.set_desired(bot.id, DesiredState.RUNNING, "test")):
        with pytest.raises(AccountRemoved):
            await attempt
    assert (await Audit(database).verify()).is_intact


async def test_a_bot_created_while_its_account_is_removed_is_refused_or_keeps_it(
    accounts: Accounts, bots: Bots
) -> None:
    for _ in range(20):
        account = (await accounts.add(an_account(), "test")).id
        made, removed = await asyncio.gather(
            bot_on(bots, account), accounts.retire(account, "test"), return_exceptions=True
        )
        assert isinstance(made, AccountRemoved) != isinstance(removed, AccountInUse), (made, removed)


async def test_bots_of_an_account_are_counted_without_the_archived(
    accounts: Accounts, bots: Bots, database: Database
) -> None:
    account = (await accounts.add(an_account(), "test")).id
    assert await accounts.count_bots([account]) == {}
    first, _ = await bot_on(bots, account), await bot_on(bots, account)
    assert await accounts.count_bots([account]) == {account: 2}
    await ends(bots, database, first)
    await bots.archive(first.id, "test")
    assert await accounts.count_bots([account]) == {account: 1}


async def test_only_a_bot_that_has_ended_is_archived_and_it_starts_no_more(
    bots: Bots, make_bot: MakeBot, database: Database
) -> None:
    bot = await make_bot()
    with pytest.raises(BotInUse):
        await bots.archive(bot.id, "test")
    await ends(bots, database, bot)
    archived = await bots.archive(bot.id, "test")
    assert archived.archived_at_ms is not None
    assert await bots.archive(bot.id, "test") == archived
    with pytest.raises(BotArchived):
        await bots.set_desired(bot.id, DesiredState.RUNNING, "test")
    listed = {which: (await bots.page(archived=which, limit=500)).items for which in (True, False, None)}
    assert [bot.id in {row.id for row in rows} for rows in listed.values()] == [True, False, True]


async def test_a_bot_is_renamed_with_an_entry_in_the_audit(
    bots: Bots, make_bot: MakeBot, database: Database
) -> None:
    bot = await make_bot()
    assert (await bots.rename(bot.id, "week 47", "me")).name == "week 47"
    entries = (await Audit(database).page(target=f"bot:{bot.id}")).items
    assert [entry.command for entry in entries] == ["bot.rename", "bot.create"]
    with pytest.raises(KeyError):
        await bots.rename(new_bot_id(), "x", "me")
