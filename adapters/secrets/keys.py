"""The pair that signs an account's requests. It is never printed, and never leaves the process."""

import re
from collections.abc import Mapping

import msgspec

from engine.ids import AccountId

_VARIABLE = re.compile(r"TRELLIS_KEY_(?P<account>[A-Z0-9_]+?)(?P<part>|_SECRET|_PASSPHRASE)")


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as the exchange issued it. `passphrase` exists at OKX and KuCoin only."""

    key: str
    secret: str
    passphrase: str = ""

    def __repr__(self) -> str:
        return "ApiKey(***)"

    __str__ = __repr__


def keys_from_environment(environ: Mapping[str, str]) -> dict[AccountId, ApiKey]:
    """Read every pair `TRELLIS_KEY_<ACCOUNT>` and `TRELLIS_KEY_<ACCOUNT>_SECRET` (and `_PASSPHRASE`).

    The account is named in lower case: `TRELLIS_KEY_MAIN` is the key of the account `main`. A key without its
    secret, or a secret without its key, is an error: half a pair is a typing mistake.
    """
    parts: dict[AccountId, dict[str, str]] = {}
    for name, value in environ.items():
        if (match := _VARIABLE.fullmatch(name)) and value:
            field = match["part"].strip("_").lower() or "key"
            parts.setdefault(AccountId(match["account"].lower()), {})[field] = value
    for account, found in parts.items():
        for field in ("key", "secret"):
            if field not in found:
                raise ValueError(f"the {field} of account {account!r} is missing in the environment")
    return {account: ApiKey(**found) for account, found in parts.items()}
