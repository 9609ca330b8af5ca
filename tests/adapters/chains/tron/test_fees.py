"""What a transfer may cost is known before it is signed; what the wallet lacks is a state with a name."""

from typing import Any

import pytest

from adapters.chains.tron import addresses, codec
from adapters.chains.tron.fees import SUN
from adapters.chains.tron.payouts import TronPayouts
from engine.errors import Rejected, Retryable
from engine.payments.chain import Shortage
from tests.adapters.chains.tron.village import USDT, Village, wallet

WARM, COLD = 64_285, 130_285
ENERGY_PRICE, BYTE_PRICE = 100, 1_000
OURS, THEIRS = wallet(1), wallet(2)


class Purse(Village):
    """A village in which one wallet has means, and calls need energy."""

    def __init__(self, fee_limit_max: int = 100 * SUN) -> None:
        super().__init__()
        self.coins: dict[str, int] = {OURS: 50 * SUN, THEIRS: 1}
        self.tokens = 1_000_000_000
        self.resources: dict[str, int] = {}
        self.parameters = {
            "getEnergyFee": ENERGY_PRICE,
            "getTransactionFee": BYTE_PRICE,
            "getMaxFeeLimit": 15_000 * SUN,
        }
        self.reverts_for: set[str] = set()
        self.warm = {THEIRS}
        self.answers = {
            "wallet/getaccount": self._account,
            "wallet/getaccountresource": lambda body: self.resources,
            "wallet/getchainparameters": lambda body: {
                "chainParameter": [{"key": key, "value": value} for key, value in self.parameters.items()]
                + [{"key": "getAllowMultiSign"}]
            },
            "wallet/triggerconstantcontract": self._call,
        }
        self.chain = TronPayouts(self.pool, self.clock, fee_limit_max)

    def _account(self, body: dict[str, Any]) -> dict[str, Any]:
        address = addresses.from_hex(body["address"])
        return {"address": body["address"], "balance": self.coins[address]} if address in self.coins else {}

    def _call(self, body: dict[str, Any]) -> dict[str, Any]:
        data = bytes.fromhex(body["data"])
        if data[:4] != codec.TRANSFER_SELECTOR:
            return {"result": {"result": True}, "constant_result": [f"{self.tokens:064x}"], "energy_used": 4_000}
        recipient = addresses.text(data[16:36])
        if recipient in self.reverts_for:
            message = b"REVERT opcode executed".hex()
            return {"result": {"result": True, "message": message}, "constant_result": [""], "energy_used": 900}
        energy = WARM if recipient in self.warm else COLD
        return {"result": {"result": True}, "constant_result": ["00" * 31 + "01"], "energy_used": energy}

    async def preflight(self, units: int = 1_000_000, contract: str = USDT, recipient: str = THEIRS):
        return await self.chain.preflight(OURS, recipient, contract, units)

    def asked_for(self, path: str) -> int:
        return sum(1 for _, asked in self.asked if asked == path)


async def test_the_fee_limit_covers_a_recipient_who_has_no_token_left() -> None:
    """tronpy's own limit of 10 TRX is below it: the call would fail and the TRX would be gone."""
    purse = Purse()
    seen = await purse.preflight()
    assert seen.energy_needed == 156_342  # 130 285 and a fifth, rounded up.
    assert seen.fee_limit == 156_342 * ENERGY_PRICE
    assert seen.shortage is None
    purse.warm.clear()
    purse.now_ms += 60_000
    assert (await purse.preflight()).fee_limit == seen.fee_limit


async def test_the_worst_fee_is_the_energy_that_is_not_staked_for_and_the_bytes() -> None:
    purse = Purse()
    assert (await purse.preflight()).worst_fee_units == 15_634_200 + 400_000
    purse.resources = {"EnergyLimit": 150_000, "EnergyUsed": 10_000}
    purse.now_ms += 1_000
    seen = await purse.preflight()
    assert (seen.energy_left, seen.worst_fee_units) == (140_000, 1_634_200 + 400_000)
    purse.resources = {"EnergyLimit": 1_000_000}
    purse.now_ms += 1_000
    assert (await purse.preflight()).worst_fee_units == 400_000


@pytest.mark.parametrize(
    ("coins", "energy", "shortage"),
    [
        (16_034_200, 0, None),
        (16_034_199, 0, Shortage.ENERGY),
        (0, 0, Shortage.ENERGY),
        (400_000, 156_342, None),
        (399_999, 156_342, Shortage.COIN),
        (399_999, 156_341, Shortage.ENERGY),
    ],
)
async def test_a_wallet_must_be_able_to_pay_the_worst(coins: int, energy: int, shortage: Shortage | None) -> None:
    purse = Purse()
    purse.coins[OURS], purse.resources = coins, {"EnergyLimit": energy}
    seen = await purse.preflight()
    assert (seen.shortage, seen.coin_units) == (shortage, coins)


async def test_energy_that_is_dearer_than_a_transfer_may_cost_is_waited_out() -> None:
    purse = Purse(fee_limit_max=14 * SUN)
    seen = await purse.preflight()
    assert (seen.fee_limit, seen.shortage) == (14 * SUN, None), "without the margin it still fits"
    dear = Purse(fee_limit_max=13 * SUN)
    seen = await dear.preflight()
    assert (seen.fee_limit, seen.shortage) == (13 * SUN, Shortage.ENERGY)


async def test_the_chain_has_a_greatest_fee_limit_too() -> None:
    purse = Purse(fee_limit_max=20_000 * SUN)
    purse.parameters |= {"getEnergyFee": 1_000_000, "getMaxFeeLimit": 15_000 * SUN}
    assert (await purse.preflight()).fee_limit == 15_000 * SUN


async def test_a_node_that_makes_up_a_price_costs_at_most_our_own_limit() -> None:
    purse = Purse(fee_limit_max=30 * SUN)
    purse.parameters["getEnergyFee"] = 10**9
    seen = await purse.preflight()
    assert (seen.fee_limit, seen.shortage) == (30 * SUN, Shortage.ENERGY)


async def test_too_few_tokens_are_told_without_trying() -> None:
    purse = Purse()
    seen = await purse.preflight(units=purse.tokens + 1)
    assert (seen.shortage, seen.token_units) == (Shortage.TOKEN, purse.tokens)
    assert purse.asked_for("wallet/triggerconstantcontract") == 1
    purse.now_ms += 1_000
    assert (await purse.preflight(units=purse.tokens)).shortage is None


async def test_a_recipient_that_nobody_has_activated_is_told_and_asked_for_again() -> None:
    purse = Purse()
    assert (await purse.preflight(recipient=wallet(3))).shortage is Shortage.RECIPIENT_NOT_ACTIVE
    purse.coins[wallet(3)] = 0
    assert (await purse.preflight(recipient=wallet(3))).shortage is None


async def test_a_transfer_that_the_contract_refuses_is_rejected_before_it_costs() -> None:
    purse = Purse()
    purse.reverts_for.add(THEIRS)
    with pytest.raises(Rejected, match="REVERT opcode executed"):
        await purse.preflight()


async def test_a_token_that_takes_no_newcomer_is_estimated_by_its_recipient() -> None:
    purse = Purse()
    purse.reverts_for.add(addresses.text(b"trellis: no wallet.."))
    assert (await purse.preflight()).energy_needed == 77_142


async def test_trx_needs_no_energy_but_itself_and_its_bytes() -> None:
    purse = Purse()
    most = 50 * SUN - 300_000
    seen = await purse.preflight(most, contract="")
    assert (seen.fee_limit, seen.energy_needed, seen.worst_fee_units, seen.shortage) == (0, 0, 300_000, None)
    assert (await purse.preflight(most + 1, contract="")).shortage is Shortage.COIN


async def test_many_transfers_in_a_second_ask_for_the_wallet_once() -> None:
    purse = Purse()
    recipients = [wallet(number) for number in range(10, 30)]
    purse.coins |= dict.fromkeys(recipients, 1)
    for recipient in recipients:
        await purse.preflight(recipient=recipient)
    assert purse.asked_for("wallet/getaccountresource") == purse.asked_for("wallet/getchainparameters") == 1
    assert purse.asked_for("wallet/triggerconstantcontract") == 1 + 1 + len(recipients)
    purse.now_ms += 600_000
    purse.asked.clear()
    await purse.preflight(recipient=recipients[0])
    assert purse.asked_for("wallet/getchainparameters") == 1, "prices are asked for again after ten minutes"


async def test_a_clock_that_jumps_back_makes_no_answer_younger() -> None:
    purse = Purse()
    await purse.preflight()
    purse.coins[OURS] = 0
    purse.now_ms -= 120_000
    assert (await purse.preflight()).shortage is Shortage.ENERGY


async def test_a_node_without_constant_calls_is_passed_over() -> None:
    purse = Purse()
    refusal = {
        "result": {"code": "CONTRACT_VALIDATE_ERROR", "message": b"this node does not support constant".hex()}
    }
    calls = "wallet/triggerconstantcontract"
    purse.tamper("main", lambda path, body, answer: refusal if path == calls else answer)
    assert (await purse.preflight()).shortage is None
    purse.tamper("fallback", lambda path, body, answer: refusal if path == calls else answer)
    purse.now_ms += 120_000
    with pytest.raises(Retryable, match="does not support constant"):
        await purse.preflight()
