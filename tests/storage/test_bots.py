"""Bots and accounts as rows: said twice is safe, wishes have versions, lists page by key."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import asyncpg
import msgspec
import pytest

from engine.ids import AccountId, BotId
from storage.accounts import Accounts, Environment, NewAccount, SealedKey
from storage.audit import Audit
from storage.bots import BotRow, Bots, DesiredState, NewBot, VersionConflict
from storage.database import Database
from storage.leases import Lease
from storage.paging import PAGE_ROWS_MAX, BadCursor
from storage.rows import AlreadyExistsDifferently
from storage.seed import OPERATOR, PAPER_ACCOUNT, seed
from storage.users import Users
from tests.factories import new_bot_id
from tests.storage.conftest import CONFIG

MakeBot = Callable[..., Awaitable[BotRow]]


async def test_creating_the_same_bot_twice_gives_the_one_that_exists(bots: Bots, database: Database) -> None:
    new = NewBot(new_bot_id(), OPERATOR, PAPER_ACCOUNT, "grid", CONFIG)
    first = await bots.create(new, "operator")
    assert await bots.create(new, "operator") == first
    assert await bots.get(new.id) == first
    assert len((await Audit(database).page(target=f"bot:{new.id}")).items) == 1


async def test_the_same_id_with_another_config_is_refused(bots: Bots) -> None:
    new = NewBot(new_bot_id(), OPERATOR, PAPER_ACCOUNT, "grid", CONFIG)
    await bots.create(new, "operator")
    with pytest.raises(AlreadyExistsDifferently):
        await bots.create(msgspec.structs.replace(new, config={**CONFIG, "grids": 21}), "operator")


async def test_a_config_may_be_a_struct_with_decimals(bots: Bots) -> None:
    class Config(msgspec.Struct):
        symbol: str
        lower: Decimal

    new = NewBot(new_bot_id(), OPERATOR, PAPER_ACCOUNT, "grid", Config("BTCUSDT", Decimal("90000.10")))
    row = await bots.create(new, "operator")
    assert await bots.create(new, "operator") == row
    assert msgspec.convert(row.config, Config, strict=False) == new.config


@pytest.mark.parametrize("wrong", ["short", "UPPERCAS", "has_dash", "ninechars", "zero0189"])
async def test_an_id_of_another_shape_is_refused(bots: Bots, wrong: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await bots.create(NewBot(BotId(wrong), OPERATOR, PAPER_ACCOUNT, "grid", CONFIG), "operator")


async def test_a_wish_is_written_with_its_audit_entry(bots: Bots, database: Database, make_bot: MakeBot) -> None:
    bot = await make_bot()
    stopped = await bots.set_desired(bot.id, DesiredState.STOPPED_SELLING, "operator", version=bot.version)
    assert (stopped.desired_state, stopped.version) == (DesiredState.STOPPED_SELLING, bot.version + 1)
    entry = (await Audit(database).page(target=f"bot:{bot.id}")).items[0]
    assert (entry.actor, entry.command) == ("operator", "bot.want_stopped_selling")
    assert (entry.before["desired_state"], entry.after["desired_state"]) == ("running", "stopped_selling")


async def test_a_wish_on_an_old_version_is_refused_and_not_recorded(
    bots: Bots, database: Database, make_bot: MakeBot
) -> None:
    bot = await make_bot()
    await bots.set_desired(bot.id, DesiredState.PAUSED, "operator")
    before = await Audit(database).head()
    with pytest.raises(VersionConflict):
        await bots.set_desired(bot.id, DesiredState.RUNNING, "operator", version=bot.version)
    assert await Audit(database).head() == before


async def test_wanting_what_is_wanted_changes_nothing(bots: Bots, make_bot: MakeBot) -> None:
    bot = await make_bot()
    assert await bots.set_desired(bot.id, DesiredState.RUNNING, "operator") == bot


async def test_a_wish_about_an_unknown_bot_is_a_key_error(bots: Bots) -> None:
    with pytest.raises(KeyError):
        await bots.set_desired(new_bot_id(), DesiredState.PAUSED, "operator")


async def test_a_status_does_not_disturb_the_version_of_the_wish(bots: Bots, led_bot: tuple[BotId, Lease]) -> None:
    bot, lease = led_bot
    await bots.set_status(bot, lease.epoch, "running", "price is in range")
    row = await bots.get(bot)
    assert row is not None
    assert (row.status, row.status_reason, row.version) == ("running", "price is in range", 1)


async def test_a_bot_needs_a_process_until_it_has_ended_as_its_owner_wants(
    bots: Bots, led_bot: tuple[BotId, Lease]
) -> None:
    bot, lease = led_bot

    async def needs_one() -> bool:
        return bot in {row.id for row in await bots.needing_a_process()}

    assert await needs_one()
    await bots.set_status(bot, lease.epoch, "running", carried_out=1)
    wish = await bots.set_desired(bot, DesiredState.STOPPED_KEEPING, "operator")
    assert await needs_one()
    await bots.set_status(bot, lease.epoch, "stopped", carried_out=wish.version)
    assert not await needs_one()
    await bots.set_desired(bot, DesiredState.STOPPED_SELLING, "operator")
    assert await needs_one()


async def test_wishes_made_at_once_leave_one_unbroken_record(
    bots: Bots, database: Database, make_bot: MakeBot
) -> None:
    made = [await make_bot() for _ in range(8)]
    await asyncio.gather(*(bots.set_desired(bot.id, DesiredState.EMERGENCY_STOPPED, "operator") for bot in made))
    assert (await Audit(database).verify()).is_intact
    rows = {row.id: row for row in (await bots.page(limit=PAGE_ROWS_MAX)).items}
    assert {rows[bot.id].desired_state for bot in made} == {DesiredState.EMERGENCY_STOPPED}


async def test_pages_show_every_bot_once_while_others_are_made(bots: Bots, make_bot: MakeBot) -> None:
    made = {(await make_bot()).id for _ in range(11)}
    seen: list[BotRow] = []
    cursor = None
    while True:
        page = await bots.page(cursor=cursor, limit=4)
        seen += page.items
        await make_bot()  # newer than the cursor: must not shift the next page
        cursor = page.next_cursor
        if cursor is None:
            break
    ids = [row.id for row in seen]
    assert len(ids) == len(set(ids))
    assert made <= set(ids)
    assert [row.created_at_ms for row in seen] == sorted((row.created_at_ms for row in seen), reverse=True)


async def test_a_command_that_is_repeated_later_does_not_undo_what_was_wanted_since(
    bots: Bots, make_bot: MakeBot
) -> None:
    bot = await make_bot()
    stopped = await bots.set_desired(bot.id, DesiredState.STOPPED_KEEPING, "operator", command_id="first")
    started = await bots.set_desired(bot.id, DesiredState.RUNNING, "operator", command_id="second")
    assert started.version > stopped.version > bot.version
    # The answer to the first was lost, and the caller asks again.
    assert await bots.set_desired(bot.id, DesiredState.STOPPED_KEEPING, "operator", command_id="first") == started
    # Another caller's word is another command.
    other = await bots.set_desired(bot.id, DesiredState.STOPPED_KEEPING, "telegram", command_id="first")
    assert other.desired_state is DesiredState.STOPPED_KEEPING


async def test_a_command_id_stands_for_one_command(bots: Bots, make_bot: MakeBot) -> None:
    bot = await make_bot()
    await bots.set_desired(bot.id, DesiredState.STOPPED_KEEPING, "operator", command_id="word")
    with pytest.raises(AlreadyExistsDifferently, match="the command word"):
        await bots.set_desired(bot.id, DesiredState.STOPPED_SELLING, "operator", command_id="word")


@pytest.mark.parametrize("cursor", ["nonsense", "W10", "WyJ4IiwxXQ", "\x00", "é"])
async def test_a_cursor_that_is_not_ours_is_refused(bots: Bots, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await bots.page(cursor=cursor)


async def test_the_first_rows_are_added_once(database: Database) -> None:
    for _ in range(3):
        await seed(database)
    user = await Users(database).get(OPERATOR)
    assert user is not None
    assert (user.display_name, user.locale) == ("Operator", "en")
    paper = await Accounts(database).get(PAPER_ACCOUNT)
    assert paper is not None
    assert (paper.owner, paper.exchange, paper.environment) == (OPERATOR, "bybit", Environment.PAPER)


async def test_a_sealed_key_is_kept_and_never_shown(bots: Bots, database: Database) -> None:
    accounts = Accounts(database)
    sealed = SealedKey(b"ciphertext-bytes", "master-1")
    new = NewAccount(AccountId("live1"), OPERATOR, "bybit", Environment.LIVE, "Main", sealed_key=sealed)
    row = await accounts.add(new, "operator")
    assert await accounts.add(new, "operator") == row
    assert await accounts.sealed_key(new.id) == sealed
    assert "ciphertext" not in repr(new) + repr(row)
    [entry] = (await Audit(database).page(target="account:live1")).items
    assert "ciphertext" not in repr(entry)


async def test_an_account_id_is_not_reused_for_another_key(bots: Bots, database: Database) -> None:
    new = NewAccount(
        AccountId("ref1"), OPERATOR, "bybit", Environment.TESTNET, "Env", key_reference="env:TRELLIS_BYBIT"
    )
    await Accounts(database).add(new, "operator")
    with pytest.raises(AlreadyExistsDifferently):
        await Accounts(database).add(msgspec.structs.replace(new, key_reference="env:OTHER"), "operator")
