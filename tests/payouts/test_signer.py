"""The signer against a real PostgreSQL and the devnet: what is paid, once, whatever happens in between."""

from engine.payments.payout import TaskState
from tests.payouts.world import COIN, HOT, USDT, World


async def test_a_payout_is_signed_handed_over_and_confirmed_with_its_ledger_entries(world: World) -> None:
    signer = await world.signer()
    payout = await world.pay(100 * COIN)
    assert (await world.payout(payout)).state is TaskState.QUEUED
    report = await signer.turn()
    assert (report.signed, report.handed_over) == (1, 1)
    assert (await world.payout(payout)).state is TaskState.BROADCAST
    assert await world.balance(f"clearing:{(await world.payout(payout)).purpose_id}:{USDT}") == (
        100 * COIN,
        100 * COIN,
    )
    await world.settle(signer)
    row = await world.payout(payout)
    assert row.state is TaskState.CONFIRMED
    assert row.tasks[0].tx_hash in world.devnet.chain.included_in
    assert world.transfers_to(world.payee_address) == [100 * COIN]
    assert await world.balance(f"clearing:{row.purpose_id}:{USDT}") == (0, 0)
    assert await world.balance(f"wallet:{HOT}:{USDT}") == (0, 0)
    assert await world.alarms() == []
