"""Key checks and account set-up through pybit, the exchange's own client.

pybit blocks and sleeps, so it runs in a worker thread and never on the event loop; and it is imported only when
asked for, because it costs half a second. Nothing here is on the path of an order.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from adapters.exchanges.bybit.errors import CLOCK, command_error, query_error
from adapters.secrets.keys import ApiKey
from engine.errors import OutcomeUnknown, Retryable
from engine.ids import Instant
from engine.ports import KeyPermissions
from engine.trading.instrument import Instrument

_UNCHANGED = frozenset({110025, 110043})
"""The position mode, or the leverage, is already what we ask for."""


async def permissions(address: str, api_key: ApiKey, recv_window_ms: int) -> KeyPermissions:
    """Ask what the key may do."""

    def ask(client: Any) -> KeyPermissions:
        return _permissions(client.get_api_key_information()["result"])

    return await asyncio.to_thread(_call, address, api_key, recv_window_ms, ask, query_error, Retryable)


async def prepare(
    address: str, api_key: ApiKey, recv_window_ms: int, instrument: Instrument, leverage: int
) -> None:
    """Bring a linear instrument to one-way mode and `leverage`."""

    def set_up(client: Any) -> None:
        names = {"category": instrument.market.value, "symbol": instrument.symbol}
        text = str(leverage)
        _unless_unchanged(lambda: client.switch_position_mode(**names, mode=0))
        _unless_unchanged(lambda: client.set_leverage(**names, buyLeverage=text, sellLeverage=text))

    await asyncio.to_thread(_call, address, api_key, recv_window_ms, set_up, command_error, OutcomeUnknown)


def _call(
    address: str,
    api_key: ApiKey,
    recv_window_ms: int,
    work: Callable[[Any], Any],
    refused: Callable[[int, str], Exception],
    unanswered: type[Exception],
) -> Any:
    from pybit.exceptions import FailedRequestError, InvalidRequestError
    from pybit.unified_trading import HTTP
    from requests.exceptions import ConnectionError as ConnectionFailed
    from requests.exceptions import RequestException

    client = HTTP(
        testnet=False,
        api_key=api_key.key,
        api_secret=api_key.secret,
        recv_window=recv_window_ms,
        max_retries=1,
        timeout=5,
    )
    client.endpoint = address  # The constructor takes no address.
    try:
        return work(client)
    except InvalidRequestError as error:
        code = int(error.status_code)
        if code == CLOCK:
            # pybit stamps with the machine's clock and cannot be told the venue's.
            raise Retryable(
                "this machine's clock is too far from the venue's: set it (NTP), then try again"
            ) from None
        raise refused(code, str(error.message)) from None
    except FailedRequestError as error:
        raise unanswered(f"HTTP {error.status_code}: {error.message}") from None
    except ConnectionFailed as error:
        raise Retryable(f"no connection: {type(error).__name__}") from None
    except RequestException as error:
        raise unanswered(type(error).__name__) from None
    finally:
        client.client.close()


def _unless_unchanged(call: Callable[[], Any]) -> None:
    from pybit.exceptions import InvalidRequestError

    try:
        call()
    except InvalidRequestError as error:
        if int(error.status_code) not in _UNCHANGED:
            raise


def _permissions(result: dict[str, Any]) -> KeyPermissions:
    rights: dict[str, list[str]] = result.get("permissions") or {}
    writes = int(result.get("readOnly") or 0) == 0
    addresses = [address for address in result.get("ips") or [] if address not in ("*", "")]
    return KeyPermissions(
        can_trade_spot=writes and "SpotTrade" in rights.get("Spot", []),
        can_trade_linear=writes and "Order" in rights.get("ContractTrade", []),
        can_withdraw="Withdraw" in rights.get("Wallet", []),
        read_only=not writes,
        bound_to_ip=bool(addresses),
        expires_at_ms=_milliseconds(result.get("expiredAt") or ""),
    )


def _milliseconds(text: str) -> Instant | None:
    # A key bound to an address does not expire and says so with an empty text, or with a beginning of time.
    if not text or text.startswith(("0001", "1970")):
        return None
    return Instant(int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000))
