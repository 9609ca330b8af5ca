"""The words of java-tron's HTTP API: what is left out, what is hex, and bytes that other libraries read alike."""

import hashlib

import pytest
from tronpy.proto import tron_pb2

from adapters.chains.tron.devnet.protobuf import Malformed
from adapters.chains.tron.devnet.transaction_json import read, shown
from adapters.chains.tron.devnet.transactions import Key, Permission, UpdatePermissions, unpack

from .town import ALICE, BOB, CAROL, TRX, USDT, Town, transfer_of_trx


def test_the_first_block_leaves_its_number_out_as_any_default() -> None:
    town = Town()
    first = town.ask("getblockbynum", num=0)
    assert "number" not in first["block_header"]["raw_data"]
    assert "transactions" not in first
    assert town.ask("getblockbyid", value=first["blockID"]) == first
    assert town.ask("getblockbyid", value="00" * 32) == {}
    assert town.ask("getblock", id_or_num="0") == town.ask("getblock", id_or_num=first["blockID"]) == first


def test_addresses_are_base58_where_it_is_asked_and_hex_elsewhere() -> None:
    town = Town()
    payment = town.transfer(5)
    town.paid(payment)
    for visible, owner in ((True, ALICE.address), (False, ALICE.raw_address.hex())):
        page = town.ask("gettransactionbyid", value=payment.id, visible=visible)
        assert page["raw_data"]["contract"][0]["parameter"]["value"]["owner_address"] == owner
        assert page["raw_data_hex"] == payment.raw_bytes.hex()
    assert town.receipt(payment)["log"][0]["address"] == town.receipt(payment)["contract_address"][2:]


def test_a_refused_broadcast_speaks_hex_in_json_and_words_beside_bytes() -> None:
    town = Town()
    stranger = town.sign(transfer_of_trx(TRX), BOB.key)
    words = town.send(stranger)["message"]
    assert words.startswith("Validate signature error: ")
    told = town.ask("broadcasttransaction", **shown(stranger, visible=False))
    assert bytes.fromhex(told["message"]).decode() == words
    assert town.ask("broadcasttransaction", **shown(stranger, visible=True))["message"] == words
    good = town.sign(transfer_of_trx(TRX))
    assert town.ask("broadcasttransaction", **shown(good, visible=True)) == {"result": True, "txid": good.id}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("broadcasthex", {"transaction": "0aff"}),
        ("broadcasthex", {}),
        ("broadcasttransaction", {"raw_data": {}}),
        ("broadcasttransaction", {"raw_data": {"contract": [{"type": "VoteWitnessContract"}]}}),
        ("getaccount", {}),
        ("getblockbynum", {"num": "x"}),
        ("triggerconstantcontract", {"owner_address": "x", "contract_address": "y"}),
    ],
)
def test_nonsense_is_answered_with_an_error_and_never_breaks_a_node(path: str, body: dict[str, object]) -> None:
    assert "Error" in Town().ask(path, **body)


def test_a_contract_that_is_not_there_cannot_be_called() -> None:
    town = Town()
    nowhere = {"owner_address": ALICE.address, "contract_address": BOB.address, "data": "", "visible": True}
    for path in ("triggerconstantcontract", "triggersmartcontract", "estimateenergy"):
        assert town.ask(path, **nowhere)["result"]["code"] == "CONTRACT_VALIDATE_ERROR"
    assert town.ask("getcontract", value=BOB.address, visible=True) == {}
    assert town.ask("getcontractinfo", value=BOB.address, visible=True) == {}
    found = town.ask("getcontractinfo", value=town.usdt, visible=True)
    assert found["contract_state"]["energy_factor"] == 34_000
    assert found["smart_contract"]["contract_address"] == town.usdt


def test_what_waits_is_listed_until_a_block_has_it() -> None:
    town = Town()
    payment = town.transfer(5)
    assert town.ask("gettransactionlistfrompending") == {}
    town.send(payment)
    assert town.ask("gettransactionlistfrompending") == {"txId": [payment.id]}
    assert town.ask("gettransactionfrompending", value=payment.id)["txID"] == payment.id
    assert town.ask("gettransactionbyid", value=payment.id) == {}
    town.produce()
    assert town.ask("gettransactionfrompending", value=payment.id) == {}


def test_a_node_builds_transfers_that_are_good_once_they_are_signed() -> None:
    town = Town()
    made = town.ask(
        "createtransaction", owner_address=ALICE.address, to_address=BOB.address, amount=7, visible=True
    )
    assert made["txID"] == hashlib.sha256(bytes.fromhex(made["raw_data_hex"])).hexdigest()
    signature = ALICE.key.sign_recoverable(bytes.fromhex(made["txID"]), hasher=None)
    assert town.ask("broadcasttransaction", **made, signature=[signature.hex()])["result"] is True
    town.produce()
    assert town.trx_of(BOB) == 7


def test_every_kind_of_transaction_survives_bytes_and_json_and_tronpy_s_types_read_the_same() -> None:
    town = Town()
    keys = (Key(ALICE.raw_address, 2), Key(CAROL.raw_address, 1))
    update = UpdatePermissions(
        ALICE.raw_address,
        Permission(0, "owner", 2, keys),
        (Permission(2, "payouts", 1, keys[1:], bytes(31) + b"\x80"),),
    )
    made = [
        town.sign(transfer_of_trx(5 * TRX), memo=b"\x00\xff", permission_id=2),
        town.transfer(5 * USDT, fee_limit=0),
        town.transfer(5 * USDT, fee_limit=-1),
        town.sign(update, ALICE.key, CAROL.key),
    ]
    for transaction in made:
        assert unpack(transaction.content) == transaction
        for visible in (True, False):
            assert read(shown(transaction, visible=visible)) == transaction
        theirs = tron_pb2.Transaction()
        theirs.ParseFromString(transaction.content)
        assert theirs.SerializeToString() == transaction.content
        assert theirs.raw_data.expiration == transaction.raw.expiration_ms
        assert theirs.raw_data.fee_limit == transaction.raw.fee_limit
        assert theirs.raw_data.data == transaction.raw.memo
        assert theirs.raw_data.contract[0].Permission_id == transaction.raw.permission_id
    with pytest.raises(Malformed):
        unpack(made[0].content[:-3])
