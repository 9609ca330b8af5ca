"""Unmodified tronweb pays, fails and reads on the devnet as it does on TRON."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from adapters.chains.tron.devnet.server import Server

from .town import ALICE, BOB, CAROL, TRX, devnet_of_real_time

FOLDER = Path(__file__).parents[2] / "node"
STAMP = FOLDER / "node_modules" / ".installed"

pytestmark = pytest.mark.skipif(
    not (STAMP.exists() and Path(STAMP.read_text().strip()).exists()),
    reason=f"tronweb is not installed: python {FOLDER / 'install.py'} (make test does it)",
)


@pytest.fixture(scope="module")
async def seen() -> dict[str, Any]:
    """Let tronweb live through its script once; give what it saw."""
    server = Server(devnet_of_real_time(block_ms=100))
    await server.start()
    arguments = [
        server.addresses["main"],
        ALICE.key.to_hex(),
        server.devnet.tokens["USDT"],
        BOB.address,
        CAROL.key.to_hex(),
    ]
    process = await asyncio.create_subprocess_exec(
        STAMP.read_text().strip(),
        str(FOLDER / "tron_client.js"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), 120)
    finally:
        await server.stop()
    assert process.returncode == 0, errors.decode()
    answer: dict[str, Any] = json.loads(output.decode().splitlines()[-1])
    return answer


async def test_a_contract_object_reads_sends_and_sees_the_final_receipt_later(seen: dict[str, Any]) -> None:
    assert seen["contract"] == {
        "name": "Tether USD",
        "decimals": 6,
        "moved": 777,
        "result": "SUCCESS",
        "isFinalAtOnce": False,
        "finalBlock": True,
    }


async def test_what_the_node_builds_passes_tronweb_s_own_check(seen: dict[str, Any]) -> None:
    assert seen["remoteBuilder"] == {"accepted": True, "result": "SUCCESS"}
    assert seen["localBuilder"] == {"accepted": True, "result": "SUCCESS"}


async def test_trx_is_sent(seen: dict[str, Any]) -> None:
    assert seen["sendTrx"] == {"accepted": True, "balance": TRX}


async def test_a_duplicate_and_an_expired_transaction_have_java_tron_s_codes(seen: dict[str, Any]) -> None:
    assert seen["duplicate"] == {"first": True, "second": "DUP_TRANSACTION_ERROR"}
    assert seen["expired"] == {"code": "TRANSACTION_EXPIRATION_ERROR", "message": "Transaction expired"}


async def test_a_low_fee_limit_is_included_fails_and_is_lost(seen: dict[str, Any]) -> None:
    found = seen["lowFeeLimit"]
    assert (found["accepted"], found["result"]) == (True, "OUT_OF_ENERGY")
    assert found["fee"] >= TRX
    assert "Not enough energy" in found["words"]


async def test_a_memo_arrives_and_costs_a_trx(seen: dict[str, Any]) -> None:
    assert seen["memo"] == {"extra": TRX, "data": "Invoice 7"}


async def test_another_s_key_is_refused_by_name(seen: dict[str, Any]) -> None:
    assert seen["wrongKey"]["code"] == "SIGERROR"
    assert f"is signed by {CAROL.address} but it is not contained" in seen["wrongKey"]["message"]


async def test_blocks_accounts_and_parameters_are_read(seen: dict[str, Any]) -> None:
    found = seen["reading"]
    assert found["sameBlock"]
    assert found["range"] == 3
    assert found["hasPermissions"]
    assert (found["energyPrice"], found["freeNet"], found["energy"]) == (100, 600, 63_910)
    assert 0 <= found["bandwidth"] <= 600


async def test_permissions_are_changed_and_kept(seen: dict[str, Any]) -> None:
    found = seen["permissions"]
    assert found["updated"] is True
    assert found["alone"] == "SIGERROR"
    assert (found["half"], found["weight"]) == ("NOT_ENOUGH_PERMISSION", 1)
    assert (found["together"], found["delegated"]) == ("SUCCESS", "SUCCESS")
    assert found["denied"] == "SIGERROR"
