"""Asks a PaperVenue of another process, over its operator's door, to open an account."""

from collections.abc import Mapping

import aiohttp

from adapters.secrets.keys import ApiKey
from engine.errors import Rejected, RejectReason, Retryable

ANSWER_LIMIT_S = 5.0


async def open_account(address: str, key: ApiKey, balances: Mapping[str, str], name: str) -> None:
    """Open an account under a key, with paper money in it, unless the venue has it already.

    `Retryable` when the venue does not answer; `Rejected` when the key is there with another secret.
    """
    body = {"key": key.key, "secret": key.secret, "balances": dict(balances), "name": name}
    limit = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as http,
            http.post(f"{address}/paper/accounts", json=body) as response,
        ):
            if response.status == 409:
                raise Rejected(RejectReason.PERMISSION, f"the venue knows the key {key.key} with another secret")
            if response.status != 200:
                raise Retryable(f"the paper venue answered {response.status}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Retryable(f"the paper venue does not answer: {type(error).__name__}") from None
