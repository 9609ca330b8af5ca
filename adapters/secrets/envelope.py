"""Secrets in the database: each sealed under a key of its own, which is wrapped under the installation's key.

It decides the format and when something does not open. A sealed value is bound to its place (table, row, owner,
field), so that a row's value means nothing in another row. The installation's keys (KEKs) live in a file of its
own; to change them, only the small wrapped keys are written anew. Nothing here ever logs or shows a secret.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.secrets.sealed import SealBroken, read_key_file, write_private

VERSION = 1
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
KEK_ID_BYTES = 8
"""The id is drawn, not derived: it says nothing about its key."""

_WRAPPED_BYTES = KEY_BYTES + TAG_BYTES
_HEADER_BYTES = 1 + KEK_ID_BYTES + NONCE_BYTES + _WRAPPED_BYTES


class Sealed(msgspec.Struct, frozen=True):
    """A sealed value: version, KEK id, nonce and wrapped key, nonce and ciphertext, in this order."""

    content: bytes

    def __repr__(self) -> str:
        return f"Sealed(***, kek={self.kek_id!r})"

    @property
    def kek_id(self) -> str:
        """Name the installation's key that opens it."""
        return self.content[1 : 1 + KEK_ID_BYTES].hex()


class KekFile:
    """The installation's keys: one `id:key` per line in a file of its owner's alone, the present one first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Draw the first key, unless there is a file already."""
        if self.path.exists():
            return
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        write_private(draft, _lines({_new_id(): secrets.token_bytes(KEY_BYTES)}))
        # A link, not a rename: when two programs draw at once, both must end with the same key.
        with suppress(FileExistsError):
            os.link(draft, self.path)
        draft.unlink()

    def add(self) -> str:
        """Draw another key and make it the present one; the older ones still open. Give its id."""
        kek_id = _new_id()
        write_private(self.path, _lines({kek_id: secrets.token_bytes(KEY_BYTES)} | self.read()))
        return kek_id

    def forget_older(self) -> int:
        """Keep the present key only; give how many were dropped. What they sealed opens never again."""
        keys = self.read()
        present = next(iter(keys))
        write_private(self.path, _lines({present: keys[present]}))
        return len(keys) - 1

    def read(self) -> dict[str, bytes]:
        """Give every key by its id, the present one first; raise `SealBroken` if the file is not as it must be."""
        try:
            text = read_key_file(self.path).decode()
        except FileNotFoundError:
            raise SealBroken(f"{self.path.name} is missing on this machine: copy it from the first one") from None
        except UnicodeDecodeError:
            raise SealBroken(f"{self.path.name} is not a file of sealing keys") from None
        keys: dict[str, bytes] = {}
        for line in text.splitlines():
            kek_id, _, key = line.partition(":")
            # `from None`: the cause would quote the key.
            try:
                keys[bytes.fromhex(kek_id).hex()] = bytes.fromhex(key)
            except ValueError:
                raise SealBroken(f"{self.path.name} is not a file of sealing keys") from None
        if not keys or any(len(key) != KEY_BYTES or len(name) != 2 * KEK_ID_BYTES for name, key in keys.items()):
            raise SealBroken(f"{self.path.name} is not a file of sealing keys")
        return keys


class Vault:
    """Seals and opens under the keys of a file, which is read anew each time: keys may be changed meanwhile."""

    def __init__(self, keks: KekFile) -> None:
        self._keks = keks

    def seal(self, plain: bytes, *place: str) -> Sealed:
        """Seal a value for one place, for example table, row, owner and field."""
        kek_id, kek = next(iter(self._keks.read().items()))
        key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
        body = nonce + AESGCM(key).encrypt(nonce, plain, _bound_to(place))
        return Sealed(_wrap(key, kek_id, kek, place) + body)

    def open(self, sealed: Sealed, *place: str) -> bytes:
        """Open a value that was sealed for this very place; raise `SealBroken` for any other, or a changed one."""
        key = self._unwrap(sealed, place)
        body = sealed.content[_HEADER_BYTES:]
        try:
            return AESGCM(key).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], _bound_to(place))
        except (InvalidTag, ValueError):
            raise SealBroken("the sealed value does not open: it was altered, or belongs elsewhere") from None

    def rewrap(self, sealed: Sealed, *place: str) -> Sealed:
        """Wrap a value's key under the present KEK; the value itself is neither opened nor written anew."""
        kek_id, kek = next(iter(self._keks.read().items()))
        key = self._unwrap(sealed, place)
        return Sealed(_wrap(key, kek_id, kek, place) + sealed.content[_HEADER_BYTES:])

    def _unwrap(self, sealed: Sealed, place: tuple[str, ...]) -> bytes:
        header = sealed.content[:_HEADER_BYTES]
        if len(header) < _HEADER_BYTES or header[0] != VERSION:
            raise SealBroken("this is not a sealed value of a version that we know")
        kek = self._keks.read().get(sealed.kek_id)
        if kek is None:
            raise SealBroken(f"the sealing key {sealed.kek_id} is not in {self._keks.path.name}")
        start = 1 + KEK_ID_BYTES
        nonce, wrapped = header[start : start + NONCE_BYTES], header[start + NONCE_BYTES :]
        try:
            return AESGCM(kek).decrypt(nonce, wrapped, header[:start] + _bound_to(place))
        except InvalidTag:
            raise SealBroken("the sealed value does not open: it was altered, or belongs elsewhere") from None


def _wrap(key: bytes, kek_id: str, kek: bytes, place: tuple[str, ...]) -> bytes:
    head, nonce = bytes([VERSION]) + bytes.fromhex(kek_id), secrets.token_bytes(NONCE_BYTES)
    return head + nonce + AESGCM(kek).encrypt(nonce, key, head + _bound_to(place))


def _bound_to(place: tuple[str, ...]) -> bytes:
    # JSON, so that ("a|b", "c") and ("a", "b|c") are two places.
    return msgspec.json.encode([*place, VERSION])


def _new_id() -> str:
    return secrets.token_hex(KEK_ID_BYTES)


def _lines(keys: dict[str, bytes]) -> bytes:
    return "".join(f"{kek_id}:{key.hex()}\n" for kek_id, key in keys.items()).encode()
