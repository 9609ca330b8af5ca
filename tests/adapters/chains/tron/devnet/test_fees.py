"""What a transaction costs on the devnet, and what happens to one that cannot pay."""

import hashlib

import msgspec
import pytest
from eth_abi.abi import decode

from adapters.chains.tron.devnet import Funding
from adapters.chains.tron.devnet.artifact import FOLDER, call_data, token
from adapters.chains.tron.devnet.transactions import Call
from adapters.chains.tron.devnet.world import Parameters, SetParameters

from .town import ALICE, BOB, CAROL, TRX, USDT, Town, transfer_of_trx

COLD, WARM = 129_910, 63_910
"""Energy of a USDT transfer to somebody who never had any, and to somebody who has. On the main network it is
130,285 and 64,285."""


def test_the_token_s_artifact_was_made_from_the_source_beside_it() -> None:
    assert token().source_sha256 == hashlib.sha256((FOLDER / "Token.sol").read_bytes()).hexdigest()


def test_a_transfer_to_a_new_holder_costs_twice_one_to_an_old() -> None:
    town = Town()
    cold, warm = town.paid(town.transfer(5)), town.paid(town.transfer(6))
    assert (cold["receipt"]["energy_usage_total"], warm["receipt"]["energy_usage_total"]) == (COLD, WARM)
    assert abs(COLD / 130_285 - 1) < 0.01
    assert abs(WARM / 64_285 - 1) < 0.01
    assert cold["receipt"]["energy_fee"] == COLD * 100


def test_the_constant_call_and_the_estimate_tell_the_energy_that_is_then_paid() -> None:
    town = Town()
    data = call_data("transfer(address,uint256)", BOB.raw_address, 5).hex()
    asked = {"owner_address": ALICE.address, "contract_address": town.usdt, "data": data, "visible": True}
    assert town.ask("triggerconstantcontract", **asked)["energy_used"] == COLD
    assert town.ask("estimateenergy", **asked)["energy_required"] == COLD
    assert town.usdt_of(BOB) == 0


def test_the_first_six_hundred_bytes_of_a_day_are_free_and_come_back() -> None:
    town = Town()
    first, second = town.paid(town.transfer(1)), town.paid(town.transfer(2))
    size = first["receipt"]["net_usage"]
    assert 300 < size < 400
    assert "net_usage" not in second["receipt"]
    assert second["receipt"]["net_fee"] == size * 1_000
    assert second["fee"] == second["receipt"]["net_fee"] + second["receipt"]["energy_fee"]
    town.now_ms += 86_400_000
    assert town.paid(town.transfer(3))["receipt"]["net_usage"] == size


def test_every_sun_that_leaves_the_sender_is_in_the_receipts_or_with_the_recipient() -> None:
    town = Town()
    before = town.trx_of(ALICE)
    receipts = [
        town.paid(town.sign(transfer_of_trx(7 * TRX))),
        town.paid(town.transfer(1 * USDT)),
        town.paid(town.transfer(2, CAROL, memo=b"rent")),
        town.paid(town.transfer(3, fee_limit=TRX)),
    ]
    assert town.trx_of(ALICE) == before - 7 * TRX - sum(each["fee"] for each in receipts)
    assert town.trx_of(BOB) == 7 * TRX


def test_a_fee_limit_that_is_too_low_burns_it_all_and_moves_nothing() -> None:
    town = Town()
    before = town.trx_of(ALICE)
    payment = town.transfer(5 * USDT, fee_limit=10 * TRX)  # tronpy's default, below what a new holder costs.
    receipt = town.paid(payment)
    assert receipt["receipt"]["result"] == "OUT_OF_ENERGY"
    assert receipt["result"] == "FAILED"
    assert "Not enough energy" in bytes.fromhex(receipt["resMessage"]).decode()
    assert receipt["receipt"]["energy_fee"] == 10 * TRX
    assert "log" not in receipt
    assert town.usdt_of(BOB) == 0
    assert town.trx_of(ALICE) == before - receipt["fee"]
    block = town.ask("getblockbynum", num=receipt["blockNumber"])
    assert block["transactions"][0]["ret"] == [{"contractRet": "OUT_OF_ENERGY"}]


def test_a_balance_that_cannot_pay_the_energy_runs_out_of_it_too() -> None:
    town = Town(alice=Funding(sun=2 * TRX, tokens={"USDT": USDT}))
    receipt = town.paid(town.transfer(5))
    assert receipt["receipt"]["result"] == "OUT_OF_ENERGY"
    assert town.trx_of(ALICE) == 0


def test_a_transfer_of_more_than_there_is_reverts_and_costs_only_what_it_used() -> None:
    town = Town()
    receipt = town.paid(town.transfer(2_000_000 * USDT))
    assert receipt["receipt"]["result"] == "REVERT"
    assert bytes.fromhex(receipt["contractResult"][0])[4:].rstrip(b"\0").endswith(b"balance exceeded")
    assert 0 < receipt["receipt"]["energy_usage_total"] < WARM


def test_staked_energy_is_used_before_trx_and_comes_back_within_a_day() -> None:
    town = Town()
    town.devnet.set_energy(ALICE.address, 200_000)
    town.produce()
    receipt = town.paid(town.transfer(5))["receipt"]
    assert receipt["energy_usage"] == COLD
    assert "energy_fee" not in receipt
    resource = town.ask("getaccountresource", address=ALICE.address, visible=True)
    assert (resource["EnergyLimit"], resource["EnergyUsed"]) == (200_000, COLD)
    receipt = town.paid(town.transfer(5, CAROL))["receipt"]
    left = 200_000 - COLD
    assert receipt["energy_usage"] == pytest.approx(left, abs=10)  # A block's time has given a little back.
    assert receipt["energy_fee"] == (COLD - receipt["energy_usage"]) * 100
    town.now_ms += 86_400_000
    town.produce()
    assert "EnergyUsed" not in town.ask("getaccountresource", address=ALICE.address, visible=True)


def test_a_memo_costs_a_trx() -> None:
    town = Town()
    town.paid(town.transfer(1))
    plain, noted = town.paid(town.transfer(2)), town.paid(town.transfer(3, memo=b"Invoice 7"))
    assert noted["fee"] - noted["receipt"]["net_fee"] - noted["receipt"]["energy_fee"] == TRX
    assert plain["fee"] == plain["receipt"]["net_fee"] + plain["receipt"]["energy_fee"]


def test_trx_to_an_address_that_was_never_used_activates_it_for_a_fee() -> None:
    town = Town()
    assert town.ask("getaccount", address=BOB.address, visible=True) == {}
    assert town.paid(town.sign(transfer_of_trx(TRX)))["fee"] == 1_100_000
    assert town.ask("getaccount", address=BOB.address, visible=True)["balance"] == TRX
    again = town.paid(town.sign(transfer_of_trx(TRX)))
    assert "fee" not in again
    assert "result" not in again["receipt"]  # Only calls of contracts have one.


def test_tokens_do_not_activate_an_address() -> None:
    town = Town()
    town.paid(town.transfer(5 * USDT))
    assert town.usdt_of(BOB) == 5 * USDT
    assert town.ask("getaccount", address=BOB.address, visible=True) == {}
    bobs = Call(BOB.raw_address, bytes.fromhex("41") + bytes(20), b"")
    assert town.code(town.sign(bobs, BOB.key)) == "CONTRACT_VALIDATE_ERROR"


def test_who_cannot_pay_the_bandwidth_is_refused_before_a_block() -> None:
    town = Town(alice=Funding(sun=1, tokens={"USDT": USDT}))
    town.paid(town.transfer(1))  # Free bandwidth, and out of energy.
    answer = town.send(town.transfer(2))
    assert (answer["code"], answer["message"]) == ("BANDWITH_ERROR", "Account resource insufficient error.")
    noted = town.send(town.transfer(2, memo=b"x"))
    assert noted["code"] == "BANDWITH_ERROR"


def test_trx_that_is_not_there_is_refused() -> None:
    town = Town()
    answer = town.send(town.sign(transfer_of_trx(10_000 * TRX)))
    assert answer["code"] == "CONTRACT_VALIDATE_ERROR"
    assert answer["message"].endswith("Validate TransferContract error, balance is not sufficient.")


@pytest.mark.parametrize("fee_limit", [-1, 15_000_000_001])
def test_a_fee_limit_outside_what_the_producers_voted_is_refused(fee_limit: int) -> None:
    town = Town()
    assert town.code(town.transfer(1, fee_limit=fee_limit)) == "CONTRACT_VALIDATE_ERROR"


def test_fees_change_when_the_producers_vote() -> None:
    town = Town()
    dear = msgspec.structs.replace(Parameters(), energy_fee=420)
    town.devnet.decree(SetParameters(dear))
    town.produce()
    assert {"key": "getEnergyFee", "value": 420} in town.ask("getchainparameters")["chainParameter"]
    assert town.paid(town.transfer(1))["receipt"]["energy_fee"] == COLD * 420


def test_an_issuer_s_fee_arrives_as_the_log_says_and_not_as_the_caller_asked() -> None:
    town = Town()
    town.devnet.use_token("USDT", call_data("setParams(uint256,uint256)", 20, 100 * USDT))
    town.produce()
    logs = town.paid(town.transfer(1_000 * USDT))["log"]
    assert [int(each["data"], 16) for each in logs] == [998 * USDT, 2 * USDT]
    assert town.usdt_of(BOB) == 998 * USDT


def test_a_transfer_answers_false_even_though_it_succeeded_as_tether_s_does() -> None:
    town = Town()
    assert int(town.paid(town.transfer(5))["contractResult"][0], 16) == 0


def test_a_new_token_has_the_name_and_symbol_that_it_was_given() -> None:
    town = Town()
    address = town.devnet.deploy_token("A name of more than thirty-two letters", "₮")
    asked = {"owner_address": ALICE.address, "contract_address": address, "visible": True}
    for function, expected in (("name()", "A name of more than thirty-two letters"), ("symbol()", "₮")):
        answer = town.ask("triggerconstantcontract", function_selector=function, **asked)
        assert decode(["string"], bytes.fromhex(answer["constant_result"][0])) == (expected,)
