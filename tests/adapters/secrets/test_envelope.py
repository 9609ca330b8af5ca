"""Sealed values: bound to their place, noticed when altered, wrapped anew without being opened."""

import stat
import threading
from pathlib import Path

import pytest

from adapters.secrets.envelope import KekFile, Sealed, Vault
from adapters.secrets.sealed import SealBroken

PLACE = ("exchange_accounts", "k3xq7mzp", "u1", "api_key")
SECRET = b"the-secret-of-an-exchange-key"


@pytest.fixture
def keks(tmp_path: Path) -> KekFile:
    """Give the file of a fresh installation."""
    file = KekFile(tmp_path / "sealing.keys")
    file.make()
    return file


def test_what_is_sealed_opens_at_its_place_and_shows_nothing(keks: KekFile) -> None:
    sealed = Vault(keks).seal(SECRET, *PLACE)
    assert Vault(keks).open(sealed, *PLACE) == SECRET
    assert SECRET not in sealed.content
    assert repr(sealed) == f"Sealed(***, kek={next(iter(keks.read()))!r})"


def test_the_same_value_is_never_sealed_the_same_way_twice(keks: KekFile) -> None:
    vault = Vault(keks)
    assert vault.seal(SECRET, *PLACE).content != vault.seal(SECRET, *PLACE).content


@pytest.mark.parametrize("part", range(len(PLACE)))
def test_a_value_moved_to_another_row_owner_or_field_does_not_open(keks: KekFile, part: int) -> None:
    sealed = Vault(keks).seal(SECRET, *PLACE)
    other = tuple(word + "x" if at == part else word for at, word in enumerate(PLACE))
    with pytest.raises(SealBroken):
        Vault(keks).open(sealed, *other)
    with pytest.raises(SealBroken):
        Vault(keks).rewrap(sealed, *other)


def test_an_altered_byte_anywhere_is_noticed(keks: KekFile) -> None:
    vault = Vault(keks)
    sealed = vault.seal(SECRET, *PLACE)
    for position in range(len(sealed.content)):
        altered = bytearray(sealed.content)
        altered[position] ^= 1
        with pytest.raises(SealBroken) as broken:
            vault.open(Sealed(bytes(altered)), *PLACE)
        assert "the-secret" not in str(broken.value)
    for length in (0, 1, 40, len(sealed.content) - 1):
        with pytest.raises(SealBroken):
            vault.open(Sealed(sealed.content[:length]), *PLACE)


def test_a_new_key_wraps_anew_what_the_older_one_sealed(keks: KekFile) -> None:
    vault = Vault(keks)
    sealed = vault.seal(SECRET, *PLACE)
    kek_id = keks.add()
    assert vault.open(sealed, *PLACE) == SECRET
    again = vault.rewrap(sealed, *PLACE)
    assert again.kek_id == kek_id
    assert again.content[-len(SECRET) :] == sealed.content[-len(SECRET) :]
    assert keks.forget_older() == 1
    assert vault.open(again, *PLACE) == SECRET
    with pytest.raises(SealBroken, match="is not in"):
        vault.open(sealed, *PLACE)


def test_the_file_is_its_owners_alone_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "sealing.keys"
    makers = [threading.Thread(target=KekFile(path).make) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(KekFile(path).read()) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["sealing.keys"]
    path.chmod(0o640)
    with pytest.raises(SealBroken, match="chmod 600"):
        KekFile(path).read()


@pytest.mark.parametrize("content", ["", "hush", "zz:hush", "00:00", "0011223344556677:68757368"])
def test_a_file_of_something_else_is_refused_without_quoting_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sealing.keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SealBroken) as broken:
        KekFile(path).read()
    assert "hush" not in str(broken.value)
    assert "68757368" not in str(broken.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SealBroken, match="missing"):
        Vault(KekFile(tmp_path / "sealing.keys")).seal(SECRET, *PLACE)
