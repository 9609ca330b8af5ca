"""Addresses that do not check are refused in clear words; a key is in one place, and can be destroyed there."""

import pickle

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tronpy.keys import PrivateKey as TronpyKey

from adapters.chains.registry import check_address, key_holder
from adapters.chains.tron import addresses, keys
from adapters.chains.tron.keys import HotWalletKey
from engine.money import Network
from tests.adapters.chains.tron.village import USDT

SECRET = bytes(range(1, 33))


@given(st.binary(min_size=20, max_size=20))
def test_the_three_forms_are_one_address(machine: bytes) -> None:
    text = addresses.text(machine)
    assert addresses.machine(text) == machine
    assert addresses.raw(text) == b"\x41" + machine
    assert addresses.text(addresses.raw(text)) == text
    assert addresses.from_hex(machine.hex()) == addresses.from_hex("41" + machine.hex()) == text
    assert addresses.word(text) == bytes(12) + machine


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (USDT[:-1] + "u", "checksum is wrong"),
        (USDT[:10] + "1" + USDT[11:], "checksum is wrong"),
        (USDT.lower(), "34 characters and starts with T"),
        (USDT[:-1], "34 characters"),
        ("", "34 characters"),
        (USDT + " ", "34 characters"),
        (USDT[:9] + "0" + USDT[10:], "checksum is wrong"),
        ("0x" + "11" * 20, "34 characters"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "starts with T"),
    ],
)
def test_text_that_is_no_address_is_refused_in_clear_words(text: str, words: str) -> None:
    with pytest.raises(addresses.BadAddress, match=words):
        addresses.raw(text)
    with pytest.raises(ValueError, match=words):
        check_address(Network.TRON, text)


@given(st.integers(1, 33), st.sampled_from("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"))
def test_a_mistyped_character_is_always_found(position: int, character: str) -> None:
    mistyped = USDT[:position] + character + USDT[position + 1 :]
    if mistyped != USDT:
        with pytest.raises(addresses.BadAddress):
            addresses.raw(mistyped)


@pytest.mark.parametrize("length", [0, 19, 22, 32])
def test_bytes_of_another_length_are_no_address(length: int) -> None:
    with pytest.raises(addresses.BadAddress):
        addresses.text(bytes(length))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_address_and_signature_are_those_of_tronpy_and_coincurve(secret: bytes, digest: bytes) -> None:
    try:
        reference = PrivateKey(secret)
    except ValueError:
        with pytest.raises(ValueError, match="no key of the curve"):
            HotWalletKey(bytearray(secret))
        return
    key = HotWalletKey(bytearray(secret))
    assert key.address == TronpyKey(secret).public_key.to_base58check_address()
    signature = key.sign(digest)
    assert signature[:64] == reference.sign_recoverable(digest, hasher=None)[:64]
    assert keys.signer(digest, signature) == key.address


def test_the_caller_keeps_no_copy() -> None:
    secret = bytearray(SECRET)
    HotWalletKey(secret)
    assert secret == bytearray(32)


def test_a_wiped_key_is_overwritten_and_signs_no_more() -> None:
    key = HotWalletKey(bytearray(SECRET))
    buffer = key._secret
    address = key.address
    key.wipe()
    assert buffer == bytearray(32)
    assert key.address == address
    with pytest.raises(RuntimeError, match="wiped"):
        key.sign(bytes(32))
    key.wipe()


def test_a_key_shows_nothing_and_does_not_travel() -> None:
    key = HotWalletKey(bytearray(SECRET))
    assert "***" in repr(key)
    assert SECRET.hex() not in repr(key) + str(key)
    with pytest.raises(TypeError, match="does not travel"):
        pickle.dumps(key)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), bytes(32), b"\xff" * 32])
def test_bytes_that_are_no_key_are_refused(secret: bytes) -> None:
    with pytest.raises(ValueError, match=r"key"):
        key_holder(Network.TRON, bytearray(secret))


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_only_a_digest_is_signed(digest: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        HotWalletKey(bytearray(SECRET)).sign(digest)
