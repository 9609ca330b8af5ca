"""Bytes are held to the intent: what differs, by a field, a byte or a signature, is found before it is sent."""

import hashlib
from typing import Any

import msgspec
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from tronpy.proto import tron_pb2

from adapters.chains.tron import addresses, codec
from adapters.chains.tron.payouts import TronPayouts
from engine.ids import Instant
from engine.payments.chain import BlockRef, PayoutIntent
from engine.payments.ports import BytesDiffer
from tests.adapters.chains.tron.village import FAKE_USDT, USDT, Village, intent, key, sign, wallet

NUMBER = 70_123_456
REFERENCE = BlockRef(NUMBER, NUMBER.to_bytes(8, "big").hex() + "5a" * 24, "00" * 32, Instant(1_760_000_000_000))
TOKEN = intent(REFERENCE)
COIN = intent(REFERENCE, contract="", units=5_000_000)
BOTH = pytest.mark.parametrize("payout", [TOKEN, COIN], ids=["token", "coin"])
OTHER_BLOCK = BlockRef(NUMBER, NUMBER.to_bytes(8, "big").hex() + "5b" * 24, "00" * 32, Instant(1_760_000_000_000))

ANOTHER: dict[str, tuple[str, Any]] = {
    # What differs in the intent: the field that is named, another value.
    "sender": ("sender", wallet(9)),
    "recipient": ("recipient", wallet(8)),
    "contract": ("contract", FAKE_USDT),
    "units": ("units", TOKEN.units + 1),
    "fee_limit": ("fee_limit", TOKEN.fee_limit - 1),
    "expires_at_ms": ("expires_at_ms", Instant(TOKEN.expires_at_ms + 1)),
    "timestamp_ms": ("timestamp_ms", Instant(TOKEN.timestamp_ms + 1)),
    "reference": ("reference_hash", OTHER_BLOCK),
}


def raw_of(payout: PayoutIntent) -> bytes:
    return codec.encode(codec.transfer_of(payout))


def whole_of(payout: PayoutIntent) -> bytes:
    raw = raw_of(payout)
    return codec.join(raw, key().sign(codec.digest(raw)))


@BOTH
def test_what_was_built_passes_unsigned_and_signed(payout: PayoutIntent) -> None:
    codec.check(raw_of(payout), payout)
    codec.check(whole_of(payout), payout)


@BOTH
def test_any_changed_byte_is_found_wherever_it_is(payout: PayoutIntent) -> None:
    for content in (raw_of(payout), whole_of(payout)):
        for position in range(len(content)):
            for flip in (0x01, 0x02, 0x80, 0xFF):
                changed = bytearray(content)
                changed[position] ^= flip
                with pytest.raises(BytesDiffer):
                    codec.check(bytes(changed), payout)


@BOTH
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_cut_or_growth_is_found(payout: PayoutIntent, data: st.DataObject) -> None:
    content = data.draw(st.sampled_from([raw_of(payout), whole_of(payout)]))
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    filling = data.draw(st.binary(max_size=40))
    changed = content[:start] + filling + content[end:]
    if changed != content:
        with pytest.raises(BytesDiffer):
            codec.check(changed, payout)


@pytest.mark.parametrize("field", ANOTHER)
def test_another_intent_is_found_and_the_field_is_named(field: str) -> None:
    named, value = ANOTHER[field]
    other = msgspec.structs.replace(TOKEN, **{field: value})
    with pytest.raises(BytesDiffer, match=f"^{named}:"):
        codec.check(raw_of(other), TOKEN)
    signed = codec.join(raw_of(other), key().sign(codec.digest(raw_of(other))))
    with pytest.raises(BytesDiffer):
        codec.check(signed, TOKEN)


def test_every_field_of_an_intent_is_checked_or_is_not_in_the_bytes() -> None:
    ours_alone = {"task", "attempt", "network", "asset", "hot_wallet"}
    assert set(PayoutIntent.__struct_fields__) == ANOTHER.keys() | ours_alone


@pytest.mark.parametrize(
    ("changes", "named"), [({"memo": b"hi"}, "memo"), ({"permission_id": 2}, "permission_id")]
)
def test_a_memo_or_a_permission_that_nobody_wanted_is_found(changes: dict[str, Any], named: str) -> None:
    raw = codec.encode(msgspec.structs.replace(codec.transfer_of(TOKEN), **changes))
    with pytest.raises(BytesDiffer, match=f"^{named}:"):
        codec.check(raw, TOKEN)


def test_a_permission_that_the_wallet_uses_is_required() -> None:
    raw = codec.encode(codec.transfer_of(TOKEN, permission_id=2))
    codec.check(raw, TOKEN, permission_id=2)
    with pytest.raises(BytesDiffer, match=r"^permission_id:"):
        codec.check(raw_of(TOKEN), TOKEN, permission_id=2)


def _message(payout: PayoutIntent) -> tron_pb2.Transaction.raw:
    return tron_pb2.Transaction.raw.FromString(raw_of(payout))


def _twice(message: Any) -> None:
    message.contract.append(message.contract[0])


def _typed(url: str) -> Any:
    def change(message: Any) -> None:
        message.contract[0].parameter.CopyFrom(AnyMessage(type_url=url, value=message.contract[0].parameter.value))

    return change


def _call(**fields: Any) -> Any:
    def change(message: Any) -> None:
        call = tron_pb2.TriggerSmartContract.FromString(message.contract[0].parameter.value)
        for name, value in fields.items():
            setattr(call, name, value)
        message.contract[0].parameter.value = call.SerializeToString()

    return change


def _set(**fields: Any) -> Any:
    return lambda message: [setattr(message, name, value) for name, value in fields.items()]


DATA = codec.transfer_call(TOKEN.recipient, TOKEN.units)
FORGERIES = {
    "two contracts": (_twice, "contract"),
    "no contract": (lambda message: message.ClearField("contract"), "contract"),
    "a contract of another type": (lambda message: setattr(message.contract[0], "type", 46), "type"),
    "a type url that says otherwise": (_typed("type.googleapis.com/protocol.TransferContract"), "type"),
    "TRX sent along": (_call(call_value=1), "call_value"),
    "a TRC-10 token sent along": (_call(token_id=1_000_001), "token_id"),
    "an amount of it": (_call(call_token_value=1), "call_token_value"),
    "an address with dirt before it": (_call(data=DATA[:5] + b"\1" + DATA[6:]), "data"),
    "call data that goes on": (_call(data=DATA + b"\0"), "data"),
    "call data that is cut": (_call(data=DATA[:-1]), "data"),
    "another network's owner": (_call(owner_address=b"\xa0" + bytes(20)), "sender"),
    "a contract without an address": (_call(contract_address=b""), "contract"),
    "a reference by number": (_set(ref_block_num=5), "encoding"),
    "a script": (_set(scripts=b"x"), "encoding"),
    "another's authority": (lambda message: message.auths.add(permission_name=b"x"), "encoding"),
    "a provider": (lambda message: setattr(message.contract[0], "provider", b"x"), "encoding"),
    "a contract's name": (lambda message: setattr(message.contract[0], "ContractName", b"x"), "encoding"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_a_transfer_has_no_field_for_is_found(forgery: str) -> None:
    change, named = FORGERIES[forgery]
    message = _message(TOKEN)
    change(message)
    with pytest.raises(BytesDiffer, match=f"^{named}:"):
        codec.check(message.SerializeToString(), TOKEN)


def test_fields_that_no_protocol_knows_are_found_at_every_depth() -> None:
    unknown = bytes.fromhex("f23f03616263")  # field 1022, three bytes
    message = _message(TOKEN)
    contract = message.contract[0]
    deepest = contract.parameter.value + unknown
    places = {
        "in the raw data": raw_of(TOKEN) + unknown,
        "in the call": _with_parameter(AnyMessage(type_url=contract.parameter.type_url, value=deepest)),
    }
    for place, raw in places.items():
        with pytest.raises(BytesDiffer, match=r"^encoding:"):
            codec.check(raw, TOKEN)
        assert len(raw) > len(raw_of(TOKEN)), place
    with pytest.raises(BytesDiffer, match=r"^encoding:"):
        codec.check(whole_of(TOKEN) + unknown, TOKEN)


def _with_parameter(parameter: AnyMessage) -> bytes:
    message = _message(TOKEN)
    message.contract[0].parameter.CopyFrom(parameter)
    return message.SerializeToString()


def test_the_same_fields_in_another_order_are_another_transaction() -> None:
    raw = raw_of(TOKEN)
    reordered = raw[4:] + raw[:4]  # The reference's bytes, written last.
    assert tron_pb2.Transaction.raw.FromString(reordered) == _message(TOKEN)
    with pytest.raises(BytesDiffer):
        codec.decode(reordered)


@pytest.mark.parametrize("signatures", [0, 2])
def test_a_transaction_has_exactly_one_signature(signatures: int) -> None:
    signature = key().sign(codec.digest(raw_of(TOKEN)))
    content = tron_pb2.Transaction(
        raw_data=_message(TOKEN), signature=[signature] * signatures
    ).SerializeToString()
    with pytest.raises(BytesDiffer, match=r"^signature:"):
        codec.check(content, TOKEN)


def test_the_signature_is_the_senders_over_these_bytes() -> None:
    chain = TronPayouts(Village().pool, lambda: Instant(0))
    raw = raw_of(TOKEN)
    right = key().sign(codec.digest(raw))
    assert chain.assemble(raw, right, TOKEN).tx_id == hashlib.sha256(raw).hexdigest()
    wrong = {
        "another's": key(2).sign(codec.digest(raw)),
        "over other bytes": key().sign(codec.digest(raw_of(COIN))),
        "too short": right[:64],
        "of a form that only some nodes read": right[:64] + bytes((right[64] - 27,)),
        "nobody's": bytes(64) + b"\x1b",
    }
    for signature in wrong.values():
        with pytest.raises(BytesDiffer, match=r"^signature:"):
            chain.assemble(raw, signature, TOKEN)


def test_assembling_checks_the_bytes_once_more() -> None:
    chain = TronPayouts(Village().pool, lambda: Instant(0))
    theft = raw_of(msgspec.structs.replace(TOKEN, recipient=wallet(66)))
    with pytest.raises(BytesDiffer, match=r"^recipient:"):
        chain.assemble(theft, key().sign(codec.digest(theft)), TOKEN)


def test_no_node_takes_part_in_making_a_payout() -> None:
    """tronpy signs whatever hash a node answers (`chains.md` §1.2). Here nobody is asked: nobody can answer."""
    village = Village()
    payout = intent(village.ref(village.final))
    signed = sign(TronPayouts(village.pool, village.clock), payout)
    assert village.asked == []
    raw, signature = codec.split(signed.content)
    assert signed.tx_id == hashlib.sha256(raw).hexdigest()
    assert key().sign(hashlib.sha256(raw).digest()) == signature
    assert codec.decode(raw).units == payout.units
    assert codec.decode(raw).recipient == payout.recipient


IMPOSSIBLE = {
    "nothing": {"units": 0},
    "a debt": {"units": -1},
    "more than a word holds": {"units": 2**256},
    "more TRX than 64 bits hold": {"contract": "", "units": 2**63},
    "a recipient that is mistyped": {"recipient": wallet(7)[:-1] + "1"},
    "a reference whose id is another block's": {
        "reference": msgspec.structs.replace(REFERENCE, number=NUMBER + 1)
    },
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_intent_that_no_transfer_can_carry_out_is_not_built(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        raw_of(msgspec.structs.replace(TOKEN, **IMPOSSIBLE[name]))


@given(
    units=st.integers(1, 2**256 - 1),
    recipient=st.binary(min_size=20, max_size=20),
    fee_limit=st.integers(0, 15_000_000_000),
    lives_ms=st.integers(1, 86_399_000),
    memo=st.binary(max_size=80),
    permission_id=st.integers(0, 9),
)
@settings(max_examples=300, deadline=None)
def test_decoding_is_the_inverse_of_encoding(
    units: int, recipient: bytes, fee_limit: int, lives_ms: int, memo: bytes, permission_id: int
) -> None:
    transfer = codec.Transfer(
        sender=key().address,
        recipient=addresses.text(recipient),
        contract=USDT,
        units=units,
        fee_limit=fee_limit,
        expires_at_ms=1_760_000_000_000 + lives_ms,
        timestamp_ms=1_760_000_000_000,
        reference_bytes=b"\0\1",
        reference_hash=b"\xff" * 8,
        permission_id=permission_id,
        memo=memo,
    )
    assert codec.decode(codec.encode(transfer)) == transfer


def test_two_payouts_that_differ_only_in_time_are_two_transactions() -> None:
    later = msgspec.structs.replace(TOKEN, timestamp_ms=Instant(TOKEN.timestamp_ms + 1))
    assert codec.tx_id(raw_of(TOKEN)) != codec.tx_id(raw_of(later))
