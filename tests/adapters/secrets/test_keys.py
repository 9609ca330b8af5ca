"""Exchange keys: read from the environment, sealed in a file, never shown."""

import logging
import stat
from pathlib import Path

import pytest

from adapters.secrets import sealed
from adapters.secrets.keys import ApiKey, keys_from_environment
from engine.ids import AccountId

PASSPHRASE = "correct horse battery staple"
KEYS = {AccountId("main"): ApiKey("the-key", "the-secret"), AccountId("okx"): ApiKey("k", "s", "p")}


def test_a_key_never_shows_itself() -> None:
    key = ApiKey("the-key", "the-secret", "the-passphrase")
    for text in (repr(key), str(key), f"{key}", f"{key!r}", repr({"key": key})):
        assert "the-" not in text
        assert "***" in text


def test_keys_are_read_from_the_environment_by_account() -> None:
    keys = keys_from_environment(
        {
            "TRELLIS_KEY_MAIN": "a",
            "TRELLIS_KEY_MAIN_SECRET": "b",
            "TRELLIS_KEY_MY_OKX": "c",
            "TRELLIS_KEY_MY_OKX_SECRET": "d",
            "TRELLIS_KEY_MY_OKX_PASSPHRASE": "e",
            "TRELLIS_KEYS_FILE": "elsewhere",
            "HOME": "/root",
        }
    )
    assert keys == {"main": ApiKey("a", "b"), "my_okx": ApiKey("c", "d", "e")}


@pytest.mark.parametrize("environ", [{"TRELLIS_KEY_MAIN": "hush"}, {"TRELLIS_KEY_MAIN_SECRET": "hush"}])
def test_half_a_pair_is_refused_without_showing_it(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="missing") as refused:
        keys_from_environment(environ)
    assert "hush" not in str(refused.value)


def test_sealed_keys_come_back_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "keys.sealed"
    sealed.seal(path, KEYS, PASSPHRASE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"the-secret" not in path.read_bytes()
    assert sealed.open(path, PASSPHRASE) == KEYS
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.sealed"]


def test_sealing_again_replaces_the_file_and_uses_another_salt(tmp_path: Path) -> None:
    path = tmp_path / "keys.sealed"
    sealed.seal(path, KEYS, PASSPHRASE)
    before = path.read_bytes()
    sealed.seal(path, KEYS, PASSPHRASE)
    assert path.read_bytes()[:64] != before[:64]
    assert sealed.open(path, PASSPHRASE) == KEYS


def test_a_wrong_passphrase_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.sealed"
    sealed.seal(path, KEYS, PASSPHRASE)
    with pytest.raises(sealed.SealBroken) as broken:
        sealed.open(path, PASSPHRASE + "!")
    assert PASSPHRASE not in str(broken.value)


@pytest.mark.parametrize("position", [0, 15, 16, 20, 40, 60, -1])
def test_an_altered_byte_anywhere_is_noticed(tmp_path: Path, position: int) -> None:
    path = tmp_path / "keys.sealed"
    sealed.seal(path, KEYS, PASSPHRASE)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(sealed.SealBroken):
        sealed.open(path, PASSPHRASE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.sealed"
    sealed.seal(path, KEYS, PASSPHRASE)
    path.chmod(mode)
    with pytest.raises(sealed.SealBroken, match="chmod 600"):
        sealed.open(path, PASSPHRASE)


def test_a_file_can_serve_as_the_passphrase_under_the_same_rule(tmp_path: Path) -> None:
    key_file = tmp_path / "passphrase"
    key_file.write_bytes(b"thirty-two random bytes, say\n")
    key_file.chmod(0o600)
    path = tmp_path / "keys.sealed"
    sealed.seal(path, KEYS, sealed.read_key_file(key_file))
    assert sealed.open(path, "thirty-two random bytes, say") == KEYS
    key_file.chmod(0o644)
    with pytest.raises(sealed.SealBroken):
        sealed.read_key_file(key_file)


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 12"):
        sealed.seal(tmp_path / "keys.sealed", KEYS, "short")


def test_a_logged_key_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("t").info("key %s", ApiKey("the-key", "the-secret"))
    assert "the-" not in caplog.text
