"""A key file that is worthless without its passphrase: AES-256-GCM under a key derived with scrypt.

The file is readable by its owner only, and is refused when it is not. The header (version, cost, salt, nonce) is
authenticated with the content, so neither can be altered without notice.
"""

import os
import secrets
import stat
import struct
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from adapters.secrets.keys import ApiKey
from engine.ids import AccountId

_MAGIC = b"TRELLIS-KEYS-1\n"
_HEADER = struct.Struct(f"{len(_MAGIC)}sBBB16s12s")
_COST_LOG2, _BLOCK, _LANES = 15, 8, 1
"""scrypt at 32 MB and about a tenth of a second: dear for a guesser, bearable at a start."""
_COST_LOG2_MAX, _BLOCK_MAX, _LANES_MAX = 18, 8, 4
_PASSPHRASE_LENGTH_MIN = 12
_content = msgspec.json.Decoder(dict[str, ApiKey])


class SealBroken(Exception):
    """The file cannot be opened: another passphrase, damage, or too many readers. The text holds no secret."""


def seal(path: Path, keys: Mapping[AccountId, ApiKey], passphrase: str | bytes) -> None:
    """Write `keys` to `path`, replacing the file in one step; only its owner can read it."""
    secret = _bytes(passphrase)
    if len(secret) < _PASSPHRASE_LENGTH_MIN:
        raise ValueError(f"the passphrase needs at least {_PASSPHRASE_LENGTH_MIN} characters")
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    header = _HEADER.pack(_MAGIC, _COST_LOG2, _BLOCK, _LANES, salt, nonce)
    key = _derive(secret, salt, _COST_LOG2, _BLOCK, _LANES)
    sealed = AESGCM(key).encrypt(nonce, msgspec.json.encode(dict(keys)), header)
    write_private(path, header + sealed)


def open(path: Path, passphrase: str | bytes) -> dict[AccountId, ApiKey]:
    """Read the keys back; raise `SealBroken` if the passphrase is wrong or the file is not its owner's alone."""
    content = _read_private(path)
    try:
        magic, cost_log2, block, lanes, salt, nonce = _HEADER.unpack_from(content)
    except struct.error:
        raise SealBroken(f"{path.name} is not a sealed key file") from None
    costs_ok = cost_log2 <= _COST_LOG2_MAX and 0 < block <= _BLOCK_MAX and 0 < lanes <= _LANES_MAX
    if magic != _MAGIC or cost_log2 == 0 or not costs_ok:
        raise SealBroken(f"{path.name} is not a sealed key file")
    key = _derive(_bytes(passphrase), salt, cost_log2, block, lanes)
    try:
        plain = AESGCM(key).decrypt(nonce, content[_HEADER.size :], content[: _HEADER.size])
        return {AccountId(account): key for account, key in _content.decode(plain).items()}
    except (InvalidTag, msgspec.MsgspecError):
        # `from None`: the cause may quote a piece of the plain text.
        raise SealBroken(f"{path.name} does not open: wrong passphrase, or the file was altered") from None


def read_key_file(path: Path) -> bytes:
    """Read a file that serves as the passphrase, under the same rule: its owner's alone."""
    return _read_private(path).strip()


def _bytes(passphrase: str | bytes) -> bytes:
    return passphrase.encode() if isinstance(passphrase, str) else passphrase


def _derive(passphrase: bytes, salt: bytes, cost_log2: int, block: int, lanes: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=2**cost_log2, r=block, p=lanes).derive(passphrase)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in one step: the old content or the new one, never a part."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _read_private(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        # Asked of the open file, not of the path: the path could be exchanged in between.
        status = os.fstat(file.fileno())
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SealBroken(f"{path.name} can be read by others: chmod 600 it")
        if status.st_uid != os.geteuid():
            raise SealBroken(f"{path.name} belongs to another user")
        return file.read()
